"""The limit with error bars: honest estimates, independence of the rule, brute force agrees."""

import numpy as np
import pytest
from problems import sine

import mfpde
from mfpde import laws
from mfpde.measures import quadrature

LAW = laws.Uniform([-1] * 3, [1] * 3)


@pytest.fixture(scope="module")
def problem():
    x = np.linspace(-1, 1, 6)[:, None]
    return mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1))


@pytest.fixture(scope="module")
def sharp(problem):
    return mfpde.limit(problem, LAW, s_end=2.0, rtol=1e-6, times=4)


def true_error(problem, result, sharp):
    scale = np.sqrt(np.mean(problem.y**2))
    return np.sqrt(np.mean((result.outputs - sharp.outputs) ** 2, axis=(1, 2))).max() / scale


@pytest.mark.parametrize("rtol", [1e-2, 1e-3, 1e-4])
def test_the_error_bar_covers_the_error(problem, sharp, rtol):
    result = mfpde.limit(problem, LAW, s_end=2.0, rtol=rtol, times=4)
    assert result.success
    assert true_error(problem, result, sharp) <= result.error <= rtol
    assert set(result.errors) == {"width", "depth", "time"}
    assert result.loss[-1] == pytest.approx(mfpde.loss(problem, result.final), rel=1e-12)


def brute_force(problem, law, s_end, orders, steps):
    """Outputs of one wide, deep, tight run of the spectral rule."""
    rho0 = mfpde.ParticleMeasure.from_law(
        law, mfpde.Depth(steps), count=orders, rule="spectral", coupling="tied"
    )
    run = mfpde.solve(problem, rho0, s_end=s_end, method="rk45", rtol=1e-7)
    return mfpde.predict(problem, run.final)


def last_error(problem, result, outputs):
    return np.sqrt(np.mean((result.outputs[-1] - outputs) ** 2) / np.mean(problem.y**2))


@pytest.mark.parametrize(
    ("law", "orders", "steps"),
    [
        (lambda t: laws.Gaussian(1.5 * t, dim=3), (8, 18, 18), 13),
        (lambda t: laws.Gaussian([t, 1.0, 1.0]), (8, 18, 18), 13),
        (
            lambda t: laws.Gaussian([0.0, 1.0, 0.0], 1.5 * np.sin(8 * np.pi * t) * np.ones(3)),
            (1, 24, 1),
            89,
        ),
    ],
    ids=["from a point", "one coordinate from a point", "aliased by powers of two"],
)
def test_laws_that_move_with_depth(problem, law, orders, steps):
    exact = brute_force(problem, law, 1.0, orders, steps)
    result = mfpde.limit(problem, law, s_end=1.0, rtol=3e-3, times=2)
    assert result.success
    assert last_error(problem, result, exact) <= result.error
    assert result.sizes.particles > 1


def test_a_law_too_rough_for_any_depth_is_refused(problem):
    with pytest.raises(ValueError, match="faster than 233 rk4 steps"):
        mfpde.limit(problem, lambda t: laws.Gaussian(1.0, np.sin(900 * t), dim=3), s_end=1.0)


def test_slow_convergence_in_depth_and_time_is_seen():
    """The linear block's flow is exact at two Gauss nodes: depth and time are all its error."""
    x = np.linspace(-1, 1, 5)[:, None]
    task = mfpde.Problem(x, x / 2, block=mfpde.Linear(1))
    exponent = mfpde.theory.linear_scalar(1.0, lambda z: np.mean(x**2) * (z - 0.5), [2.0])
    for rtol in (1e-3, 1e-5):
        result = mfpde.limit(task, laws.Gaussian(1.0, dim=2), s_end=2.0, rtol=rtol, times=2)
        assert last_error(task, result, np.exp(exponent[0]) * x) <= result.error <= rtol


def test_a_single_step_is_no_evidence():
    """Both runs in one step agree to the last digit and say nothing: tolerances go on down."""
    x = np.linspace(-1, 1, 5)[:, None]
    task = mfpde.Problem(x, x / 2, block=mfpde.Linear(1))
    result = mfpde.limit(task, laws.Gaussian(0.5, dim=2), s_end=0.05, rtol=1e-3, times=1)
    assert result.success
    assert result.errors["time"] > 0.0
    exponent = mfpde.theory.linear_scalar(0.25, lambda z: np.mean(x**2) * (z - 0.5), [0.05])
    assert last_error(task, result, np.exp(exponent[0]) * x) <= result.error


def test_kinks_take_scrambles(problem):
    """relu: no rule of high order holds, and the spread of scrambles needs none."""
    task = mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(dim=1, activation="relu"))
    results = [
        mfpde.limit(task, LAW, s_end=1.0, rtol=r, times=2, seed=s)
        for r, s in ((3e-2, 0), (3e-3, 7))
    ]
    assert all(result.success and result.sizes.rule == "sobol" for result in results)
    assert true_error(task, *results) <= results[0].error + results[1].error
    # The pooled particles are one measure of the same limit.
    rough = results[0]
    assert abs(mfpde.loss(task, rough.final) - rough.loss[-1]) <= rough.loss_error[-1]


def test_independent_of_the_rule(problem, sharp):
    """Sobol points and Gauss nodes, unrelated quadratures, converge to the same numbers."""

    def outputs(rule, count):
        rho0 = mfpde.ParticleMeasure.from_law(LAW, mfpde.Depth(4), count=count, rule=rule)
        run = mfpde.solve(problem, rho0, s_end=2.0, method="rk45", rtol=1e-8)
        return mfpde.predict(problem, run.final)

    np.testing.assert_allclose(outputs("gauss", 512), sharp.outputs[-1], atol=2e-6)
    np.testing.assert_allclose(outputs("sobol", 8192), sharp.outputs[-1], atol=3e-4)


def test_wide_networks_extrapolate_to_it(problem, sharp):
    """i.i.d. means over seeds at growing M agree within their Monte-Carlo error."""
    biases = []
    for count in (64, 256):
        outputs = []
        for seed in range(12):
            rho0 = mfpde.ParticleMeasure.from_law(
                LAW, mfpde.Depth(2), count=count, rule="iid", coupling="independent", seed=seed
            )
            run = mfpde.solve(problem, rho0, s_end=2.0, method="rk45", rtol=1e-6)
            outputs.append(mfpde.predict(problem, run.final) - sharp.outputs[-1])
        bias, spread = np.mean(outputs, axis=0), np.std(outputs, axis=0, ddof=1)
        # A bias of order 1/M on top of the mean's standard error.
        assert np.all(np.abs(bias) <= 4 * spread / np.sqrt(12) + 2.0 / count)
        biases.append(np.sqrt(np.mean(np.square(outputs))))
    assert biases[1] == pytest.approx(0.5 * biases[0], rel=0.35)


def test_many_coordinates_take_sobol_points():
    task = sine(6)
    block = mfpde.SHL(dim=3)
    x = np.hstack([task.x, task.x**2, np.cos(task.x)])
    problem = mfpde.Problem(x, task.y, block=block)
    result = mfpde.limit(problem, laws.Uniform([-1] * 7, [1] * 7), s_end=1.0, rtol=3e-2, times=2)
    assert result.success
    assert result.sizes.rule == "sobol"
    finer = mfpde.limit(
        problem, laws.Uniform([-1] * 7, [1] * 7), s_end=1.0, rtol=5e-3, times=2, seed=11
    )
    assert true_error(problem, result, finer) <= result.error


def test_fixed_coordinates_cost_nothing(problem):
    law = laws.Product(laws.Dirac(0.0), laws.Gaussian([1.0, 1.0]))
    result = mfpde.limit(problem, law, s_end=1.0, rtol=1e-2, times=2)
    assert result.sizes.points.orders[0] == 1
    assert "TOLERANCE_MET" in repr(result)


def test_spectral_rule_beats_gauss_hermite_on_tanh():
    def integral(rule, n):
        theta, a = quadrature.tensor(laws.Gaussian([1.0, 1.0]), (n, n), rule)
        return a @ np.tanh(theta[:, 0] + theta[:, 1]) ** 2

    exact = integral("spectral", 64)
    errors = {rule: abs(integral(rule, 16) - exact) for rule in ("gauss", "spectral")}
    assert errors["spectral"] < 1e-5
    assert errors["spectral"] < 0.1 * errors["gauss"]


def test_the_loss_includes_weight_decay(problem):
    decayed = mfpde.Problem(problem.x, problem.y, block=problem.block, weight_decay=0.1)
    result = mfpde.limit(decayed, LAW, s_end=1.0, rtol=1e-2, times=2)
    assert result.loss[-1] == pytest.approx(mfpde.loss(decayed, result.final), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rtol": 0.5}, r"rtol must be in \[1e-10, 0.1\]"),
        ({"s_end": 0.0}, "s_end must be finite and > 0"),
        ({"times": 0}, "times must be a whole number"),
    ],
)
def test_bad_input(problem, change, message):
    with pytest.raises(ValueError, match=message):
        mfpde.limit(problem, LAW, **{"s_end": 1.0, **change})
