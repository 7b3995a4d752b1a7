"""Passes through depth over a grid: exact sums, exact first variation, every depth method."""

import numpy as np
import pytest
from problems import Cubic

import mfpde
from mfpde import Axis, Grid, laws
from mfpde.activations import ACTIVATIONS
from mfpde.passes import operator_of, propagate
from mfpde.passes.cell_sums import CellSums, SeparableSums, on_grid

METHODS = ("euler", "heun", "rk4", "midpoint")
SHAPE = (4, 3, 5, 9, 10)


def case(block, method="rk4", seed=0, shape=None, **how):
    """A problem and masses that are random, on axes that are not uniform."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, 6, block.dim))
    problem = mfpde.Problem(x, y, block=block, weight_decay=0.1, quartic_decay=0.05, **how)
    depth = mfpde.Depth(3, method)
    axes = [Axis.sinh(-2.0, 2.5, n) for n in (shape or SHAPE)[-block.size :]]
    cells = [len(axis) for axis in axes]
    masses = rng.dirichlet(np.full(int(np.prod(cells)), 0.5), len(depth.nodes))
    return problem, mfpde.GridMeasure(masses.reshape(-1, *cells), depth, axes)


def close(found, expected, tolerance=1e-14, scale=0.0):
    """Equal up to a tolerance beside the largest entry, or beside ``scale`` if that is larger."""
    largest = max(np.abs(expected).max(), scale)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dim", "bias"), [(1, True), (1, False), (2, True), (2, False)])
def test_potential_is_the_brute_force_sum(dim, bias, activation):
    block = mfpde.SHL(dim, activation, bias=bias)
    _, rho = case(block)
    sums = on_grid(block, rho.grid)
    assert type(sums) is SeparableSums
    rng = np.random.default_rng(1)
    x, q = rng.standard_normal((2, 7, dim))
    points = rho.grid.points.reshape(-1, block.size)
    brute = np.einsum("nmd,nd->m", block.value(x, points), q)
    close(sums.expand(sums.backward(x, np.zeros((1, sums.size)), np.ones(1), q)[1]).ravel(), brute)
    mu = sums.coefficients(rho.masses)
    theirs = CellSums(block, rho.grid)
    masses = theirs.coefficients(rho.masses)
    one = np.ones(1)
    size = np.abs(mu[0]).sum()  # the sums themselves may cancel
    close(sums.field(x, mu[:1], one), theirs.field(x, masses[:1], one), scale=size)
    pull = theirs.backward(x, masses[:1], one, q)[0]
    close(sums.backward(x, mu[:1], one, q)[0], pull, scale=size)


@pytest.mark.parametrize("block", [mfpde.SHL(1), mfpde.SHL(2, "gelu"), mfpde.Linear(1), Cubic()])
@pytest.mark.parametrize("method", METHODS)
def test_verbs_agree_with_particles_at_the_centres(block, method):
    problem, rho = case(block, method)
    particles = rho.to_particles()
    close(mfpde.predict(problem, rho), mfpde.predict(problem, particles))
    assert mfpde.loss(problem, rho) == pytest.approx(mfpde.loss(problem, particles), rel=1e-13)
    at_cells = mfpde.first_variation(problem, rho).reshape(rho.levels, -1)
    close(at_cells, mfpde.first_variation(problem, particles))
    points = np.random.default_rng(3).standard_normal((5, block.size))
    anywhere = mfpde.first_variation(problem, rho, points)
    close(anywhere, mfpde.first_variation(problem, particles, points))


@pytest.mark.parametrize("block", [mfpde.SHL(1), mfpde.SHL(1, "sin", bias=False), mfpde.Linear(1)])
@pytest.mark.parametrize("method", METHODS)
def test_first_variation_is_the_derivative_in_the_masses(block, method):
    problem, rho = case(block, method)
    v = mfpde.first_variation(problem, rho)
    change = np.random.default_rng(2).standard_normal(rho.masses.shape) / rho.count
    exact = np.sum(rho.depth.weights * (v * change).reshape(rho.levels, -1).sum(axis=1))

    def energy(size):
        return mfpde.loss(problem, rho.with_state(rho.masses + size * change))

    def difference(h):
        return (energy(h) - energy(-h)) / (2 * h)

    richardson = (4 * difference(1e-3) - difference(2e-3)) / 3
    assert richardson == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("block", [mfpde.SHL(1), mfpde.SHL(2, bias=False), mfpde.Linear(1)])
def test_sums_are_a_block(block):
    _, rho = case(block)
    sums = on_grid(block, rho.grid)
    assert mfpde.check_block(sums) < 1e-8
    rng = np.random.default_rng(4)
    x, q = rng.standard_normal((2, 5, block.dim))
    theta, a = rng.standard_normal((3, sums.size)), rng.random(3)
    base = mfpde.Block
    close(sums.field(x, theta, a), base.field(sums, x, theta, a), 1e-13)
    for found, expected in zip(
        sums.backward(x, theta, a, q), base.backward(sums, x, theta, a, q), strict=True
    ):
        close(found, expected, 1e-13)
    dtheta, dx = rng.standard_normal(theta.shape), rng.standard_normal(x.shape)
    found = sums.tangent(x, theta, a, dx, dtheta)
    close(found, base.tangent(sums, x, theta, a, dx, dtheta), 1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_compiled_passes_are_the_loops_of_the_package(method, monkeypatch):
    problem, rho = case(mfpde.SHL(2), method)
    stack = operator_of(problem, rho).layers(rho.masses)
    terminal = np.random.default_rng(5).standard_normal((6, 2))
    passed = propagate.forward(stack, problem.start())
    back = propagate.adjoint(stack, passed, terminal)
    change = np.random.default_rng(6).standard_normal(stack.theta.shape)
    end = propagate.tangent(stack, passed, change)
    for name in ("forward_pass", "adjoint_pass", "tangent_pass"):
        monkeypatch.setattr(SeparableSums, name, getattr(mfpde.Block, name))
    looped = propagate.forward(stack, problem.start())
    looped_back = propagate.adjoint(stack, looped, terminal)
    for found, expected in ((passed, looped), (back, looped_back)):
        for part, whole in zip(found[:2], expected[:2], strict=True):
            close(part, whole)
    close(back.gradient, looped_back.gradient)
    close(end, propagate.tangent(stack, passed, change))


@pytest.mark.parametrize("cells", [(3, 7, 5), (6, 3, 40), (9, 4, 3)])
def test_coefficients_are_the_moments_of_the_masses(cells):
    grid = Grid.of_box([(-1.0, 2.0)] * 3, cells)
    masses = np.random.default_rng(7).random((4, *cells))
    found = on_grid(mfpde.SHL(1), grid).coefficients(masses)
    close(found, np.einsum("j,kjwb->kwb", grid.axes[0].centres, masses).reshape(4, -1))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_large_boxes_and_states_neither_overflow_nor_lose_digits(activation):
    block = mfpde.SHL(1, activation)
    grid = Grid((Axis.uniform(-1, 1, 3), Axis.uniform(-60, 60, 12), Axis.uniform(-900, 900, 20)))
    sums = on_grid(block, grid)
    x, q = np.array([[1e-3], [0.5], [-2.0], [15.0], [400.0]]), np.ones((5, 1))
    points = grid.points.reshape(-1, 3)
    found = sums.expand(sums.backward(x, np.zeros((1, sums.size)), np.ones(1), q)[1])
    close(found.ravel(), block.potential(x, points, q))


def test_cancellation_between_axes_is_exact_where_neither_is_small():
    """Rows at e^80 and columns at e^-80: a product of factors must not lose the sum."""
    block = mfpde.SHL(1)
    grid = Grid((Axis.uniform(-1, 1, 3), Axis.uniform(79, 81, 16), Axis.uniform(-81, -79, 16)))
    sums = on_grid(block, grid)
    x, q = np.ones((4, 1)), np.ones((4, 1))
    found = sums.expand(sums.backward(x, np.zeros((1, sums.size)), np.ones(1), q)[1])
    close(found.ravel(), block.potential(x, grid.points.reshape(-1, 3), q), 1e-13)


def test_nan_passes_through():
    block = mfpde.SHL(1)
    _, rho = case(block)
    sums = on_grid(block, rho.grid)
    x = np.array([[0.1], [np.nan], [0.3]])
    with np.errstate(invalid="ignore"):
        out = sums.field(x, sums.coefficients(rho.masses)[:1], np.ones(1))
    assert np.isnan(out[1, 0])
    assert np.isfinite(out[[0, 2]]).all()


def test_gaussian_law_on_a_grid_meets_quadrature_particles():
    """Centre samples converge as the trapezoidal rule: 24 cells are as good as a Gauss rule."""
    x = np.linspace(-1, 1, 9)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(1))
    depth, law = mfpde.Depth(4, "rk4"), laws.Gaussian([1.0, 1.0, 1.0], [0.5, 0.0, 0.2])
    fine = mfpde.ParticleMeasure.from_law(law, depth, count=(2, 60, 60), rule="spectral")
    rho = mfpde.GridMeasure.from_law(
        law, depth, cells=(12, 24, 24), box=[(-4, 5), (-6, 6), (-6, 6)]
    )
    difference = mfpde.predict(problem, rho) - mfpde.predict(problem, fine)
    assert np.abs(difference).max() < 1e-5


def test_misfits_are_named():
    problem, rho = case(mfpde.SHL(1))
    other = mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(1, bias=False))
    with pytest.raises(ValueError, match="p = 2; given p = 3"):
        mfpde.predict(other, rho)
    with pytest.raises(TypeError, match="first_variation"):
        mfpde.gradient(problem, rho)
    with pytest.raises(TypeError, match="rho must be a Measure; given an array"):
        mfpde.predict(problem, rho.masses)
