"""Resume at every step equals the uninterrupted run bit for bit; ρ_s at any s is the run's own."""

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde import Status

DEPTH = mfpde.Depth(2, "rk4")
METHODS = {
    "gd": {"step": 0.07},
    "heun": {"step": 0.07},
    "rk4": {"step": 0.07},
    "rk45": {"rtol": 1e-7},
    "implicit": {"rtol": 1e-3},
}
FINE = {"rk4": {"step": 0.01}, "rk45": {"rtol": 1e-10}, "implicit": {"rtol": 1e-7}}


def particles(method, **how):
    problem = sine(8)
    rho0 = gaussian_measure(problem, DEPTH, count=6)
    how = {"s_end": 1.0, "save": [0.3, 0.7], **METHODS[method], **how}
    return mfpde.solve(problem, rho0, method=method, vanishing_decay=0.7, **how)


def joint(method, **how):
    problem = sine(8)
    law = mfpde.laws.Gaussian(1.0, dim=5)
    rho0 = mfpde.JointMeasure.from_law(law, count=24, seed=1)
    how = {"s_end": 1.0, "save": [0.3, 0.7], **METHODS[method], **how}
    return mfpde.solve(problem, rho0, method=method, vanishing_decay=0.7, **how)


def grid(method, **how):
    x = np.linspace(-1, 1, 5)[:, None]
    problem = mfpde.Problem(x, np.sin(x), block=mfpde.Linear(1))
    law = mfpde.laws.Gaussian(0.5, dim=2)
    rho0 = mfpde.GridMeasure.from_law(law, DEPTH, box=((-3, 3), (-3, 3)), cells=(12, 12))
    return mfpde.solve(
        problem, rho0, s_end=0.5, method=method, save=[0.2], vanishing_decay=0.7, **how
    )


RUNS = [(particles, method) for method in METHODS]
RUNS += [(joint, "rk45"), (joint, "rk4"), (grid, "muscl"), (grid, "implicit")]


@pytest.mark.parametrize(("run", "method"), RUNS)
def test_stopped_after_any_step_it_ends_as_the_straight_run(run, method, tmp_path):
    straight = run(method)
    steps = straight.control.steps
    assert steps >= 3
    for stop in range(1, steps):
        path = tmp_path / f"{stop}.h5"
        broken = run(method, callback=lambda sol, n=stop: sol.control.steps == n, checkpoint=path)
        assert broken.status is Status.STOPPED
        assert_states(mfpde.resume(path), straight)


def assert_states(one, other):
    for name in ("s", "loss", "energy", "gradient_norm2", "step", "saved_s", "states"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.final.state, other.final.state)
    assert one.status is other.status


@pytest.mark.parametrize("run", [particles, joint])
@pytest.mark.parametrize("method", ["rk4", "rk45", "implicit"])
def test_any_s_is_reached_by_the_runs_own_steps(run, method, tmp_path):
    """At accepted steps bit for bit what ``save="steps"`` keeps, in between as accurate."""
    every, plain = run(method, save="steps"), run(method, save=None, checkpoint=tmp_path / "r.h5")
    loaded = mfpde.Solution.load(tmp_path / "r.h5")
    assert list(plain.saved_s) == [0.0]
    np.testing.assert_array_equal(every.s, plain.s)
    for s, state in zip(every.s, every.states, strict=True):
        np.testing.assert_array_equal(plain.at(s).state, state)
        np.testing.assert_array_equal(loaded.at(s).state, state)
    fine, off = run(method, **FINE[method]), 2e-3 if method == "implicit" else 1e-5
    for s in (0.3, 0.7):
        np.testing.assert_allclose(plain.at(s).state, fine.at(s).state, atol=off)


def test_a_long_run_is_reached_with_few_states(monkeypatch):
    from mfpde.runs import solution

    monkeypatch.setattr(solution, "MOST_MARKS", 8)
    every = particles("gd", save="steps", s_end=6.0)
    plain = particles("gd", save=None, s_end=6.0)
    assert plain.control.steps > 60
    kept = [mark.steps for _, mark in plain._marks]
    assert 4 <= len(kept) <= 8
    assert np.ptp(np.diff(kept)) == 0
    for k in range(0, len(every.s), 7):
        np.testing.assert_array_equal(plain.at(every.s[k]).state, every.states[k])


def test_the_middle_of_a_long_run_is_not_a_mean_of_its_ends():
    x = np.linspace(-1, 1, 10)[:, None]
    problem = mfpde.Problem(x, np.sin(3 * x), block=mfpde.SHL(2))
    rho0 = gaussian_measure(problem, mfpde.Depth(4, "rk4"), count=16)
    run = mfpde.solve(problem, rho0, s_end=1000.0)
    for s in (1.0, 30.0, 500.0):
        k = np.searchsorted(run.s, s)
        loss = mfpde.loss(problem, run.at(s))
        assert run.loss[k] <= loss * (1 + 1e-3) <= run.loss[k - 1] * (1 + 2e-3)
