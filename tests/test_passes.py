"""Passes through depth, compiled and layer by layer, against the plain NumPy network."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.runtime import _nrt_python as _nrt
from numba.core.runtime.nrt import rtsys
from oracle import ACTIVATIONS, Network

import mfpde
from mfpde.blocks import shl as shl_block
from mfpde.kernels import shl, workspace
from mfpde.passes import propagate


def network(seed, n, d, m, steps, method, activation="tanh", bias=True, dtype=np.float64):
    """Random layers, starts and terminal cotangents, with one particle of weight zero."""
    rng = np.random.default_rng(seed)
    block = mfpde.SHL(d, activation, bias=bias)
    depth = mfpde.Depth(steps, method)
    theta = rng.standard_normal((len(depth.nodes), m, block.size)).astype(dtype)
    weights = rng.dirichlet(np.ones(m), len(depth.nodes))
    weights[0, 0] *= m == 1
    layers = propagate.Layers(block, depth, theta, weights.astype(dtype))
    start, terminal = rng.standard_normal((2, n, d)).astype(dtype)
    return layers, start, terminal


def run(layers, start, terminal, keep=True):
    """Stages, path; cotangents, path, gradient; and the tangent along that gradient."""
    passed = propagate.forward(layers, start, keep=keep)
    back = propagate.adjoint(layers, passed, terminal)
    return [*passed[:2], *back, propagate.tangent(layers, passed, back.gradient)]


def assert_equals_oracle(results, layers, start, terminal):
    oracle = Network(layers.depth, layers.theta, layers.weights, layers.block.activation.name)
    stages, path = oracle.forward(start.astype(float))
    exact = [stages, path, *oracle.adjoint(stages, terminal.astype(float))]
    exact.append(oracle.tangent(stages, exact[-1]))
    tol = 1e-12 if start.dtype == np.float64 else 1e-3
    for got, want in zip(results, exact, strict=True):
        assert got.dtype == start.dtype
        np.testing.assert_allclose(got, want, rtol=tol, atol=tol * max(1e-30, np.abs(want).max()))


problems = {
    "seed": st.integers(0, 2**32),
    "n": st.one_of(st.integers(1, 20), st.integers(120, 300)),
    "d": st.integers(1, 19),
    "m": st.integers(1, 25),
    "steps": st.integers(1, 3),
    "method": st.sampled_from(["euler", "heun", "rk4", "midpoint"]),
    "activation": st.sampled_from(sorted(ACTIVATIONS)),
    "bias": st.booleans(),
    "dtype": st.sampled_from([np.float64, np.float32]),
}


@settings(max_examples=60, deadline=None)
@given(keep=st.booleans(), **problems)
def test_compiled_passes(keep, **problem):
    case = network(**problem)
    assert_equals_oracle(run(*case, keep=keep), *case)


@settings(max_examples=20, deadline=None)
@given(**problems)
def test_passes_layer_by_layer(**problem):
    case = network(**problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shl_block, "FUSED_TO", 0)
        assert_equals_oracle(run(*case), *case)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [300, 1000])
def test_threads_agree_to_round_off_and_repeat_bit_for_bit(monkeypatch, n, dtype):
    case = network(0, n, 3, 40, 4, "rk4", dtype=dtype)
    results = []
    for threads in (1, 3):  # shares of the data, whatever number of threads works on them
        monkeypatch.setattr(workspace.numba, "get_num_threads", lambda t=threads: t)
        results.append(run(*case))
        for first, second in zip(results[-1], run(*case), strict=True):
            np.testing.assert_array_equal(first, second)
    tol = 1e-12 if dtype == np.float64 else 1e-4
    for one, many in zip(*results, strict=True):
        np.testing.assert_allclose(one, many, rtol=tol, atol=tol * np.abs(one).max())


def test_keeping_values_is_bounded_and_changes_nothing(monkeypatch):
    case = network(1, 50, 2, 30, 3, "heun")
    assert propagate.forward(*case[:2], keep=True).kept is not None
    kept = run(*case)
    monkeypatch.setattr(shl, "KEEP", 1000)
    assert propagate.forward(*case[:2], keep=True).kept is None
    for one, other in zip(kept, run(*case), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_two_passes_held_at_once_do_not_share_memory():
    first, second = network(1, 20, 2, 8, 2, "euler"), network(2, 20, 2, 8, 2, "euler")
    passes = [propagate.forward(*case[:2], keep=True) for case in (first, second)]
    for case, passed in zip((first, second), passes, strict=True):
        back = propagate.adjoint(case[0], passed, case[2])
        end = propagate.tangent(case[0], passed, back.gradient)
        assert_equals_oracle([*passed[:2], *back, end], *case)


def test_a_subclass_that_changes_a_sum_is_obeyed():
    class Doubled(mfpde.SHL):
        def field(self, x, theta, a):
            return 2 * super().field(x, theta, a)

    layers, start, _ = network(0, 5, 2, 6, 1, "euler")
    one = propagate.forward(layers, start).end - start
    two = propagate.forward(layers._replace(block=Doubled(2)), start).end - start
    np.testing.assert_allclose(two, 2 * one, rtol=1e-12)


def test_a_nan_parameter_is_not_hidden():
    layers, start, _ = network(0, 30, 2, 20, 2, "euler")
    layers.theta[1, 3, 2] = np.nan
    with np.errstate(invalid="ignore"):
        assert np.isnan(propagate.forward(layers, start).end).all()


def test_compiled_code_allocates_nothing_per_layer_and_little_at_all():
    """Allocations of a compiled pass do not depend on how much it computes."""
    _nrt.memsys_enable_stats()
    try:
        counts = []
        for m, steps in ((8, 2), (8, 20), (80, 20)):
            case = network(0, 40, 2, m, steps, "rk4")
            run(*case)
            before = rtsys.get_allocation_stats().alloc
            run(*case)
            counts.append(rtsys.get_allocation_stats().alloc - before)
        assert counts[0] == counts[1] == counts[2]
    finally:
        _nrt.memsys_disable_stats()


def test_memory_does_not_grow_over_a_thousand_gradients():
    """What numba and ctypes keep for their next calls comes once, a leak with every thousand."""
    case, sizes = network(0, 16, 2, 16, 2, "rk4"), []
    run(*case)
    tracemalloc.start()
    try:
        for _ in range(5):
            for _ in range(1000):
                run(*case)
            gc.collect()  # circles of short life, which Python 3.12 and later leave lying longer
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert np.diff(sizes).min() < 20_000
