"""Measures on a grid: axes, deposits, moments, conversions, and clear errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfpde
from mfpde import Axis, Grid, laws
from mfpde.measures.deposit import law_masses

DEPTH = mfpde.Depth(2, "heun")
LAW = laws.Product(laws.Dirac(0.3), laws.Uniform(-1, 2), laws.Gaussian(0.5, 1.0))


def random_measure(shape=(5, 6, 7), seed=0):
    rng = np.random.default_rng(seed)
    axes = [Axis(np.cumsum(rng.random(n + 1) + 0.1)) for n in shape]
    return mfpde.GridMeasure(random_masses(rng, DEPTH, shape), DEPTH, axes)


def random_masses(rng, depth, shape):
    flat = rng.dirichlet(np.full(int(np.prod(shape)), 0.3), len(depth.nodes))
    return flat.reshape(-1, *shape)


# -- axes -------------------------------------------------------------------------------------


def test_axes_span_their_box_and_keep_symmetry_exactly():
    for axis in (Axis.uniform(-3, 3, 9), Axis.sinh(-3, 3, 9), Axis.sinh(-3, 3, 8, strength=4)):
        assert (axis.low, axis.high) == (-3, 3)
        np.testing.assert_array_equal(axis.edges, -axis.edges[::-1])
        np.testing.assert_array_equal(axis.centres, -axis.centres[::-1])
        assert axis.widths.sum() == pytest.approx(6)
    wide = Axis.sinh(-1, 1, 400, strength=3.0).widths
    assert wide[0] / wide[200] == pytest.approx(np.cosh(3.0), rel=0.05)
    focused = Axis.sinh(-1, 3, 40, focus=2.0)
    assert abs(focused.centres[focused.widths.argmin()] - 2.0) < 0.1


def test_axes_compare_by_value():
    assert Axis.uniform(0, 1, 4) == Axis.uniform(0, 1, 4) != Axis.uniform(0, 1, 5)
    assert Grid.of_box([(0, 1)], 4) == Grid((Axis.uniform(0, 1, 4),))
    assert len({Axis.uniform(0, 1, 4), Axis.uniform(0, 1, 4)}) == 1


# -- from laws --------------------------------------------------------------------------------


def test_law_has_mass_one_and_its_moments():
    rho = mfpde.GridMeasure.from_law(LAW, DEPTH, cells=(9, 30, 40))
    np.testing.assert_allclose(rho.masses.sum(axis=(1, 2, 3)), 1.0, atol=1e-14)
    assert rho.masses.min() >= 0
    np.testing.assert_allclose(rho.mean(), np.tile(LAW.mean, (3, 1)), atol=1e-5)
    variance = np.diagonal(rho.covariance(), axis1=1, axis2=2)[0]
    assert variance[1] == pytest.approx(0.75, rel=1e-2)
    assert variance[2] == pytest.approx(0.25, rel=2e-5)  # sampled at centres: the tails only


def test_centre_samples_beat_cell_masses_for_gaussians():
    axis, law = Axis.uniform(-6, 6, 24), laws.Gaussian(1.0)
    sampled = law_masses(law, Grid((axis,)))
    exact = np.diff(law.marginals[0].cdf(axis.edges))
    value = [abs(m @ np.cos(axis.centres) - np.exp(-0.5)) for m in (sampled, exact)]
    assert value[0] < 1e-8
    assert value[1] > 1e-3


def test_marginals_too_narrow_for_the_axis_keep_their_mass():
    grid = Grid((Axis.uniform(-1, 1, 10),))
    masses = law_masses(laws.Gaussian(1e-3, 0.1), grid)
    assert masses[5] == 1.0
    np.testing.assert_allclose(masses.sum(), 1.0)


def test_a_fixed_coordinate_keeps_its_mean_and_symmetry():
    for n in (4, 5):
        masses = law_masses(laws.Dirac(0.0), Grid((Axis.uniform(-1, 1, n),)))
        np.testing.assert_array_equal(masses, masses[::-1])
    masses = law_masses(laws.Dirac(0.3), Grid((Axis.uniform(-1, 1, 5),)))
    assert masses @ Axis.uniform(-1, 1, 5).centres == pytest.approx(0.3, abs=1e-15)
    assert np.count_nonzero(masses) == 2


def test_default_boxes():
    rho = mfpde.GridMeasure.from_law(LAW, DEPTH, cells=8)
    reach = 5 * np.sqrt(0.75)  # of the widest random coordinate, for the fixed one
    np.testing.assert_allclose(
        rho.grid.box, [(0.3 - reach, 0.3 + reach), (-2.5, 3.5), (-1.5, 3.5)], atol=1e-12
    )
    moving = mfpde.GridMeasure.from_law(lambda t: laws.Gaussian(1.0, t), DEPTH, cells=40)
    np.testing.assert_allclose(moving.grid.box, [(-5, 6)])
    np.testing.assert_allclose(moving.mean()[:, 0], [0, 0.5, 1], atol=3e-6)
    fixed = mfpde.GridMeasure.from_law(laws.Dirac(2.0), DEPTH, cells=5)
    np.testing.assert_allclose(fixed.grid.box, [(-3, 7)])


def test_wall_mass_is_reported_with_a_number():
    rho = random_measure()
    inner = rho.masses[:, 1:-1, 1:-1, 1:-1].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(rho.wall_mass(), 1 - inner, atol=1e-15)
    with pytest.warns(UserWarning, match=r"hold 0\.\d+ of the mass at depth"):
        mfpde.GridMeasure.from_law(laws.Uniform(-1, 1), DEPTH, box=[(-1, 1)], cells=10)


# -- moments, conversions -----------------------------------------------------------------------


def test_moments_agree_with_those_of_the_centres():
    rho = random_measure()
    particles = rho.to_particles()
    np.testing.assert_allclose(rho.mean(), particles.mean(), rtol=1e-13)
    np.testing.assert_allclose(rho.second_moment(), particles.second_moment(), rtol=1e-13)
    values = np.cos(rho.grid.points).prod(axis=-1)
    flat = np.tile(values.ravel(), (rho.levels, 1))
    assert rho.integrate(values) == pytest.approx(particles.integrate(flat), rel=1e-13)
    eigenvalues = np.linalg.eigvalsh(rho.covariance())
    assert eigenvalues.min() > 0


def test_marginals_keep_order_and_mass():
    rho = random_measure()
    pair = rho.marginal((2, 0))
    assert pair.axes == (rho.axes[2], rho.axes[0])
    np.testing.assert_allclose(pair.masses, rho.masses.sum(axis=2).swapaxes(1, 2), rtol=1e-13)
    np.testing.assert_allclose(rho.marginal(-1).masses, rho.masses.sum(axis=(1, 2)), rtol=1e-13)
    rotated = random_measure((4, 3, 5, 6)).marginal((2, 3, 0))
    assert rotated.grid.shape == (5, 6, 4)
    np.testing.assert_allclose(rotated.mean(), random_measure((4, 3, 5, 6)).mean()[:, [2, 3, 0]])


def test_entropy_of_uniform_and_gaussian():
    box = mfpde.GridMeasure.from_law(laws.Uniform([0, 0], [2, 3]), DEPTH, cells=12)
    np.testing.assert_allclose(box.entropy(), -np.log(6.0), rtol=1e-12)
    for spacing, tolerance in (("uniform", 1e-5), ("sinh", 2e-2)):
        rho = mfpde.GridMeasure.from_law(
            laws.Gaussian([1.0, 2.0]), DEPTH, cells=64, spacing=spacing
        )
        exact = -np.log(2 * np.pi * np.e * 2.0)
        np.testing.assert_allclose(rho.entropy(), exact, rtol=tolerance)
    density = box.density
    assert box.integrate(density) == pytest.approx(1 / 6, rel=1e-12)


def test_empty_cells_are_left_out_of_particles():
    rho = mfpde.GridMeasure.from_law(LAW, DEPTH, cells=(9, 12, 16))
    particles = rho.to_particles()
    assert particles.count == np.count_nonzero(rho.masses[0])
    fewer = rho.to_particles(below=1e-5)
    assert fewer.count < particles.count
    np.testing.assert_allclose(fewer.weights.sum(axis=1), 1.0, atol=1e-14)
    with pytest.raises(ValueError, match="leaves a depth without mass"):
        rho.to_particles(below=1.0)


@pytest.mark.filterwarnings("ignore:the wall cells")
@settings(max_examples=25, deadline=None)
@given(
    dim=st.integers(1, 3),
    seed=st.integers(0, 10**6),
    spacing=st.sampled_from(["uniform", "sinh"]),
)
def test_deposit_keeps_mass_and_mean(dim, seed, spacing):
    rng = np.random.default_rng(seed)
    theta = rng.normal(rng.normal(size=dim), rng.uniform(0.1, 3.0, dim), (3, 20, dim))
    particles = mfpde.ParticleMeasure(theta, DEPTH, rng.dirichlet(np.ones(20), 3))
    rho = mfpde.GridMeasure.from_particles(particles, cells=8, spacing=spacing)
    assert rho.masses.min() >= 0
    np.testing.assert_allclose(rho.masses.reshape(3, -1).sum(axis=1), 1.0, atol=1e-14)
    np.testing.assert_allclose(rho.mean(), particles.mean(), atol=1e-13 * np.abs(theta).max())


@pytest.mark.filterwarnings("ignore:the wall cells")
def test_grid_to_particles_and_back_is_the_identity():
    rho = random_measure()
    again = mfpde.GridMeasure.from_particles(rho.to_particles(), axes=rho.axes)
    np.testing.assert_allclose(again.masses, rho.masses, atol=1e-15)


def test_state_round_trip_through_spec():
    rho = random_measure()
    config, arrays = rho.spec()
    again = mfpde.GridMeasure.from_spec(config, arrays, rho.state)
    np.testing.assert_array_equal(again.masses, rho.masses)
    assert again.grid == rho.grid
    assert again.depth == rho.depth
    other = rho.with_state(rho.masses[::-1])
    assert other.grid is rho.grid
    np.testing.assert_array_equal(other.state, rho.masses[::-1])


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"box": [(1, 0)]}, r"box\[0\] must have low < high"),
        ({"box": [(0, 0)]}, r"box\[0\] must have low < high"),
        ({"box": [(-5, 5), (0, 1)]}, r"box must have shape \(1, 2\); given \(2, 2\)"),
        ({"box": [(np.nan, 1)]}, "box must be finite"),
        ({"box": [(3, 9)]}, r"box must hold the law; 0\.9\d+ of the mass"),
        ({"cells": 2}, r"cells\[0\] must be a whole number >= 3"),
        ({"cells": (8, 8)}, "cells must be one for all or have 1 entries"),
        ({"spacing": "log"}, "spacing must be one of 'uniform', 'sinh'"),
        ({"cells": None}, "either cells"),
        ({"cells": None, "axes": [Axis.uniform(-6, 6, 9)] * 2}, "axes must be 1, one for each"),
        ({"cells": None, "axes": [np.linspace(0, 1, 5)]}, "must be mfpde.Axis"),
    ],
)
def test_bad_grids_are_named(what, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mfpde.GridMeasure.from_law(laws.Gaussian(1.0), DEPTH, **{"cells": 12, **what})


def test_bad_masses_are_named():
    axes, good = [Axis.uniform(0, 1, 4)], np.full((3, 4), 0.25)
    mfpde.GridMeasure(good, DEPTH, axes)
    for masses, message in [
        (good[:2], r"masses must have shape \(3, 4\); given \(2, 4\)"),
        (good - [[0.5, 0, 0, 0]], "masses must be >= 0; the smallest given is -0.25"),
        (good * [[1], [1], [2]], "masses must sum to 1 at each depth; node 2: 2"),
        (good * np.inf, "masses must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            mfpde.GridMeasure(masses, DEPTH, axes)
    with pytest.raises(TypeError, match="depth must be a Depth"):
        mfpde.GridMeasure(good, 3, axes)
    with pytest.raises(ValueError, match="1 to 5 axes"):
        mfpde.GridMeasure(good, DEPTH, axes * 6)
    with pytest.raises(ValueError, match="edges must rise"):
        Axis(np.array([0, 1, 1, 2.0]))
    with pytest.raises(ValueError, match="coordinates must be distinct"):
        mfpde.GridMeasure(good, DEPTH, axes).marginal((0, 0))


def test_particles_beyond_the_centres_are_counted():
    particles = mfpde.ParticleMeasure(np.linspace(-1, 1, 9).reshape(3, 3, 1), DEPTH)
    with pytest.raises(ValueError, match="2 of 9 lie outside"):
        mfpde.GridMeasure.from_particles(particles, box=[(-1, 1)], cells=10)
