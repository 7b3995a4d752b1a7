"""The stationary entropic problem: exact solutions, minimality, methods, bad arguments."""

import os

import numpy as np
import pytest
from problems import Cubic

import mfpde
from mfpde import Axis, Grid, entropic
from mfpde.entropic.free_energy import FreeEnergy

DEPTH = mfpde.Depth(4, "rk4")
BOX = [[-2.5, 2.5]] * 3


def learning_problem(eps: float, size: int = 24, **terms) -> mfpde.Problem:
    """y = 1.2 tanh 2x + noise, standardised, confined as in Daudin and Delarue 2025."""
    rng = np.random.default_rng(3)
    x = np.linspace(-1.7, 1.7, size)
    y = 1.2 * np.tanh(2 * x) + 0.2 * rng.standard_normal(size)
    return confined(x, y, eps, **terms)


def confined(x, y, eps: float, **terms) -> mfpde.Problem:
    block = mfpde.SHL(dim=1, activation="tanh")
    decay = {"weight_decay": eps, "quartic_decay": 0.2 * eps, "temperature": eps}
    return mfpde.Problem(x[:, None], y, block=block, **{**decay, **terms})


def cold(problem: mfpde.Problem, cells: int = 8, depth: mfpde.Depth = DEPTH) -> mfpde.GridMeasure:
    return entropic.prior(problem, depth, Grid.of_box(BOX, cells))


def total_potential(problem: mfpde.Problem, rho: mfpde.GridMeasure) -> np.ndarray:
    """V + τ log ρ_t, (K, cells), the first variation with the entropy."""
    found = mfpde.first_variation(problem, rho) + problem.temperature * np.log(rho.density)
    return found.reshape(rho.levels, -1)


def total_variation(mu: mfpde.GridMeasure, nu: mfpde.GridMeasure) -> float:
    return float(0.5 * np.abs(mu.masses - nu.masses).reshape(mu.levels, -1).sum(axis=1).max())


def tilted(rho: mfpde.GridMeasure, size: float, seed: int) -> mfpde.GridMeasure:
    """ρ with its density changed by random factors e^{±size}."""
    noise = np.random.default_rng(seed).standard_normal(rho.masses.shape)
    masses = rho.masses * np.exp(size * noise)
    masses /= masses.sum(axis=(1, 2, 3), keepdims=True)
    return mfpde.GridMeasure(masses, rho.depth, rho.grid)


class Shift(mfpde.Block):
    """f(x, θ) = θ on R: the entropic problem then has Gaussian solutions."""

    dim, coordinates = 1, ("a",)

    def value(self, x, theta):
        return np.broadcast_to(theta[None, :, :], (len(x), len(theta), 1))

    def pull_state(self, x, theta, q):
        return np.zeros((len(x), len(theta), 1))

    def pull_parameter(self, x, theta, q):
        return np.broadcast_to(q[:, None, :], (len(x), len(theta), 1))


def shift_problem(decay: float = 0.1, tau: float = 0.05) -> mfpde.Problem:
    x = np.array([[0.0], [0.5], [2.0]])
    y = x[:, 0] + np.array([0.5, 0.7, 0.9])
    return mfpde.Problem(x, y, block=Shift(), weight_decay=decay, temperature=tau)


def shift_prior(problem: mfpde.Problem) -> mfpde.GridMeasure:
    return entropic.prior(problem, DEPTH, [Axis.uniform(-8.0, 9.0, 170)])


# -- exact solutions --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["newton", "anderson"])
def test_gaussian_solution(method):
    """m = −b/(1 + λ) with b = mean(x − y), ρ_t = N(m, τ/λ), J = ½Var(x − y) + ½b²λ/(1 + λ)."""
    decay, tau = 0.1, 0.05
    problem = shift_problem(decay, tau)
    found = mfpde.stationary(problem, shift_prior(problem), method=method, tol=1e-11)
    gap = problem.x[:, 0] - problem.y[:, 0]
    mean = -gap.mean() / (1 + decay)
    assert found.final.mean() == pytest.approx(mean, abs=1e-10)
    assert found.final.covariance()[:, 0, 0] == pytest.approx(tau / decay, rel=1e-9)
    exact = 0.5 * gap.var() + 0.5 * gap.mean() ** 2 * decay / (1 + decay)
    assert pytest.approx(exact, abs=1e-10) == found.J
    assert found.kl == pytest.approx(decay * mean**2 / (2 * tau), abs=1e-9)


@pytest.mark.parametrize(("damping", "converges"), [(0.16, True), (0.2, False)])
def test_picard_converges_up_to_its_exact_threshold(damping, converges):
    """HΣ/τ has the eigenvalue 1/λ = 10: the means obey a linear recursion, stable to ω = 2/11."""
    problem = shift_problem()
    found = mfpde.stationary(
        problem,
        shift_prior(problem),
        method="picard",
        damping=damping,
        tol=1e-6,
        max_steps=400,
        raise_on_failure=False,
    )
    assert found.success is converges
    assert (found.residual < 1e-6) is converges


def test_prior_is_exact():
    problem = learning_problem(0.5)
    grid = Grid((Axis.uniform(-2, 2, 5), Axis.sinh(-2, 2, 6), Axis.uniform(-1, 2, 7)))
    rho = entropic.prior(problem, DEPTH, grid)
    expected = -problem.penalty.value(grid.points) / problem.temperature
    found = np.log(rho.density) - expected
    assert np.ptp(found) < 1e-12


@pytest.mark.parametrize("method", entropic.METHODS)
def test_without_a_data_term_the_state_is_the_prior(method):
    """y = x: the symmetric prior moves nothing, so that it is stationary."""
    x = np.linspace(-1, 1, 9)
    problem = confined(x, x, 0.5)
    nu = cold(problem)
    assert mfpde.stationary(problem, nu).iterations == 0
    found = mfpde.stationary(problem, tilted(nu, 0.3, 1), method=method, damping=0.5, tol=1e-10)
    assert total_variation(found.final, nu) < 1e-9
    assert abs(found.J) < 1e-9


# -- what a solution is -----------------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.5, 0.05, 0.01])
def test_first_variation_is_constant(eps):
    """The rest point of the entropic flow, in every cell and not only where the mass is."""
    problem = learning_problem(eps)
    found = mfpde.stationary(problem, cold(problem), tol=1e-12)
    assert np.ptp(total_potential(problem, found.final), axis=1).max() < 1e-8


def test_numbers_agree_with_the_verbs():
    problem = learning_problem(0.05)
    found = mfpde.stationary(problem, cold(problem))
    rho = found.final
    entropy = problem.temperature * float(rho.depth.weights @ rho.entropy())
    assert found.energy == pytest.approx(mfpde.loss(problem, rho) + entropy, rel=1e-13)
    z = np.log(np.sum(rho.grid.volumes * np.exp(-problem.penalty.value(rho.grid.points) / 0.05)))
    assert pytest.approx(found.energy + 0.05 * z, rel=1e-12) == found.J
    fit = np.mean(problem.loss.value(mfpde.predict(problem, rho), problem.y))
    assert found.fit == pytest.approx(fit, rel=1e-13)
    assert pytest.approx(fit + 0.05 * rho.depth.weights @ found.kl, rel=1e-13) == found.J
    again = mfpde.stationary(problem, rho)
    assert again.iterations == 0
    assert "CONVERGED" in repr(found)


@pytest.mark.parametrize("eps", [0.5, 0.01])
def test_it_is_a_minimum(eps):
    problem = learning_problem(eps)
    best = mfpde.stationary(problem, cold(problem), tol=1e-10)
    for seed in range(5):
        near = tilted(best.final, 0.05, seed)
        value = mfpde.stationary(problem, near, max_steps=1, raise_on_failure=False)
        assert value.history[0].J > best.J


@pytest.mark.parametrize("eps", [0.5, 0.05, 0.01])
def test_methods_agree(eps):
    problem = learning_problem(eps)
    nu = cold(problem)
    newton = mfpde.stationary(problem, nu, tol=1e-9)
    ways = [{"method": "anderson"}, {"continuation": True}]
    ways += [{"method": "anderson", "continuation": True}]
    ways += [{"method": "picard", "damping": 0.3, "tol": 1e-6}] if eps == 0.5 else []
    for how in ways:
        other = mfpde.stationary(problem, nu, **{"tol": 1e-9, **how})
        assert total_variation(newton.final, other.final) < 1e-4
        assert pytest.approx(newton.J, rel=1e-10) == other.J


@pytest.mark.parametrize("how", [{"method": "newton"}, {"method": "anderson"}, {"window": 1}])
@pytest.mark.parametrize("eps", [0.05, 0.003])
def test_guarded_methods_never_raise_the_energy(eps, how):
    problem = learning_problem(eps)
    start = tilted(cold(problem), 0.5, 0)
    found = mfpde.stationary(problem, start, max_steps=400, **how)
    values = np.array([row.J for row in found.history])
    assert np.all(np.diff(values) <= 1e-14)
    assert values[0] > values[-1] + 1e-3


def test_curvature_is_symmetric_and_the_derivative_of_the_residual():
    problem = learning_problem(0.05)
    rho = mfpde.stationary(problem, cold(problem), tol=1e-12).final
    point = FreeEnergy(problem, rho).at_measure(rho)
    noise = np.random.default_rng(0).standard_normal((2, *point.logs.shape))
    a, b = (point.centred(d) for d in noise)
    image = point.curvature(b)
    first, second = point.inner(a, image), point.inner(point.curvature(a), b)
    size = np.sqrt(point.inner(a, a) * point.inner(image, image))
    assert abs(first - second) < 1e-6 * size
    h = 1e-5
    ends = [point.free.at(point.logs + sign * h * b).residual for sign in (1, -1)]
    error = point.centred((ends[0] - ends[1]) / (2 * h) + image)
    assert np.sqrt(point.inner(error, error) / point.inner(image, image)) < 1e-6


def test_newton_converges_faster_than_linearly():
    problem = learning_problem(0.05)
    found = mfpde.stationary(problem, cold(problem), tol=1e-12)
    last = np.array([row.residual for row in found.history])[-3:]
    assert last[1] < 0.05 * last[0]
    assert last[2] < 1e-3 * last[1]


def test_published_picard_fails_where_newton_does_not():
    problem = learning_problem(0.01)
    nu = cold(problem)
    for damping in (0.2, 0.3):
        with pytest.raises(mfpde.SolveError, match="use method='newton'") as caught:
            mfpde.stationary(problem, nu, method="picard", damping=damping)
        assert caught.value.solution.residual > 0.1
    assert mfpde.stationary(problem, nu).residual <= 1e-5


def test_continuation_starts_where_data_hardly_count():
    problem = learning_problem(0.002)
    nu = cold(problem)
    found = mfpde.stationary(problem, nu, continuation=True)
    factors = np.array([row.factor for row in found.history])
    assert factors[0] >= 4
    assert factors[-1] == 1
    for factor in np.unique(factors):
        values = np.array([row.J for row in found.history if row.factor == factor])
        assert np.all(np.diff(values) <= 1e-14)
    assert found.J <= mfpde.stationary(problem, nu).J + 1e-9  # there may be several minima


def test_continuation_that_fails_says_so():
    problem = learning_problem(0.01)
    found = mfpde.stationary(
        problem,
        cold(problem),
        method="picard",
        damping=1.0,
        continuation=True,
        max_steps=30,
        raise_on_failure=False,
    )
    assert not found.success
    assert np.isfinite(found.J)


# -- other blocks, depths, losses -------------------------------------------------------------


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_other_depths_and_the_cross_entropy(method):
    x = np.linspace(-1, 1, 10)[:, None]
    labels = (x[:, 0] > 0.2).astype(int)
    block = mfpde.SHL(dim=2, activation="relu", bias=False)
    problem = mfpde.Problem(
        x, labels, block=block, loss="cross_entropy", weight_decay=0.02, temperature=0.02
    )
    nu = entropic.prior(problem, mfpde.Depth(3, method), Grid.of_box([[-4, 4]] * 4, 5))
    found = mfpde.stationary(problem, nu, tol=1e-11)
    assert np.ptp(total_potential(problem, found.final), axis=1).max() < 1e-8


def test_a_block_of_ones_own():
    x = np.linspace(-1, 1, 7)[:, None]
    problem = mfpde.Problem(x, x + x**3, block=Cubic(), weight_decay=0.5, temperature=0.1)
    nu = entropic.prior(problem, DEPTH, Grid.of_box([[-2, 2]] * 2, 12))
    found = mfpde.stationary(problem, nu, tol=1e-11)
    assert np.ptp(total_potential(problem, found.final), axis=1).max() < 1e-8
    assert found.fit < 0.5 * np.mean(x**6)


def test_a_start_with_empty_cells():
    problem = learning_problem(0.05)
    law = mfpde.laws.Uniform([-0.5] * 3, [0.5] * 3)
    start = mfpde.GridMeasure.from_law(law, DEPTH, cells=8, box=BOX)
    assert (start.masses == 0).any()
    expected = mfpde.stationary(problem, cold(problem), tol=1e-10)
    for method in ("newton", "anderson"):
        found = mfpde.stationary(problem, start, method=method, tol=1e-10)
        assert total_variation(found.final, expected.final) < 1e-8


# -- bad arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"method": "newtn"}, "did you mean 'newton'"),
        ({"tol": 0.0}, "tol must be"),
        ({"tol": 2.0}, "tol must be in"),
        ({"damping": 1.5}, "damping must be in"),
        ({"damping": -1.0}, "damping must be"),
        ({"window": 0}, "window must be a whole number >= 1"),
        ({"max_steps": 0}, "max_steps must be a whole number"),
        ({"progress": "yes"}, "progress must be"),
    ],
)
def test_bad_arguments(bad, message):
    problem = learning_problem(0.5)
    with pytest.raises(ValueError, match=message):
        mfpde.stationary(problem, cold(problem, cells=4), **bad)


def test_needs_entropy_and_a_grid():
    warm, without = learning_problem(0.5), learning_problem(0.5, temperature=0.0)
    with pytest.raises(ValueError, match="temperature > 0"):
        mfpde.stationary(without, cold(warm))
    with pytest.raises(ValueError, match="temperature > 0"):
        cold(without)
    law = mfpde.laws.Gaussian(1.0, dim=3)
    particles = mfpde.ParticleMeasure.from_law(law, DEPTH, count=4)
    with pytest.raises(TypeError, match="rho0 must be a GridMeasure"):
        mfpde.stationary(warm, particles)
    flat = entropic.prior(shift_problem(), DEPTH, [Axis.uniform(-1, 1, 5)])
    with pytest.raises(ValueError, match="p = 3; given p = 1"):
        mfpde.stationary(warm, flat)


# -- a published number -----------------------------------------------------------------------


@pytest.mark.skipif("MFPDE_FAITHFUL" not in os.environ, reason="needs R's faithful as a CSV file")
def test_old_faithful():
    """Daudin, Delarue 2025 on R's faithful: J = .0983, fit = .0976, least squares .0943."""
    x, y = mfpde.data.load(os.environ["MFPDE_FAITHFUL"], inputs=["eruptions"], targets=["waiting"])
    x, y = (x[:, 0] - x.mean()) / x.std(), (y - y.mean()) / y.std()
    assert 0.5 * (1 - np.mean(x * y) ** 2) == pytest.approx(0.0943, abs=5e-5)
    depth = mfpde.Depth(20, "rk4")
    problem = confined(x, y, 0.5)
    found = mfpde.stationary(problem, cold(problem, 10, depth))
    assert found.fit == pytest.approx(0.0976, abs=5e-5)
    assert found.fit + 0.5 * found.kl[::2].sum() / 20 == pytest.approx(0.0983, abs=5e-5)
    problem = confined(x, y, 0.01)
    nu = cold(problem, 10, depth)
    assert mfpde.stationary(problem, nu).success
    published = mfpde.stationary(
        problem, nu, method="picard", damping=0.2, max_steps=50, raise_on_failure=False
    )
    assert published.residual > 0.1


def test_the_entropic_flow_rests_at_the_stationary_state():
    """Scharfetter–Gummel steps are Gibbs-exact: one long step from the optimum moves nothing."""
    x = np.linspace(-1, 1, 6)[:, None]
    problem = mfpde.Problem(
        x, np.sin(2 * x), block=mfpde.SHL(1, bias=False), weight_decay=0.5, temperature=0.5
    )
    law = mfpde.laws.Gaussian(0.5, dim=2)
    rho = mfpde.GridMeasure.from_law(law, mfpde.Depth(2), cells=12, box=[(-3, 3)] * 2)
    optimum = mfpde.stationary(problem, rho, tol=1e-12).final
    run = mfpde.solve(problem, optimum, s_end=10.0, method="scharfetter_gummel")
    assert run.gradient_norm2[0] < 1e-20
    assert np.abs(run.final.masses - optimum.masses).max() < 1e-13
    assert run.stats["energy_rise"] < 1e-14
