"""Orders in training time, energy decay, stability, and agreement of all methods."""

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde import Status
from mfpde.flows import stability
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.schemes import SCHEMES, dormand_prince, implicit, scheme

DEPTH = mfpde.Depth(2, "rk4")


@pytest.fixture(scope="module")
def problem():
    return sine(8)


def equal_steps(problem, method, count, **how):
    """The bare scheme without its controller."""
    rho0 = gaussian_measure(problem, DEPTH)
    flow = ParticleFlow(problem, rho0)
    point = flow.at(rho0.theta)
    for _ in range(count):
        point = SCHEMES[method].step(flow, point, 2.0 / count, **how).point
    return point.state


@pytest.fixture(scope="module")
def exact(problem):
    return equal_steps(problem, "rk45", 400)


def final_error(problem, exact, method, **how):
    rho0 = gaussian_measure(problem, DEPTH)
    run = mfpde.solve(problem, rho0, s_end=2.0, method=method, **how)
    return np.abs(run.final.theta - exact).max(), run.control.steps


@pytest.mark.parametrize(
    ("method", "order", "steps", "ceiling"),
    [("gd", 1, (16, 32, 64), 3e-3), ("heun", 2, (16, 32, 64), 5e-5), ("rk4", 4, (8, 16, 32), 1e-6)],
)
def test_order_of_fixed_steps(problem, exact, method, order, steps, ceiling):
    errors = [final_error(problem, exact, method, step=2.0 / n)[0] for n in steps]
    orders = -np.diff(np.log(errors)) / np.log(2)
    np.testing.assert_allclose(orders, order, atol=0.2)
    assert errors[-1] <= ceiling


@pytest.mark.parametrize(
    ("method", "how", "order", "steps", "ceiling"),
    [
        ("rk45", {}, 5, (16, 32, 64), 1e-12),
        ("implicit", {"columns": 2}, 2, (16, 32, 64), 2e-4),
        ("implicit", {"columns": 3}, 3, (16, 32, 64), 1e-5),
        ("implicit", {"columns": 4}, 4, (16, 32, 64), 5e-7),
    ],
)
def test_order_of_adaptive_schemes(problem, exact, method, how, order, steps, ceiling):
    errors = [np.abs(equal_steps(problem, method, n, **how) - exact).max() for n in steps]
    orders = -np.diff(np.log(errors)) / np.log(2)
    np.testing.assert_allclose(orders, order, atol=0.3)
    assert errors[-1] <= ceiling


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_error_estimate_of_the_implicit_scheme_has_its_order(problem, columns):
    rho0 = gaussian_measure(problem, DEPTH)
    flow = ParticleFlow(problem, rho0)
    point = flow.at(rho0.theta)
    estimates = [
        flow.norm(implicit.step(flow, point, h, columns=columns).error)
        for h in (0.1, 0.05, 0.025, 0.0125)
    ]
    orders = -np.diff(np.log(estimates)) / np.log(2)
    np.testing.assert_allclose(orders[-1], columns, atol=0.3)


def test_the_order_of_implicit_follows_the_tolerance():
    orders = [scheme("implicit", rtol, 0.0).error_order for rtol in (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)]
    assert orders == [2, 2, 3, 4, 4]


def test_dormand_prince_is_that_of_scipy():
    from scipy.integrate import RK45

    own = np.zeros((6, 5))
    for i, row in enumerate(dormand_prince.A[1:], start=1):
        own[i, : len(row)] = row
    for name, value in {"A": own, **{n: getattr(dormand_prince, n) for n in "BEP"}}.items():
        np.testing.assert_allclose(value, getattr(RK45, name), rtol=1e-14, err_msg=name)


@pytest.mark.parametrize("method", ["rk45", "implicit"])
def test_tolerance_is_met(problem, exact, method):
    errors = [final_error(problem, exact, method, rtol=rtol)[0] for rtol in (1e-3, 1e-5)]
    assert errors[1] < 1e-4
    assert errors[1] < 0.1 * errors[0]


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("method", ["gd", "heun", "rk4", "rk45", "implicit"])
def test_energy_never_rises_and_methods_agree(method, loss, weight_decay):
    problem = sine(8, loss=loss, weight_decay=weight_decay)
    rho0 = gaussian_measure(problem, DEPTH)
    how = {"step": 0.1} if method in ("gd", "heun", "rk4") else {"rtol": 1e-4}
    run = mfpde.solve(problem, rho0, s_end=3.0, method=method, **how)
    assert np.all(np.diff(run.loss) <= 0)
    reference = mfpde.solve(problem, rho0, s_end=3.0, method="rk45", rtol=1e-9)
    tolerance = 3e-2 if method == "gd" else 3e-3
    assert abs(run.loss[-1] / reference.loss[-1] - 1) < tolerance


def test_dissipation_is_the_gradient_norm(problem):
    """E(0) − E(s) = ∫ |grad E|² ds along the flow."""
    rho0 = gaussian_measure(problem, DEPTH)
    run = mfpde.solve(problem, rho0, s_end=2.0, method="rk4", step=0.01)
    integral = np.trapezoid(run.gradient_norm2, run.s)
    assert abs(run.loss[0] - run.loss[-1] - integral) < 1e-4 * run.loss[0]


def test_implicit_reaches_zero_loss_where_gradient_descent_crawls():
    problem = sine(10)
    rho0 = gaussian_measure(problem, mfpde.Depth(3, "rk4"), count=32)
    run = mfpde.solve(problem, rho0, s_end=np.inf, loss_below=1e-12, method="implicit", rtol=3e-2)
    assert run.status is Status.LOSS_REACHED
    assert run.control.steps < 150
    descent = mfpde.solve(
        problem,
        rho0,
        s_end=np.inf,
        loss_below=1e-12,
        method="gd",
        step=0.25,
        max_steps=1000,
        raise_on_failure=False,
    )
    assert descent.status is Status.MAX_STEPS
    assert descent.loss[-1] > 1e-6


@pytest.mark.parametrize("method", ["gd", "heun", "rk4"])
def test_a_step_beyond_the_stability_limit_stops_with_the_remedy(method):
    problem = sine(16)
    rho0 = gaussian_measure(problem, mfpde.Depth(8, "euler"), count=64)
    run = mfpde.solve(problem, rho0, s_end=500.0, method=method, step=20.0, raise_on_failure=False)
    assert run.status in (Status.UNSTABLE, Status.LOSS_ROSE)
    assert "method='implicit'" in run.message
    assert np.all(np.isfinite(run.final.theta))
    with pytest.raises(mfpde.SolveError) as caught:
        mfpde.solve(problem, rho0, s_end=500.0, method=method, step=20.0)
    assert caught.value.solution.status is run.status


def test_the_largest_eigenvalue_is_that_of_the_kernel(problem):
    rho0 = gaussian_measure(problem, DEPTH)
    flow = ParticleFlow(problem, rho0)
    point = flow.at(rho0.theta)
    value, _ = stability.largest_eigenvalue(flow, point, stability.start_vector(flow), 60)
    assert value == pytest.approx(np.linalg.eigvalsh(point.kernel / problem.size)[-1], rel=1e-6)


def test_auto_chooses_and_says_why(problem):
    rho0 = gaussian_measure(problem, DEPTH)
    short = mfpde.solve(problem, rho0, s_end=1.0)
    long = mfpde.solve(problem, rho0, s_end=1e4, loss_below=1e-6)
    assert short.options.method == "rk45"
    assert "chose 'rk45'" in short.message
    assert long.options.method == "implicit"
    assert "stiff" in long.message


def test_dense_output_of_rk45_and_exact_landing_of_the_others(problem):
    rho0 = gaussian_measure(problem, DEPTH)
    times = [0.3, 1.1, 1.7]
    dense = mfpde.solve(problem, rho0, s_end=2.0, method="rk45", rtol=1e-8, save=times)
    landed = mfpde.solve(problem, rho0, s_end=2.0, method="rk4", step=0.02, save=times)
    np.testing.assert_array_equal(dense.saved_s, [0, *times])
    for t in times:
        np.testing.assert_allclose(dense.at(t).theta, landed.at(t).theta, atol=1e-6)
    assert not np.isin(times, dense.s).any()
    assert np.isin(times, landed.s).all()


def test_every_step_on_request(problem):
    rho0 = gaussian_measure(problem, DEPTH)
    run = mfpde.solve(problem, rho0, s_end=1.0, method="rk4", step=0.05, save="steps")
    np.testing.assert_array_equal(run.saved_s, run.s)
    np.testing.assert_array_equal(run.at(run.s[3]).theta, run.states[3])
    for s in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="s must be in"):
            run.at(s)


def test_stats_count_what_was_done(problem):
    rho0 = gaussian_measure(problem, DEPTH)
    run = mfpde.solve(problem, rho0, s_end=1.0, method="implicit", rtol=1e-3)
    attempts = run.stats["steps"] + run.stats["rejected"]
    # Three columns: four kernels per step; the one at the start of a rejected step is reused.
    assert run.stats["kernels"] <= 4 * attempts
    assert run.stats["factorisations"] == 6 * attempts
    assert set(run.stats["seconds"]) == {
        "compilation",
        "kernels",
        "linear_algebra",
        "recording",
        "total",
    }


def test_a_user_block_is_solved_like_any_other():
    from problems import Cubic

    x = np.linspace(-1, 1, 6)[:, None]
    problem = mfpde.Problem(x, x + 0.5 * x**3, block=Cubic())
    rho0 = mfpde.ParticleMeasure.from_law(
        mfpde.laws.Gaussian([0.5, 1.0]), mfpde.Depth(3), count=16, rule="gauss"
    )
    runs = [
        mfpde.solve(problem, rho0, s_end=5.0, method=method, rtol=1e-5)
        for method in ("rk45", "implicit")
    ]
    assert runs[0].loss[-1] < 0.1 * runs[0].loss[0]
    assert runs[1].loss[-1] == pytest.approx(runs[0].loss[-1], rel=2e-3)


@pytest.mark.parametrize("method", ["gd", "implicit"])
def test_non_finite_keeps_the_last_good_state(method):
    class Explosive(mfpde.SHL):
        """A block that overflows once the particles have moved."""

        def field(self, x, theta, a):
            out = super().field(x, theta, a)
            return out if np.abs(theta[:, 0]).max() < self.limit else np.full_like(out, np.nan)

    problem = sine(6)
    rho0 = gaussian_measure(problem, DEPTH)
    block = Explosive(2)
    block.limit = np.abs(rho0.theta[..., 0]).max() + 1e-3
    broken = mfpde.Problem(problem.x, problem.y, block=block)
    how = {"step": 0.1} if method == "gd" else {}
    run = mfpde.solve(broken, rho0, s_end=50.0, method=method, raise_on_failure=False, **how)
    assert run.status in (Status.NON_FINITE, Status.STEP_TOO_SMALL)
    assert np.all(np.isfinite(run.final.theta))
    assert np.all(np.isfinite(run.loss))


def test_a_goal_out_of_reach_ends_with_the_reason():
    """Two targets for one input: the loss cannot fall below their variance."""
    x, y = np.zeros((2, 1)), np.array([[0.0], [1.0]])
    problem = mfpde.Problem(x, y, block=mfpde.SHL(dim=2))
    rho0 = gaussian_measure(problem, DEPTH)
    how = {"s_end": np.inf, "loss_below": 1e-6, "rtol": 1e-2, "raise_on_failure": False}
    run = mfpde.solve(problem, rho0, method="implicit", **how)
    assert run.status is Status.AT_REST
    assert run.loss[-1] == pytest.approx(0.125, rel=1e-6)
    stuck = mfpde.ParticleMeasure(np.zeros_like(rho0.theta), DEPTH)
    assert mfpde.solve(problem, stuck, method="implicit", **how).status is Status.AT_REST


@pytest.mark.parametrize("method", ["gd", "rk45", "implicit"])
def test_float32_runs_stay_in_float32(problem, method):
    rho0 = gaussian_measure(problem, DEPTH, dtype=np.float32)
    single = mfpde.solve(problem, rho0, s_end=2.0, method=method, rtol=1e-3)
    double = mfpde.solve(
        problem, gaussian_measure(problem, DEPTH), s_end=2.0, method=method, rtol=1e-3
    )
    assert single.final.dtype == np.float32
    np.testing.assert_allclose(single.loss[-1], double.loss[-1], rtol=1e-3)
