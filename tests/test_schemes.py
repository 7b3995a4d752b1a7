"""Orders in training time, energy decay, stability, and agreement of all methods."""

import numpy as np
import pytest
from problems import gaussian_measure, sine
from scipy.interpolate import CubicSpline

import mfpde
from mfpde import Status
from mfpde.flows import prices, stability
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.schemes import SCHEMES, implicit, scheme, tsitouras
from mfpde.runs import solution

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
        ("rk45", {}, 5, (32, 64), 1e-12),
        ("implicit", {"rows": (1, 2)}, 2, (16, 32, 64), 2e-4),
        ("implicit", {"rows": (1, 2, 3)}, 3, (16, 32, 64), 1e-5),
        ("implicit", {"rows": (2, 3, 4, 5)}, 4, (8, 16, 32), 5e-7),
    ],
)
def test_order_of_adaptive_schemes(problem, exact, method, how, order, steps, ceiling):
    errors = [np.abs(equal_steps(problem, method, n, **how) - exact).max() for n in steps]
    orders = -np.diff(np.log(errors)) / np.log(2)
    np.testing.assert_allclose(orders, order, atol=0.3)
    assert errors[-1] <= ceiling


@pytest.mark.parametrize("rows", [(1, 2), (1, 2, 3), (2, 3, 4, 5)])
def test_error_estimate_of_the_implicit_scheme_has_its_order(problem, rows):
    rho0 = gaussian_measure(problem, DEPTH)
    flow = ParticleFlow(problem, rho0)
    point = flow.at(rho0.theta)
    estimates = [
        flow.norm(implicit.step(flow, point, h, rows=rows).error)
        for h in (0.1, 0.05, 0.025, 0.0125)
    ]
    orders = -np.diff(np.log(estimates)) / np.log(2)
    np.testing.assert_allclose(orders[-1], len(rows), atol=0.3)


def test_the_order_of_implicit_follows_the_tolerance():
    orders = [scheme("implicit", rtol, 0.0).error_order for rtol in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)]
    assert orders == [2, 2, 3, 3, 4]


def tableau():
    """A (7, 7) and b of the pair, as of a method of seven stages."""
    a = np.zeros((7, 7))
    for i, row in enumerate([*tsitouras.A, tsitouras.B]):
        a[i, : len(row)] = row
    return a, a[6]


def trees(a, order):
    """Φ(τ) (stages), γ(τ) and the size of every rooted tree of up to ``order`` vertices."""
    found = {1: [(np.ones(len(a)), 1, 1)]}
    for n in range(2, order + 1):
        found[n] = [
            (
                np.prod([a @ phi for phi, _, _ in forest], axis=0),
                n * np.prod([gamma for _, gamma, _ in forest]),
                n,
            )
            for forest in forests(found, n - 1)
        ]
    return [tree for n in found for tree in found[n]]


def forests(found, vertices, largest=None, start=0):
    """Every multiset of trees with this many vertices in all."""
    if vertices == 0:
        yield []
        return
    for n in range(min(vertices, largest or vertices), 0, -1):
        first = start if n == largest else 0
        for i in range(first, len(found[n])):
            for rest in forests(found, vertices - n, n, i):
                yield [found[n][i], *rest]


def test_the_pair_satisfies_every_order_condition():
    a, b = tableau()
    conditions = trees(a, 5)
    assert len(conditions) == 17
    assert len(trees(a, 4)) == 8
    for phi, gamma, _ in conditions:
        assert b @ phi == pytest.approx(1 / gamma, abs=1e-13)
    embedded = b - tsitouras.E
    assert max(abs(embedded @ phi - 1 / gamma) for phi, gamma, _ in trees(a, 4)) < 1e-13
    assert max(abs(embedded @ phi - 1 / gamma) for phi, gamma, _ in conditions) > 1e-4


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.9, 1.0])
def test_the_interpolant_has_order_four(fraction):
    a, b = tableau()
    weights = tsitouras.P @ fraction ** np.arange(1, 5)
    for phi, gamma, size in trees(a, 4):
        assert weights @ phi == pytest.approx(fraction**size / gamma, abs=1e-13)
    if fraction == 1.0:
        np.testing.assert_allclose(weights, b, atol=1e-13)


def test_the_stability_limit_is_where_the_polynomial_leaves_one():
    a, b = tableau()

    def growth(z):
        return abs(1 - z * b @ np.linalg.solve(np.eye(7) + z * a, np.ones(7)))

    limit = tsitouras.STABILITY
    assert growth(limit) == pytest.approx(1.0, abs=1e-3)
    assert max(growth(z) for z in np.linspace(0.01, limit - 1e-3, 300)) < 1.0


@pytest.mark.parametrize("method", ["rk45", "implicit"])
def test_tolerance_is_met(problem, exact, method):
    errors = [final_error(problem, exact, method, rtol=rtol)[0] for rtol in (1e-3, 1e-5)]
    assert errors[1] < 1e-4
    assert errors[1] < 0.2 * errors[0]


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


def stiff():
    """sin 2πx, whose λ_max rises tenfold as training leaves its first plateau, and a run of it."""
    x = np.linspace(-1, 1, 12)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * np.pi * x), block=mfpde.SHL(2))
    rho0 = gaussian_measure(problem, mfpde.Depth(4, "euler"), count=32, seed=3)
    return problem, rho0


def test_auto_stays_explicit_while_nothing_is_stiff(problem):
    run = mfpde.solve(problem, gaussian_measure(problem, DEPTH), s_end=1.0)
    assert run.message.endswith("method='auto' began with 'rk45'.")
    assert run.stats["switches"] == 0
    assert "kernels" not in run.stats


def test_auto_goes_over_to_implicit_steps_and_says_where():
    problem, rho0 = stiff()
    run = mfpde.solve(problem, rho0, s_end=400.0, rtol=1e-4)
    assert run.stats["switches"] == run.control.switches == 1
    assert run.control.method == "implicit"
    assert "on 'implicit': stiff" in run.message
    exact = mfpde.solve(problem, rho0, s_end=400.0, rtol=1e-7, method="rk45")
    assert run.stats["gradients"] < 0.5 * exact.stats["gradients"]
    at = np.exp(CubicSpline(exact.s, np.log(exact.loss))(run.s))
    assert np.abs(run.loss / at - 1).max() < 1e-3


def test_runs_say_how_far_the_gradient_has_grown(monkeypatch):
    """On a way out of a plateau, where errors made before are magnified."""
    problem, rho0 = stiff()
    run = mfpde.solve(problem, rho0, s_end=130.0, rtol=1e-3)
    size = np.sqrt(run.gradient_norm2[1:])
    grown = np.max(size / np.minimum.accumulate(size))
    assert run.control.rise == pytest.approx(grown, rel=1e-12)
    assert 2.0 < grown < solution.MAGNIFIED
    assert "magnifies" not in run.message
    monkeypatch.setattr(solution, "MAGNIFIED", 0.9 * grown)
    assert f"|grad E| grew {grown:.0f}-fold" in run.message


def test_explicit_steps_are_left_later_after_a_plateau():
    from mfpde.flows.switching import lingering

    assert lingering(1.0, 1e-3) < 0.3 * lingering(20.0, 1e-3)
    assert lingering(5.0, 1e-6) < lingering(5.0, 1e-3) < lingering(8.0, 1e-3)


def test_auto_returns_to_explicit_steps_where_nothing_is_stiff(monkeypatch):
    """Sent into implicit steps at the start, where λ_max is small, it leaves them."""
    from mfpde.flows import switching

    def third(scheme, control, h, *rest):
        return switching.changed(control, "implicit", h) if control.steps == 3 else control

    problem, rho0 = stiff()
    monkeypatch.setattr(switching, "_after_explicit", third)
    path = []
    run = mfpde.solve(
        problem, rho0, s_end=30.0, callback=lambda run: path.append(run.control.method)
    )
    assert path[:4] == ["rk45", "rk45", "implicit", "implicit"]
    assert path[-1] == "rk45"
    assert run.stats["switches"] == 2
    assert "on 'rk45': no longer stiff" in run.message


@pytest.mark.parametrize("goes_on_by", ["implicit", "rk45"])
def test_states_before_a_change_of_method_are_made_by_the_method_of_their_step(
    goes_on_by, monkeypatch
):
    from mfpde.flows import switching

    def at_will(flow, point, scheme, control, h, rtol):
        wanted = {3: "implicit", 20: goes_on_by}.get(control.steps, control.method)
        same = wanted == control.method
        return control if same else switching.changed(control, wanted, control.h)

    problem, rho0 = stiff()
    late = mfpde.solve(problem, rho0, s_end=400.0, rtol=1e-3).final
    monkeypatch.setattr(switching, "reconsidered", at_will)
    how = {"rtol": 1e-3, "max_steps": 22, "raise_on_failure": False}
    run = mfpde.solve(problem, late, s_end=1e6, **how)
    before, after = run.s[[19, 20]]
    exact = mfpde.solve(problem, run.at(before), s_end=0.5 * (after - before), rtol=1e-7)
    middle = mfpde.loss(problem, run.at(0.5 * (before + after)))
    assert middle == pytest.approx(exact.loss[-1], rel=1e-3)


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_auto_resumes_bit_for_bit_across_a_switch(share, tmp_path):
    problem, rho0 = stiff()
    how = {"s_end": 400.0, "rtol": 1e-3}
    whole = mfpde.solve(problem, rho0, **how)
    stop, path = int(share * whole.control.steps), tmp_path / "run.h5"
    mfpde.solve(problem, rho0, checkpoint=path, callback=lambda r: r.control.steps == stop, **how)
    resumed = mfpde.resume(path)
    np.testing.assert_array_equal(resumed.loss, whole.loss)
    np.testing.assert_array_equal(resumed.final.theta, whole.final.theta)
    assert resumed.message == whole.message
    assert resumed.control.switches == whole.control.switches == 1


def test_explicit_steps_at_the_stability_bound_are_not_rejected():
    """λ_max as the stages of a step show it is that of the kernel, and keeps steps from failing."""
    problem, rho0 = stiff()
    rates = []
    run = mfpde.solve(
        problem,
        rho0,
        s_end=250.0,
        rtol=1e-3,
        method="rk45",
        callback=lambda run: rates.append(run.control.rate),
    )
    assert run.stats["steps"] > 300
    assert run.stats["rejected"] <= 0.01 * run.stats["steps"]
    kernel = ParticleFlow(problem, rho0).at(run.final.theta).kernel
    exact = np.linalg.eigvalsh(kernel)[-1] / problem.size
    assert np.median(rates[-20:]) == pytest.approx(exact, rel=0.1)


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
        with pytest.raises(ValueError, match="s must be"):
            run.at(s)


def test_stats_count_what_was_done(problem, monkeypatch):
    monkeypatch.setattr(prices, "kernel", lambda flow: 0.0)  # systems are factorised
    rho0 = gaussian_measure(problem, DEPTH)
    run = mfpde.solve(problem, rho0, s_end=1.0, method="implicit", rtol=1e-3)
    attempts = run.stats["steps"] + run.stats["rejected"]
    # One kernel, one factorisation per step; the kernel at the start of a rejected step is reused.
    assert run.stats["kernels"] <= attempts
    assert run.stats["factorisations"] == attempts
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
