"""Sensitivities against differences of whole runs, and put to use."""

import numpy as np
import pytest
from scipy.optimize import minimize

import mfpde
from mfpde import laws
from mfpde.response import trajectory
from mfpde.response.implicit_steps import Implicit
from mfpde.response.sensitivity import _by_law
from mfpde.response.trajectory import Trajectory

MEAN, STD = np.array([0.1, 0.0, -0.2, 0.0, 0.3]), np.array([1.0, 0.8, 0.0, 1.5, 0.6])
X = np.linspace(-1, 1, 7)[:, None] * np.array([[1.0, 0.5]])
HOW = {"s_end": 1.5, "particles": 32, "depth_steps": 2}


def problem(x=X, y=None, decay=0.03, loss="squared", weights=None):
    if y is None:
        y = np.sin(3 * x[:, :1]) if loss == "squared" else np.eye(2)[(x[:, 0] > 0).astype(int)]
    return mfpde.Problem(x, y, block=mfpde.SHL(2), weight_decay=decay, loss=loss, weights=weights)


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
@pytest.mark.parametrize("method", ["gd", "heun"])
def test_every_derivative_is_a_difference_of_runs(method, kind):
    how = {"method": method, "step": 0.125}
    own = np.linspace(0.4, 1.6, 7)
    given = {"loss": kind, "weights": own}
    base = problem(**given)
    found = mfpde.sensitivity(base, laws.Gaussian(STD, MEAN), **HOW, **how)
    assert found.loss == pytest.approx(loss(base, **how), rel=1e-13)
    unit = np.eye(5)
    where = (3, 1)
    bump = np.zeros_like(X)
    bump[where] = 1.0
    y = np.zeros_like(base.y)
    y[2, 0] = 1.0
    pairs = [
        (found.weight_decay, lambda e: loss(problem(decay=0.03 + e, **given), **how)),
        (found.inputs[where], lambda e: loss(problem(X + e * bump, base.y, **given), **how)),
    ]
    for i in (0, 4):
        more = np.eye(7)[i]
        pairs.append(
            (
                found.weights[i],
                lambda e, more=more: loss(problem(loss=kind, weights=own + e * more), **how),
            )
        )
    if kind == "squared":
        pairs.append(
            (found.targets[2, 0], lambda e: loss(problem(y=base.y + e * y, weights=own), **how))
        )
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


@pytest.mark.parametrize("kind", ["squared", "cross_entropy", "logistic"])
def test_implicit_steps_are_differentiated_like_others(kind):
    """One map of fixed implicit steps, so that differences are of that map."""
    own = np.linspace(0.4, 1.6, 7)
    ys = {"logistic": np.sign(np.sin(4 * X[:, :1]) + 0.1), "cross_entropy": np.full((7, 2), 0.5)}
    y = ys.get(kind)
    s = np.array([0.0, 0.3, 0.8, 1.5])

    def run(given, law=None):
        rho0 = mfpde.ParticleMeasure.from_law(
            law or laws.Gaussian(STD, MEAN), mfpde.Depth(2, "rk4"), count=32
        )
        return Trajectory(given, rho0, [Implicit((2, 3, 4, 5))] * 3, s)

    def ended(given, **law):
        end = run(given, **law)
        return mfpde.loss(given, end.rho0.with_state(end.final))

    base = problem(y=y, loss=kind, weights=own)
    taken = run(base)
    found = taken.adjoint({3: trajectory.of_loss(taken.at(3))})
    z = taken.at(3).outputs
    bump = np.zeros_like(X)
    bump[3, 1] = 1.0
    targets = found.targets[0] + base.target_gradient(z) / 7
    end = taken.rho0.with_state(taken.final)
    decay = found.decay[0] + end.integrate(0.5 * np.square(end.theta).sum(axis=-1))
    own_weights = found.weights[0] + base.loss.value(z, base.y) / 7
    weights = own_weights - np.mean(own_weights * own)
    more = np.eye(7)[4]
    change = np.zeros_like(base.y)
    change[2] = [1.0, -1.0] if kind == "cross_entropy" else 1.0
    std = _by_law(taken.rho0, laws.Gaussian(STD, MEAN), found.initial[0])[1]
    tilt = np.eye(5)[3]
    pairs = [
        (
            (found.start[0] @ base.embed)[3, 1],
            lambda e: ended(problem(X + e * bump, base.y, loss=kind, weights=own)),
        ),
        (decay, lambda e: ended(problem(y=base.y, decay=0.03 + e, loss=kind, weights=own))),
        (weights[4], lambda e: ended(problem(y=base.y, loss=kind, weights=own + e * more))),
        (
            taken.rho0.depth.weights @ std[:, 3],
            lambda e: ended(base, law=laws.Gaussian(STD + e * tilt, MEAN)),
        ),
    ]
    if kind != "logistic":
        pairs.append(
            (
                (targets * change).sum(),
                lambda e: ended(problem(y=base.y + e * change, loss=kind, weights=own)),
            )
        )
    for got, function in pairs:
        assert got == pytest.approx(difference(function, 1e-3), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("method", ["implicit", "auto"])
def test_methods_agree(method):
    found, want = (
        mfpde.sensitivity(problem(), laws.Gaussian(STD, MEAN), **HOW, method=m, rtol=1e-7)
        for m in (method, "rk45")
    )
    for name in ("mean", "std", "targets", "inputs", "weights", "weight_decay"):
        np.testing.assert_allclose(getattr(found, name), getattr(want, name), rtol=1e-4, atol=1e-6)


def test_files_tables_and_pictures(tmp_path):
    found = mfpde.sensitivity(problem(), laws.Gaussian(STD, MEAN), **HOW, rtol=1e-3)
    found.save(tmp_path / "found.h5")
    other = mfpde.Sensitivity.load(tmp_path / "found.h5")
    assert repr(other) == repr(found)
    assert other.success
    np.testing.assert_array_equal(other.influence, found.influence)
    np.testing.assert_array_equal(other.inputs, found.inputs)
    assert len(found.plot().axes) == 2
    xarray = pytest.importorskip("xarray")
    assert isinstance(found.to_xarray(), xarray.Dataset)


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
