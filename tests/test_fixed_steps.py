"""Fixed steps: what they say of their own error, and the step they choose."""

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde import Status, laws
from mfpde.flows import accuracy
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.schemes import SCHEMES

FIXED = ("gd", "heun", "rk4")


def three_data(seed):
    """Three data, two classes, a single sigmoid particle: training is long and abrupt."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(3, 1)), rng.integers(0, 2, 3)
    y[:2] = [0, 1]
    block = mfpde.SHL(2, activation="sigmoid")
    problem = mfpde.Problem(x, y, block=block, loss="cross_entropy")
    depth = mfpde.Depth(4, "euler")
    law = laws.Gaussian(1.5, dim=5)
    return problem, mfpde.ParticleMeasure.from_law(law, depth, count=1, seed=seed, rule="iid")


@pytest.mark.parametrize("method", FIXED)
@pytest.mark.parametrize("seed", [3, 4, 9])
def test_default_steps_meet_the_stated_accuracy(method, seed):
    problem, rho0 = three_data(seed)
    run = mfpde.solve(problem, rho0, s_end=442.0, method=method)
    exact = mfpde.solve(problem, rho0, s_end=442.0, method="rk45", rtol=1e-7)
    assert run.status is Status.END_REACHED
    assert run.error <= accuracy.STATED
    assert abs(run.loss[-1] / exact.loss[-1] - 1) <= accuracy.STATED


@pytest.mark.parametrize("method", FIXED)
def test_the_estimate_of_a_step_is_its_error(method):
    problem = sine(8)
    rho0 = gaussian_measure(problem, mfpde.Depth(2, "rk4"))
    flow, scheme = ParticleFlow(problem, rho0), SCHEMES[method]
    point, h = flow.at(rho0.theta), 0.3
    end = scheme.step(flow, point, h).point
    fine = point
    for _ in range(64):
        fine = SCHEMES["rk45"].step(flow, fine, h / 64).point
    found = accuracy.of_step(flow, scheme, point, end, h)
    assert found.relative == pytest.approx(abs(end.energy / fine.energy - 1), rel=0.15)
    apart = flow.norm(end.state - fine.state)
    assert found.shift == pytest.approx(apart / np.sqrt(end.norm2), rel=0.15)


def test_errors_made_on_a_plateau_are_found_again_where_it_is_left():
    """Errors of single steps are small beside E there; they shift the exit in time."""
    x = np.linspace(-1, 1, 24)[:, None]
    classes = (np.sin(3 * np.pi * x[:, 0]) > 0).astype(int)
    problem = mfpde.Problem(x, classes, block=mfpde.SHL(3), loss="cross_entropy")
    rho0 = gaussian_measure(problem, mfpde.Depth(4, "euler"), count=64)
    run = mfpde.solve(problem, rho0, s_end=113.0, method="gd", raise_on_failure=False)
    exact = mfpde.solve(problem, rho0, s_end=113.0, method="rk45", rtol=1e-7)
    true = abs(run.loss[-1] / exact.loss[-1] - 1)
    assert run.control.drift < 0.3 * true
    assert 0.5 * true <= run.error <= 5 * true
    assert run.status is Status.INACCURATE
    assert true > accuracy.STATED


@pytest.mark.parametrize("method", FIXED)
def test_the_error_of_a_given_step_is_reported_not_judged(method):
    problem = sine(8)
    rho0 = gaussian_measure(problem, mfpde.Depth(2, "rk4"))
    run = mfpde.solve(problem, rho0, s_end=3.0, method=method, step=0.5)
    exact = mfpde.solve(problem, rho0, s_end=3.0, method="rk45", rtol=1e-9)
    assert run.status is Status.END_REACHED
    true = abs(run.loss[-1] / exact.loss[-1] - 1)
    assert 0.3 * true <= run.error <= 10 * true
    assert f"estimated at {run.error:.1e}" in run.message
    assert exact.error is None


def test_a_default_step_that_errs_is_no_success(monkeypatch, tmp_path):
    problem = sine(8)
    rho0 = gaussian_measure(problem, mfpde.Depth(2, "rk4"))
    how = {"s_end": 3.0, "method": "gd"}
    good = mfpde.solve(problem, rho0, **how)
    assert good.success
    monkeypatch.setattr(accuracy, "STATED", 0.5 * good.error)
    monkeypatch.setattr(accuracy, "longest_step", lambda flow, scheme, point, h, s_end: h)
    path = tmp_path / "run.h5"
    run = mfpde.solve(problem, rho0, raise_on_failure=False, checkpoint=path, **how)
    assert run.status is Status.INACCURATE
    assert "method='auto'" in run.message
    assert mfpde.Solution.load(path).error == run.error
    given = mfpde.solve(problem, rho0, step=float(run.step[1]), **how)
    assert given.success
    assert given.error == run.error
