"""Weight decay, quartic confinement and the decay that vanishes in training time."""

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde.penalty import Penalty

DEPTH = mfpde.Depth(2, "rk4")


def test_penalty_gradient_and_curvature_are_derivatives():
    penalty, h = Penalty(0.3, 0.2), 1e-6
    theta = np.random.default_rng(0).standard_normal((7, 3))
    for c in range(3):
        shift = h * np.eye(3)[c]
        slope = (penalty.value(theta + shift) - penalty.value(theta - shift)) / (2 * h)
        np.testing.assert_allclose(penalty.gradient(theta)[:, c], slope, rtol=1e-8, atol=1e-9)
    for point in theta:
        hessian = np.stack(
            [
                (penalty.gradient(point + h * e) - penalty.gradient(point - h * e)) / (2 * h)
                for e in np.eye(3)
            ]
        )
        assert np.linalg.eigvalsh(hessian)[-1] <= penalty.curvature(theta) * (1 + 1e-8)
    far = theta[[np.argmax(np.square(theta).sum(axis=1))]]
    assert penalty.curvature(theta) == pytest.approx(penalty.curvature(far))


@pytest.mark.parametrize("method", ["rk45", "implicit"])
def test_quartic_flow_decays_and_methods_agree(method):
    problem = sine(8, weight_decay=0.02, quartic_decay=0.05)
    rho0 = gaussian_measure(problem, DEPTH)
    run = mfpde.solve(problem, rho0, s_end=3.0, method=method, rtol=1e-5)
    exact = mfpde.solve(problem, rho0, s_end=3.0, method="rk45", rtol=1e-10)
    assert np.all(np.diff(run.energy) <= 0)
    assert run.loss[-1] == pytest.approx(exact.loss[-1], rel=1e-4)


def still() -> mfpde.Problem:
    """No data term acts: targets equal the outputs of any measure with u = 0."""
    return mfpde.Problem(np.zeros((3, 1)), np.zeros((3, 1)), block=mfpde.SHL(1))


def test_vanishing_decay_alone_has_an_exact_solution():
    """dw/ds = −2c e^{−s} w, so w(s) = w(0) exp(−2c (1 − e^{−s}))."""
    problem, c = still(), 0.7
    theta = np.zeros((DEPTH.steps * 2 + 1, 4, 3))
    theta[..., 1] = np.linspace(0.5, 2.0, 4)
    rho0 = mfpde.ParticleMeasure(theta, DEPTH)
    for method, tolerance in (("rk45", 1e-6), ("implicit", 1e-5)):
        run = mfpde.solve(
            problem, rho0, s_end=2.0, method=method, rtol=1e-8, vanishing_decay=c, save=[1.0]
        )
        for s in (1.0, 2.0):
            factor = np.exp(-2 * c * (1 - np.exp(-s)))
            np.testing.assert_allclose(run.at(s).theta, theta * factor, rtol=tolerance)
        assert np.all(run.loss == 0)
        expected = c * np.exp(-run.s[-1]) * rho0.integrate(np.square(run.final.theta).sum(-1))
        assert run.energy[-1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("method", "order", "least"),
    [("gd", 1, 0.9), ("heun", 2, 1.8), ("rk4", 4, 3.6)],
)
def test_vanishing_decay_keeps_the_order_of_fixed_steps(method, order, least):
    problem = sine(6)
    rho0 = gaussian_measure(problem, DEPTH)
    exact = mfpde.solve(problem, rho0, s_end=1.0, method="rk45", rtol=1e-11, vanishing_decay=1.0)
    errors = [
        np.abs(
            mfpde.solve(
                problem, rho0, s_end=1.0, method=method, step=1.0 / n, vanishing_decay=1.0
            ).final.theta
            - exact.final.theta
        ).max()
        for n in (8, 16)
    ]
    assert np.log2(errors[0] / errors[1]) > least
    assert errors[1] < 5.0 * 16.0**-order


def test_vanishing_decay_lowers_its_own_energy_and_vanishes(tmp_path):
    """E_s falls at every step; an interrupted run goes on with the same decay."""
    problem = sine(8)
    rho0 = gaussian_measure(problem, DEPTH)
    how = {"method": "implicit", "rtol": 1e-3, "vanishing_decay": 1.0}
    path = tmp_path / "run.h5"
    straight = mfpde.solve(problem, rho0, s_end=40.0, **how)
    assert np.all(np.diff(straight.energy) <= 0)
    gap = straight.energy - straight.loss
    assert gap[0] > 0.1
    assert gap[-1] < 1e-12
    mfpde.solve(
        problem, rho0, s_end=40.0, checkpoint=path, callback=lambda sol: sol.s[-1] > 1.0, **how
    )
    resumed = mfpde.resume(path)
    np.testing.assert_array_equal(resumed.final.theta, straight.final.theta)
    np.testing.assert_array_equal(resumed.energy, straight.energy)


def test_temperature_is_refused_for_particles():
    problem = sine(6, temperature=0.1)
    with pytest.raises(ValueError, match="temperature must be 0 for particles"):
        mfpde.solve(problem, gaussian_measure(problem, DEPTH), s_end=1.0)


@pytest.mark.parametrize("name", ["weight_decay", "quartic_decay", "temperature"])
def test_negative_terms_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be finite and >= 0"):
        sine(6, **{name: -1.0})


def test_reaction_and_vanishing_decay_do_not_mix():
    problem = sine(6)
    with pytest.raises(ValueError, match="reaction cannot be combined"):
        mfpde.solve(
            problem, gaussian_measure(problem, DEPTH), s_end=1.0, reaction=1.0, vanishing_decay=1.0
        )
