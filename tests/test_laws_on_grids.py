"""Cell masses of laws whose coordinates hang together, against densities and points of others."""

import numpy as np
import pytest
from scipy import stats

import mfpde
from mfpde import laws
from mfpde.measures import Axis, Grid
from mfpde.measures.deposit import default_box, law_masses

TIGHT = np.array([[1.0, 0.95], [0.95, 1.0]])
POINTS = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.25]])
SHARES = np.array([0.5, 0.3, 0.2])
SINGULAR = laws.Correlated(np.ones((2, 2)))
GAUSS = laws.Gaussian([0.5, 0.7], [-1.0, 0.5])
DEPTH = mfpde.Depth(1, "euler")


def box(cells, half=5.0, dim=2):
    return Grid.of_box([[-half, half]] * dim, cells)


def moments(masses, grid):
    points = grid.points.reshape(-1, grid.dim)
    mean = masses.ravel() @ points
    off = points - mean
    return mean, (masses.ravel()[:, None] * off).T @ off


# -- densities ------------------------------------------------------------------------------------


def test_densities_are_those_of_scipy():
    theta = np.random.default_rng(0).standard_normal((50, 2))
    correlated = laws.Correlated(TIGHT, [0.3, -0.2])
    expected = stats.multivariate_normal([0.3, -0.2], TIGHT).pdf(theta)
    np.testing.assert_allclose(correlated.density(theta), expected, rtol=1e-10)
    plain = np.prod(stats.norm([-1.0, 0.5], [0.5, 0.7]).pdf(theta), axis=1)
    np.testing.assert_allclose(GAUSS.density(theta), plain, rtol=1e-12)
    mixture = laws.Mixture([correlated, GAUSS], [0.3, 0.7])
    np.testing.assert_allclose(mixture.density(theta), 0.3 * expected + 0.7 * plain, rtol=1e-10)
    both = laws.Product(correlated, laws.Uniform(0.0, 2.0, dim=1))
    inner = np.column_stack([theta, np.full(50, 0.5)])
    np.testing.assert_allclose(both.density(inner), 0.5 * expected, rtol=1e-10)


def test_densities_check_their_points():
    for law in (GAUSS, laws.Correlated(TIGHT)):
        with pytest.raises(ValueError, match=r"theta must have shape \(n, 2\); given \(3,\)"):
            law.density([0.0, 1.0, 2.0])


@pytest.mark.parametrize("law", [SINGULAR, laws.Empirical(POINTS), laws.Dirac([1.0, 2.0])])
def test_what_has_no_density_says_so(law):
    with pytest.raises(TypeError, match="has no density"):
        law.density(POINTS)


# -- masses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cells", "tolerance"), [(60, 1e-9), (40, 2e-6)])
def test_a_wide_correlated_law_has_its_moments_to_spectral_accuracy(cells, tolerance):
    covariance, mean = 0.5 * TIGHT, np.array([0.3, -0.2])
    grid = box(cells, half=7.0)
    found = moments(law_masses(laws.Correlated(covariance, mean), grid), grid)
    # The conditional deviation is .22: cells of .23 and .35 are cut into four and five.
    parts = (14.0 / cells / {60: 4, 40: 5}[cells]) ** 2 / 4.0
    np.testing.assert_allclose(found[0], mean, atol=tolerance)
    extra = (14.0 / cells) ** 2 / 12.0 - parts / 3.0
    np.testing.assert_allclose(found[1], covariance + np.eye(2) * extra, atol=10 * tolerance)


def test_without_correlation_it_is_the_product_of_marginals():
    grid = Grid((Axis.uniform(-4, 4, 17), Axis.sinh(-5, 5, 20), Axis.uniform(-6, 7, 18)))
    std, mean = np.array([1.0, 1.2, 1.1]), np.array([0.1, 0.0, 0.4])
    plain = law_masses(laws.Gaussian(std, mean), grid)
    coupled = law_masses(laws.Correlated(np.diag(std**2), mean), grid)
    np.testing.assert_allclose(coupled, plain, atol=1e-14)


@pytest.mark.parametrize("spacing", ["uniform", "sinh"])
def test_a_narrow_correlated_law_has_true_cell_masses(spacing):
    covariance, mean = 0.05 * TIGHT, np.array([0.3, -0.2])
    axis = Axis.uniform(-2, 2, 9) if spacing == "uniform" else Axis.sinh(-2, 2, 9)
    grid = Grid((axis, axis))
    masses = law_masses(laws.Correlated(covariance, mean), grid)
    law = stats.multivariate_normal(mean, covariance)
    corners = np.stack(np.meshgrid(axis.edges, axis.edges, indexing="ij"), axis=-1)
    true = np.diff(np.diff(law.cdf(corners), axis=0), axis=1)
    np.testing.assert_allclose(masses, true, atol=3e-3 * true.max())


def test_mixtures_are_sums_and_products_are_products():
    grid = box(24)
    correlated = laws.Correlated(TIGHT)
    found = law_masses(laws.Mixture([correlated, GAUSS], [0.3, 0.7]), grid)
    parts = law_masses(correlated, grid), law_masses(GAUSS, grid)
    np.testing.assert_allclose(found, 0.3 * parts[0] + 0.7 * parts[1], atol=1e-7)
    three = Grid((*grid.axes, Axis.uniform(-1, 1, 4)))
    both = law_masses(laws.Product(correlated, laws.Uniform(-1.0, 1.0, dim=1)), three)
    np.testing.assert_allclose(both, np.repeat(parts[0][..., None] / 4, 4, axis=2), atol=1e-15)


def test_points_are_deposited_as_particles_are():
    law, grid = laws.Empirical(POINTS, SHARES), box(12, half=3.0)
    masses = law_masses(law, grid)
    rho = mfpde.ParticleMeasure(POINTS[None], DEPTH, SHARES)
    np.testing.assert_allclose(masses, mfpde.GridMeasure.from_particles(rho, axes=grid).masses[0])
    np.testing.assert_allclose(moments(masses, grid)[0], SHARES @ POINTS, atol=1e-14)


def test_default_boxes_hold_the_laws():
    far = laws.Mixture([laws.Gaussian(0.1, -10.0, dim=1), laws.Gaussian(0.1, 10.0, dim=1)])
    np.testing.assert_allclose(default_box([far]), [[-10.5, 10.5]])
    np.testing.assert_allclose(
        default_box([laws.Correlated(TIGHT, [1.0, 0.0])]), [[-4, 6], [-5, 5]]
    )
    np.testing.assert_allclose(default_box([laws.Empirical(POINTS)]), [[-1.0, 3.0], [-2.0, 2.0]])
    both = laws.Product(laws.Dirac(0.0, dim=1), laws.Correlated(4.0 * TIGHT))
    np.testing.assert_allclose(default_box([both]), [[-10.0, 10.0]] * 3)
    plain = laws.Product(laws.Dirac(0.0, dim=1), laws.Gaussian(2.0, dim=2))
    np.testing.assert_allclose(default_box([plain]), default_box([both]))


LAWS = {
    "correlated": laws.Correlated(0.3 * TIGHT),
    "mixture": laws.Mixture([GAUSS, laws.Correlated(0.3 * TIGHT)]),
    "empirical": laws.Empirical(POINTS, SHARES),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("kind", ["grid", "moving", "joint"])
def test_a_run_on_a_grid_is_one_of_particles(kind, name):
    """E along a run from the cells, and from 4096 points of the law."""
    x = np.linspace(-1, 1, 6)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1, bias=False))
    depth = mfpde.Depth(4, "midpoint")
    if kind == "joint":
        rho0 = mfpde.JointGrid.from_law(LAWS[name], depth_cells=4, cells=48)
        tolerance = 0.05  # depth is free there: its flow is another one, E(0) is the same
    else:
        maker = mfpde.GridMeasure if kind == "grid" else mfpde.MovingGrid
        rho0 = maker.from_law(LAWS[name], depth, cells=48)
        tolerance = 0.02
    rho = mfpde.ParticleMeasure.from_law(LAWS[name], depth, count=4096)
    grid, plain = (mfpde.solve(problem, one, s_end=0.5, rtol=1e-3) for one in (rho0, rho))
    assert grid.loss[0] == pytest.approx(plain.loss[0], rel=4e-3)
    assert grid.loss[-1] == pytest.approx(plain.loss[-1], rel=tolerance)


def test_a_law_may_depend_on_depth_and_paths_take_such_laws():
    def turning(t):
        return laws.Correlated([[1.0, 0.9 * t], [0.9 * t, 1.0]])

    rho = mfpde.GridMeasure.from_law(turning, mfpde.Depth(2, "heun"), cells=40)
    np.testing.assert_allclose(rho.covariance()[:, 0, 1], [0.0, 0.45, 0.9], atol=2e-3)
    path = mfpde.paths.Exponential(0.5)
    wandering = mfpde.ParticleMeasure.from_law(
        turning, mfpde.Depth(2, "heun"), count=4096, coupling=path
    )
    np.testing.assert_allclose(wandering.second_moment()[:, 0, 1], [0.0, 0.45, 0.9], atol=2e-2)


@pytest.mark.parametrize(
    ("law", "grid", "error", "words"),
    [
        (SINGULAR, box(8), TypeError, "has no density: deposit points of it by GridMeasure.from_"),
        (laws.Correlated(9.0 * TIGHT), box(30), ValueError, "box must hold the law"),
        (laws.Empirical(POINTS), box(8, half=1.0), ValueError, "box must hold the law; 0.667 of"),
        (laws.Empirical(POINTS + 50), box(8), ValueError, "box must hold the law; 1 of"),
        (laws.Correlated(1e-9 * TIGHT), box(8), ValueError, "too wide for Correlated"),
        (
            laws.Correlated(TIGHT),
            box(8, dim=3),
            ValueError,
            "axes must be 2, one for each coordinate; given 3",
        ),
    ],
)
def test_laws_that_do_not_fit_say_so(law, grid, error, words):
    with pytest.raises(error, match=words):
        mfpde.GridMeasure.from_law(law, DEPTH, axes=grid)
