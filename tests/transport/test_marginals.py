"""Distances between grids: exact transport of centres, and quantiles of marginals."""

import numpy as np
import pytest

import mfpde
from mfpde import laws
from mfpde.transport import marginal_distance

DEPTH = mfpde.Depth(2, "heun")


def test_conditional_distance_takes_grids():
    rho = mfpde.GridMeasure.from_law(laws.Gaussian(1.0), DEPTH, cells=60, box=[(-8, 8)])
    moved = mfpde.GridMeasure.from_law(laws.Gaussian(1.0, 0.8), DEPTH, cells=60, box=[(-8, 8)])
    assert mfpde.cot_distance(rho, rho) == 0.0
    # Atoms at centres of one grid: the plan is split between neighbours, O(sqrt(h)).
    assert mfpde.cot_distance(rho, moved) == pytest.approx(0.8, rel=0.02)
    np.testing.assert_allclose(marginal_distance(rho, moved), [0.8], rtol=2e-3)


def test_marginal_distance_of_shifted_boxes_is_exact():
    depth = mfpde.Depth(3, "euler")

    def box(shift, n, depth=depth):
        law = laws.Uniform([shift, 0], [1 + shift, 2])
        with pytest.warns(UserWarning, match="wall"):
            return mfpde.GridMeasure.from_law(law, depth, box=[(shift, 1 + shift), (0, 2)], cells=n)

    found = marginal_distance(box(0.0, 4), box(0.25, 7, mfpde.Depth(2, "rk4")))
    np.testing.assert_allclose(found, [0.25, 0.0], atol=1e-8)
    point = mfpde.ParticleMeasure(np.full((3, 1, 2), 0.5), depth)
    exact = [np.sqrt(1 / 12), np.sqrt(0.25 + 1 / 3)]
    np.testing.assert_allclose(marginal_distance(box(0.0, 5), point), exact, rtol=1e-12)


def test_marginal_distance_of_particles_is_one_dimensional_transport():
    rng = np.random.default_rng(1)
    depth = mfpde.Depth(4, "euler")
    mu, nu = (
        mfpde.ParticleMeasure(rng.normal(size=(4, m, 2)), depth, rng.dirichlet(np.ones(m), 4))
        for m in (7, 11)
    )
    exact = [
        mfpde.cot_distance(*((depth, m.theta[:, :, [i]], m.weights) for m in (mu, nu)))
        for i in range(2)
    ]
    np.testing.assert_allclose(marginal_distance(mu, nu), exact, rtol=1e-12)
    with pytest.raises(ValueError, match="same parameter space"):
        marginal_distance(mu, (depth, np.zeros((4, 1, 3))))


def test_quantiles_show_second_order_where_centres_do_not():
    def gaussian(n, mean):
        law = laws.Gaussian(1.0, mean)
        return mfpde.GridMeasure.from_law(law, DEPTH, box=[(-8, 8)], cells=n)

    errors = [
        abs(marginal_distance(gaussian(n, 0.0), gaussian(n, 0.03))[0] - 0.03) for n in (32, 64, 128)
    ]
    assert errors[2] < 1e-4
    assert errors[1] < 0.35 * errors[0]
    assert errors[2] < 0.35 * errors[1]
