"""A GPU that runs out of memory, simulated: the batch is split, the numbers stay."""

import numpy as np
import pytest
from networks import random_problem, random_start, relative

import mfpde

torch = pytest.importorskip("torch")

from mfpde.resnet import SGD, train  # noqa: E402
from mfpde.resnet.engines.adjoint import Adjoint  # noqa: E402
from mfpde.resnet.engines.splitting import Splitting  # noqa: E402

BLOCK = mfpde.SHL(3, "tanh")
ROWS = [None, np.random.default_rng(3).integers(0, 6, (5, 4))]


@pytest.fixture
def small_memory(monkeypatch):
    """A limit on networks × data in one forward pass, and the passes that were tried."""
    tried, forward = [], Adjoint.forward

    def limited(limit):
        def checked(self, theta, start, *, keep):
            tried.append(start.shape[:2])
            if start.shape[0] * start.shape[1] > limit:
                raise torch.OutOfMemoryError("simulated")
            return forward(self, theta, start, keep=keep)

        monkeypatch.setattr(Adjoint, "forward", checked)
        return tried

    return limited


@pytest.mark.parametrize("limit", [1, 2, 5, 8, 13])
@pytest.mark.parametrize("rows", ROWS, ids=["all", "minibatch"])
def test_parts_add_up(limit, rows, small_memory):
    problem, start = random_problem(BLOCK), random_start(BLOCK, count=5)
    engine = Adjoint(problem, "float64", "cpu")
    theta = engine.load(start)
    whole = [t.clone() for t in (*engine.gradient(theta, rows), *engine.evaluate(theta, rows))]
    tried = small_memory(limit)
    splitting = Splitting(engine)
    parts = [*splitting.gradient(theta, rows), *splitting.evaluate(theta, rows)]
    for mine, theirs in zip(parts, whole, strict=True):
        assert relative(mine.numpy(), theirs.numpy()) < 1e-14
    assert max(s * n for s, n in tried[-2:]) <= limit
    failures = len(tried)
    splitting.gradient(theta, rows)
    assert all(s * n <= limit for s, n in tried[failures:])  # it has learnt


def test_a_run_goes_on_in_parts(small_memory):
    problem, start = random_problem(BLOCK), random_start(BLOCK, count=5)
    how = {"s_end": 1.0, "step": 0.1, "engine": "adjoint", "device": "cpu"}
    for optimizer in ("gd", SGD(batch=4)):
        whole = train(problem, start=start, optimizer=optimizer, **how)
        small_memory(7)
        parts = train(problem, start=start, optimizer=optimizer, **how)
        np.testing.assert_allclose(parts.theta, whole.theta, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-13)


def test_less_than_one_datum_is_an_error(small_memory):
    small_memory(0)
    with pytest.raises(MemoryError, match="one datum of one network"):
        train(
            random_problem(BLOCK), start=random_start(BLOCK), s_end=1.0, step=0.1,
            engine="adjoint", device="cpu",
        )  # fmt: skip


def test_parameters_that_do_not_fit_are_trained_in_turn(monkeypatch):
    problem, start = random_problem(BLOCK), random_start(BLOCK, count=5)
    how = {
        "s_end": 1.0, "step": 0.1, "engine": "adjoint", "device": "cpu", "save": 2,
        "observe": {"moved": mfpde.resnet.observables.displacement},
        "optimizer": mfpde.resnet.Langevin(0.1),
    }  # fmt: skip
    whole, sizes, load = train(problem, start=start, **how), [], Adjoint.load

    def limited(self, theta):
        sizes.append(len(theta))
        if len(theta) > 2:
            raise torch.OutOfMemoryError("simulated")
        return load(self, theta)

    monkeypatch.setattr(Adjoint, "load", limited)
    parts = train(problem, start=start, **how)
    assert max(sizes) == 5
    assert parts.seeds == whole.seeds
    for name in ("loss", "theta", "saved", "outputs"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-11)
    np.testing.assert_allclose(parts.observed["moved"], whole.observed["moved"], rtol=1e-11)
