"""Data carried in blocks: the same numbers as all at once, within the memory allowed."""

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import mfpde
from mfpde import checks
from mfpde.kernels import lending
from mfpde.passes import carry, operator_of
from mfpde.passes.in_blocks import InBlocks
from mfpde.passes.room import ALIVE, AT_ONCE, bytes_per_datum, keeps

sys.path.insert(0, str(Path(__file__).parent / "verbs"))
from measures import MEASURES

KINDS = ("particles", "weighted", "grid", "moving", "joint_grid")
DATA = 11


def problem(activation="tanh", **terms):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((DATA, 1)), rng.integers(0, 2, DATA)
    block = mfpde.SHL(1, activation, bias=False)
    readout = [[0.8], [-0.3]]
    weights = rng.uniform(0.5, 2.0, DATA)
    return mfpde.Problem(
        x, y, block=block, readout=readout, loss="cross_entropy", weights=weights, **terms
    )


def pair(kind, data=4):
    """The same problem and measure carried at once, and in blocks of ``data``."""
    rho = MEASURES[kind]()
    whole = carry(problem(), rho)
    states = AT_ONCE * data * bytes_per_datum(whole.layers, 1)
    memory = (1 + 1e-9) * states / (1 - lending.SHARE)  # what waits counts too
    blocks = carry(problem(memory=memory), rho)
    assert not isinstance(whole, InBlocks)
    assert isinstance(blocks, InBlocks)
    assert blocks.length == data
    return whole, blocks


def equal(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14 + 1e-13 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_that_of_all_data_at_once(kind):
    whole, blocks = pair(kind)
    v = np.random.default_rng(1).standard_normal((DATA, 2))
    points = np.random.default_rng(2).standard_normal((len(whole.depth.nodes), 3, 2))
    for name in ("end", "loss", "slope", "hessian", "variation", "kernel", "node_adjoints"):
        equal(getattr(blocks, name), getattr(whole, name))
    equal(blocks.pull(v), whole.pull(v))
    equal(blocks.kernel_product(v), whole.kernel_product(v))
    equal(blocks.potential(), whole.potential())
    equal(blocks.potentials(points), whole.potentials(points))
    equal(blocks.potential_at(1, points[1]), whole.potential_at(1, points[1]))
    equal(blocks.potential_slope(1, points[1]), whole.potential_slope(1, points[1]))
    for found, wanted in zip(blocks.trajectories(), whole.trajectories(), strict=True):
        equal(found, wanted)


@pytest.mark.parametrize("data", [1, 10])
def test_blocks_of_any_length(data):
    whole, blocks = pair("weighted", data)
    equal(blocks.variation, whole.variation)
    equal(blocks.push(blocks.variation), whole.push(whole.variation))


def test_new_data_are_predicted_in_blocks():
    x, rho = np.linspace(-1, 1, 30)[:, None], MEASURES["particles"]()
    equal(mfpde.predict(problem(memory=400.0), rho, x), mfpde.predict(problem(), rho, x))


@pytest.mark.parametrize(
    ("kind", "method"), [("weighted", "rk45"), ("weighted", "implicit"), ("grid", "muscl")]
)
def test_runs_are_the_same_and_repeat_bit_for_bit(tmp_path, kind, method):
    rho = MEASURES[kind]()
    path = tmp_path / "run.h5"
    whole = mfpde.solve(problem(), rho, s_end=1.0, method=method)
    one, two = (
        mfpde.solve(problem(memory=1000.0), rho, s_end=1.0, method=method, checkpoint=path)
        for _ in range(2)
    )
    np.testing.assert_allclose(one.loss, whole.loss, rtol=1e-9)
    np.testing.assert_array_equal(one.final.state, two.final.state)
    assert mfpde.runs.solution.Solution.load(path).problem.memory == 1000.0


def test_a_state_that_overflows_is_found_as_without_blocks():
    rho = mfpde.ParticleMeasure(np.full((3, 4, 2), 1e200), mfpde.Depth(3, "euler"))
    for memory in (None, 1000.0):
        with pytest.raises(ValueError, match="overflow"):
            mfpde.gradient(problem("relu", memory=memory), rho)


def test_what_cannot_fit_is_refused_with_its_bytes(monkeypatch):
    rho = MEASURES["particles"]()
    with pytest.raises(ValueError, match=r"memory: the states of one datum take 112 bytes, 50 are"):
        mfpde.loss(problem(memory=50.0), rho)
    with pytest.raises(ValueError, match=r"memory must be"):
        problem(memory=-1.0)
    blocks = carry(problem(memory=300.0), rho)
    monkeypatch.setattr(checks, "memory_limit", lambda: 1000.0)
    with pytest.raises(ValueError, match=r"memory = 2000 would take 2 kB of memory; this machine"):
        mfpde.loss(problem(memory=2000.0), rho)
    with pytest.raises(ValueError, match=r"states of 11 data would take 1\.23 kB"):
        blocks.trajectories()
    with pytest.raises(ValueError, match=r"tangent kernel of 22 rows would take 3\.87 kB"):
        _ = blocks.kernel


@pytest.mark.parametrize("kind", ["joint", "ordered"])
def test_blocks_placed_in_depth_say_what_they_need(kind):
    rho = MEASURES[kind]()
    needed = 2 * (rho.count + 1) * DATA * 8
    mfpde.loss(problem(memory=float(needed)), rho)
    with pytest.raises(ValueError, match=rf"memory: the states of 11 data take {needed} bytes"):
        mfpde.loss(problem(memory=needed - 1.0), rho)


def test_memory_stays_within_the_bound():
    rng = np.random.default_rng(0)
    rho = mfpde.ParticleMeasure(rng.standard_normal((20, 4, 8)), mfpde.Depth(20, "euler"))
    x = rng.standard_normal((20_000, 4))
    peaks = []
    for memory in (None, 4e6):
        large = mfpde.Problem(x, x[:, :1], block=mfpde.SHL(4, bias=False), memory=memory)
        tracemalloc.start()
        mfpde.gradient(large, rho)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    fixed = 6 * x.nbytes  # starts, ends, outputs and what the comparison makes of them
    assert peaks[0] > 20_000 * 41 * 2 * 4 * 8
    assert peaks[1] < ALIVE * 4e6 + fixed


def test_what_a_block_keeps_counts(monkeypatch):
    """σ at every evaluation: in blocks where it fits, not at all where it does not."""
    rng = np.random.default_rng(0)
    rho = mfpde.ParticleMeasure(rng.standard_normal((8, 64, 8)), mfpde.Depth(8, "euler"))
    x = rng.standard_normal((4_000, 4))
    gradients, peaks, kept = [], [], []
    for memory in (None, 24e6, 6e6, 1.5e6):
        large = mfpde.Problem(x, x[:, :1], block=mfpde.SHL(4, bias=False), memory=memory)
        carried = carry(large, rho)
        length = getattr(carried, "length", len(x))
        kept.append(keeps(carried.operator.memory, carried.layers, length, 4))
        mfpde.gradient(large, rho)
        del carried
        lending._waiting.clear()
        tracemalloc.start()
        gradients.append(mfpde.gradient(large, rho))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        equal(gradients[-1], gradients[0])
    fixed = 6 * x.nbytes
    assert peaks[0] > 8 * 64 * 8 * len(x)
    assert peaks[1] < 24e6 + fixed
    assert peaks[2] < 6e6 + fixed
    assert peaks[3] < 1.5e6 + fixed
    assert kept == [True, False, True, False]


def test_what_waits_for_its_next_use_stays_within_the_memory():
    rng = np.random.default_rng(0)
    rho = mfpde.ParticleMeasure(rng.standard_normal((8, 64, 8)), mfpde.Depth(8, "euler"))
    x = rng.standard_normal((4_000, 4))
    waiting = []
    for memory in (None, 12e6, 3e6):
        large = mfpde.Problem(x, x[:, :1], block=mfpde.SHL(4, bias=False), memory=memory)
        operator_of(large, rho)
        held = [array.nbytes for array in lending._waiting.values()]
        assert memory is None or sum(held[:-1]) <= memory / 16
        mfpde.gradient(large, rho)
        waiting.append([array.nbytes for array in lending._waiting.values()])
    assert sum(waiting[0]) > 8 * 64 * 8 * len(x)
    for memory, held in zip((12e6, 3e6), waiting[1:], strict=True):
        assert held[-1] <= memory / 4
        assert sum(held[:-1]) <= memory / 16
