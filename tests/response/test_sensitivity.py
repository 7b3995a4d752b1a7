"""Sensitivities against differences of whole runs, and put to use."""

import numpy as np
import pytest
from scipy.optimize import minimize

import mfpde
from mfpde import laws

MEAN, STD = np.array([0.1, 0.0, -0.2, 0.0, 0.3]), np.array([1.0, 0.8, 0.0, 1.5, 0.6])
X = np.linspace(-1, 1, 7)[:, None] * np.array([[1.0, 0.5]])
HOW = {"s_end": 1.5, "particles": 32, "depth_steps": 2}


def problem(x=X, y=None, decay=0.03, loss="squared"):
    if y is None:
        y = np.sin(3 * x[:, :1]) if loss == "squared" else np.eye(2)[(x[:, 0] > 0).astype(int)]
    return mfpde.Problem(x, y, block=mfpde.SHL(2), weight_decay=decay, loss=loss)


def loss(given, mean=MEAN, std=STD, **how):
    rho0 = mfpde.ParticleMeasure.from_law(
        laws.Gaussian(std, mean), mfpde.Depth(HOW["depth_steps"], "rk4"), count=HOW["particles"]
    )
    end = mfpde.solve(given, rho0, s_end=HOW["s_end"], progress=False, **how).final
    return mfpde.loss(given, end)


def difference(function, h=1e-2):
    near, far = function(h) - function(-h), function(2 * h) - function(-2 * h)
    return (8 * near - far) / (12 * h)


@pytest.mark.parametrize("kind", ["squared", "cross_entropy"])
@pytest.mark.parametrize("how", [{"method": "gd"}, {"method": "heun"}])
def test_every_derivative_is_a_difference_of_runs(how, kind):
    how = how | {"step": 0.125}
    base = problem(loss=kind)
    found = mfpde.sensitivity(base, laws.Gaussian(STD, MEAN), **HOW, **how)
    assert found.loss == pytest.approx(loss(base, **how), rel=1e-13)
    unit = np.eye(5)
    where = (3, 1)
    bump = np.zeros_like(X)
    bump[where] = 1.0
    y = np.zeros_like(base.y)
    y[2, 0] = 1.0
    pairs = [
        (found.weight_decay, lambda e: loss(problem(decay=0.03 + e, loss=kind), **how)),
        (found.inputs[where], lambda e: loss(problem(X + e * bump, base.y, loss=kind), **how)),
    ]
    if kind == "squared":
        pairs.append((found.targets[2, 0], lambda e: loss(problem(y=base.y + e * y), **how)))
    for i in range(5):
        pairs.append((found.mean[i], lambda e, i=i: loss(base, MEAN + e * unit[i], **how)))
    for i in (0, 3):
        pairs.append((found.std[i], lambda e, i=i: loss(base, MEAN, STD + e * unit[i], **how)))
    for got, function in pairs:
        assert got == pytest.approx(difference(function, 1e-3), rel=1e-7, abs=1e-9)
    assert found.std[2] == 0.0


def test_targets_of_the_cross_entropy():
    """Rows of targets sum to 1: moved along (1, −1)."""
    base = problem(loss="cross_entropy", y=np.full((7, 2), 0.5))
    how = {"method": "rk4", "step": 0.125}
    found = mfpde.sensitivity(base, laws.Gaussian(STD, MEAN), **HOW, **how)
    bump = np.zeros_like(base.y)
    bump[1] = 1.0, -1.0

    def moved(e):
        return loss(problem(loss="cross_entropy", y=base.y + e * bump), **how)

    assert (found.targets * bump).sum() == pytest.approx(difference(moved, 1e-3), rel=1e-7)


def test_adaptive_steps_give_the_derivative_to_their_tolerance():
    base = problem()
    found = mfpde.sensitivity(base, laws.Gaussian(STD, MEAN), **HOW, rtol=1e-8)
    fine = {"method": "rk45", "rtol": 1e-11}
    want = difference(lambda e: loss(base, MEAN, STD + e * np.eye(5)[0], **fine))
    assert found.std[0] == pytest.approx(want, rel=1e-6)


def test_an_optimiser_finds_better_initial_scales():
    base, runs = problem(decay=0.0), []

    def objective(log_std):
        std = np.exp(log_std)[[0, 0, 1, 1, 2]]
        runs.append(1)
        found = mfpde.sensitivity(base, laws.Gaussian(std), **HOW, rtol=1e-3)
        slope = found.std * std
        return found.loss, np.array([slope[:2].sum(), slope[2:4].sum(), slope[4]])

    usual = objective(np.zeros(3))[0]
    best = minimize(objective, np.zeros(3), jac=True, bounds=[(-2, 1.5)] * 3, tol=1e-6)
    assert best.fun < 0.7 * usual
    assert len(runs) <= 60
