"""Every engine computes the same gradient: codes that share nothing but the formulas."""

import shutil

import numpy as np
import pytest
from networks import random_problem, random_start, relative
from problems import Cubic

import mfpde
from mfpde.resnet import engines

ACTIVATIONS = ["tanh", "sigmoid", "softplus", "gelu", "silu", "relu", "sin"]
ROWS = [None, np.array([[0, 2, 2], [5, 3, 1]])]


def made(name, problem, dtype="float64"):
    if engines.ENGINES[name].backend == "torch":
        pytest.importorskip("torch")
    return engines.make(problem, name, dtype, "cpu")


def answers(engine, start, rows=None):
    """Gradient, loss and outputs as NumPy arrays, from both of the engine's verbs."""
    theta = engine.load(start)
    loss, outputs = (engine.numpy(v).copy() for v in engine.evaluate(theta, rows))
    found = engine.gradient(theta, rows)
    np.testing.assert_allclose(engine.numpy(found.loss), loss, rtol=1e-6)
    np.testing.assert_allclose(engine.numpy(found.outputs), outputs, rtol=1e-5, atol=1e-6)
    return engine.unload(found.slope).copy(), engine.numpy(found.loss), outputs


@pytest.mark.parametrize("name", ["layers", "adjoint", "autograd"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_engines_agree_to_round_off(name, activation):
    for bias, loss, rows in zip((True, False), ("squared", "cross_entropy"), ROWS, strict=True):
        block = mfpde.SHL(3, activation, bias=bias)
        problem, start = random_problem(block, loss), random_start(block)
        for mine, theirs in zip(
            answers(made(name, problem), start, rows),
            answers(made("particles", problem), start, rows),
            strict=True,
        ):
            assert relative(mine, theirs) < 1e-13


@pytest.mark.parametrize("name", ["layers", "adjoint", "autograd"])
def test_one_particle_a_layer(name):
    block = mfpde.SHL(2)
    problem, start = random_problem(block), random_start(block, width=1)
    engine = made(name, problem)
    exact, *_ = answers(made("particles", problem), start)
    mine, *_ = answers(engine, start)
    assert relative(mine, exact) < 1e-13
    theta = engine.load(start)
    assert not np.shares_memory(np.asarray(engine.unload(theta)), np.asarray(theta))


@pytest.mark.parametrize("name", ["layers", "adjoint", "autograd", "particles"])
def test_float32_follows_float64(name):
    block = mfpde.SHL(3, "tanh")
    problem, start = random_problem(block), random_start(block)
    exact, *_ = answers(made("particles", problem), start)
    single, *_ = answers(made(name, problem, "float32"), start)
    assert single.dtype == np.float32
    assert relative(single, exact) < 2e-6


def test_bfloat16_rounds_factors_only():
    pytest.importorskip("torch")
    block = mfpde.SHL(3, "tanh")
    problem, start = random_problem(block), random_start(block, width=32)
    exact, *_ = answers(made("particles", problem), start)
    rough = made("adjoint", problem, "bfloat16")
    assert rough.load(start).element_size() == 4
    assert 1e-5 < relative(rough.unload(rough.gradient(rough.load(start)).slope), exact) < 3e-2


@pytest.mark.parametrize("name", ["layers", "particles", "adjoint", "autograd"])
@pytest.mark.parametrize("rows", ROWS, ids=["all", "minibatch"])
def test_a_network_does_not_depend_on_its_company(name, rows):
    block = mfpde.SHL(3, "gelu")
    problem, start = random_problem(block), random_start(block)
    engine = made(name, problem)
    together = answers(engine, start, rows)
    for k in range(2):
        alone = answers(engine, start[k : k + 1], None if rows is None else rows[k : k + 1])
        for mine, theirs in zip(alone, together, strict=True):
            assert relative(mine[0], theirs[k]) < 1e-14


def test_layers_recompute_what_they_do_not_keep(monkeypatch):
    from mfpde.resnet.engines import layers

    block = mfpde.SHL(3, "tanh")
    problem, start = random_problem(block), random_start(block)
    kept, *_ = answers(made("layers", problem), start)
    monkeypatch.setattr(layers, "KEEP", 0)
    again, *_ = answers(made("layers", problem), start)
    assert relative(again, kept) < 1e-14


def test_a_descent_is_a_gradient_and_a_step():
    block = mfpde.SHL(3, "tanh")
    problem, start = random_problem(block), random_start(block)
    engine = made("layers", problem)
    theta, step = engine.load(start), engine.rates(np.linspace(0.1, 0.7, block.size))
    found = engine.descend(theta, step, None, np.empty_like(theta))
    passed = engine.gradient(theta)
    np.testing.assert_allclose(found.theta, theta - step * passed.slope, rtol=1e-15, atol=1e-16)
    np.testing.assert_array_equal(found.loss, passed.loss)
    np.testing.assert_array_equal(engine.unload(theta), start)


def test_compiled_layers_agree():
    pytest.importorskip("torch")
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a compiler")
    block = mfpde.SHL(2, "tanh")
    problem, start = random_problem(block), random_start(block)
    compiled, *_ = answers(made("compiled", problem), start)
    exact, *_ = answers(made("particles", problem), start)
    assert relative(compiled, exact) < 1e-13


def test_a_captured_step_reads_its_inputs_anew(monkeypatch):
    """The buffers around the graph; the graph itself is a function called again."""
    pytest.importorskip("torch")
    from mfpde.resnet.engines import captured

    captures = []

    def record(function):
        written = function()
        captures.append(written)

        def replay():
            for old, new in zip(written, function(), strict=True):
                old.copy_(new)

        return replay, written

    monkeypatch.setattr(captured, "capture", record)
    block = mfpde.SHL(3, "tanh")
    problem = random_problem(block)
    engine, exact = captured.Captured(problem, "float64", "cpu"), made("particles", problem)
    for seed in (1, 2):
        for rows in ROWS:
            start = random_start(block, seed=seed)
            for mine, theirs in zip(
                answers(engine, start, rows), answers(exact, start, rows), strict=True
            ):
                assert relative(mine, theirs) < 1e-13
    assert len(captures) == 2  # one for each shape
    for width in (8, 9):
        engine.gradient(engine.load(random_start(block, width=width)))
    assert len(captures) == 4
    assert len(engine._graphs) == 2


def test_auto_follows_a_rule():
    shl, linear = random_problem(mfpde.SHL(2)), random_problem(mfpde.Linear(2))
    x = np.linspace(-1, 1, 4)[:, None]
    own = mfpde.Problem(x, x, block=Cubic())
    how = {"backend": "auto", "engine": "auto", "dtype": "float64", "device": "cpu"}
    assert engines.choose(shl, **how) == "layers"
    assert engines.choose(linear, **how) == "particles"
    assert engines.choose(own, **how) == "particles"
    pytest.importorskip("torch")
    assert engines.choose(shl, **{**how, "backend": "torch"}) == "adjoint"
    assert engines.choose(linear, **{**how, "backend": "torch"}) == "autograd"
    assert engines.choose(shl, **{**how, "dtype": "bfloat16"}) == "adjoint"


def test_a_subclass_of_shl_is_a_block_of_its_own():
    class Doubled(mfpde.SHL):
        def value(self, x, theta):
            return 2 * super().value(x, theta)

        def pull_state(self, x, theta, q):
            return 2 * super().pull_state(x, theta, q)

        def pull_parameter(self, x, theta, q):
            return 2 * super().pull_parameter(x, theta, q)

    assert engines.available(random_problem(Doubled(2)), "auto", "float64", "cpu") == ["particles"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "adjoint", "backend": "particles"}, "belongs to backend='torch'"),
        ({"engine": "layers", "dtype": "bfloat16"}, "computes in float64, float32"),
        ({"engine": "captured", "device": "cpu"}, "needs a CUDA device; use engine='adjoint'"),
        ({"dtype": "tf32", "device": "cpu", "backend": "torch"}, "needs a CUDA device"),
        ({"engine": "layers", "block": mfpde.Linear(2)}, "is for SHL blocks"),
        ({"engine": "layers", "device": "cuda"}, "'auto' or 'cpu' .* given 'cuda'"),
        (
            {"backend": "particles", "device": "cuda"},
            "'auto' or 'cpu' .* given 'cuda'",
        ),
        ({"engine": "layer"}, "did you mean 'layers'"),
        ({"device": "cud", "backend": "torch"}, "device must be 'auto', 'cpu' or 'cuda'"),
    ],
)
def test_what_does_not_fit_is_said(change, message):
    pytest.importorskip("torch")
    problem = random_problem(change.pop("block", mfpde.SHL(2)))
    how = {"backend": "auto", "engine": "auto", "dtype": "float64", "device": "cpu", **change}
    with pytest.raises(ValueError, match=message):
        engines.choose(problem, **how)


def test_a_race_times_every_engine_that_fits():
    block = mfpde.SHL(2)
    problem = random_problem(block)
    names = engines.available(problem, "particles", "float64", "cpu")
    seconds = engines.race(problem, names, "float64", "cpu", random_start(block), rounds=1)
    assert set(seconds) == {"layers", "particles"}
    assert min(seconds.values()) > 0
