"""Laws, quadrature rules and particle measures: moments, couplings, invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import gaussian_measure, random_case, sine

import mfpde
from mfpde import laws
from mfpde.measures import quadrature

LAW = laws.Product(laws.Dirac(0.5), laws.Uniform([-1, 0], [2, 1]), laws.Gaussian([0.5, 2], 1.0))


def seed(n=0):
    return np.random.SeedSequence(n)


@pytest.mark.parametrize(
    ("rule", "count", "tolerance"),
    [("iid", 20000, 0.06), ("sobol", 4096, 5e-3), ("gauss", 81, 1e-13)],
)
def test_rules_integrate_first_and_second_moments(rule, count, tolerance):
    theta, a = quadrature.points(LAW, count, rule, seed())
    assert abs(a.sum() - 1) < 1e-14
    np.testing.assert_allclose(a @ theta, LAW.mean, atol=tolerance)
    np.testing.assert_allclose(a @ (theta - LAW.mean) ** 2, LAW.std**2, atol=4 * tolerance)
    assert np.all(theta[:, 0] == 0.5)


def test_gauss_converges_spectrally_and_sobol_beats_iid():
    law = laws.Uniform([-1] * 3, [1] * 3)

    def error(rule, count):
        theta, a = quadrature.points(law, count, rule, seed(3))
        return abs(a @ np.exp(theta.sum(axis=1)) - np.sinh(1) ** 3)

    assert error("gauss", 8) < 3e-2
    assert error("gauss", 64) < 1e-6
    assert error("gauss", 512) < 1e-13
    assert error("sobol", 512) < 0.2 * error("iid", 512)


def test_cdf_inverts_ppf():
    v = np.linspace(0.01, 0.99, 7)
    for marginal in LAW.marginals[1:]:
        np.testing.assert_allclose(marginal.cdf(marginal.ppf(v)), v, atol=1e-12)


def test_couplings():
    depth = mfpde.Depth(3, "euler")
    tied, fresh = (
        mfpde.ParticleMeasure.from_law(LAW, depth, count=8, rule="iid", coupling=c)
        for c in ("tied", "independent")
    )
    np.testing.assert_array_equal(tied.theta[0], tied.theta[2])
    assert np.all(fresh.theta[0, :, 1] != fresh.theta[1, :, 1])
    # Node k has a stream of its own: deeper networks share the first layers.
    deeper = mfpde.ParticleMeasure.from_law(
        LAW, mfpde.Depth(5, "euler"), count=8, rule="iid", coupling="independent"
    )
    np.testing.assert_array_equal(deeper.theta[:3], fresh.theta)


def test_law_of_depth():
    rho = mfpde.ParticleMeasure.from_law(
        lambda t: laws.Gaussian([1 + t], [t]), mfpde.Depth(2, "heun"), count=256
    )
    np.testing.assert_allclose(rho.mean()[:, 0], [0, 0.5, 1], atol=1e-2)
    variance = rho.second_moment()[:, 0, 0] - rho.mean()[:, 0] ** 2
    np.testing.assert_allclose(variance, [1, 2.25, 4], rtol=0.05)


def test_marginals_moments_and_integrals():
    _, rho = random_case(mfpde.SHL(3), "rk4", "squared")
    values, weights = rho.marginal(2)
    np.testing.assert_allclose((values * weights).sum(axis=1), rho.mean()[:, 2])
    assert rho.integrate(np.ones(rho.weights.shape)) == pytest.approx(1.0, abs=1e-14)
    with pytest.raises(ValueError, match=r"coordinate must be in 0\.\.6"):
        rho.marginal(7)


@settings(max_examples=25, deadline=None)
@given(
    shuffle=st.integers(0, 2**32 - 1),
    method=st.sampled_from(["euler", "heun", "rk4"]),
    dim=st.integers(1, 4),
)
def test_permutation_of_particles_changes_nothing(shuffle, method, dim):
    problem, rho = random_case(mfpde.SHL(dim), method, "squared", seed=shuffle % 1000)
    order = np.random.default_rng(shuffle).permutation(rho.count)
    other = mfpde.ParticleMeasure(rho.theta[:, order], rho.depth, rho.weights[:, order])
    assert mfpde.loss(problem, other) == pytest.approx(mfpde.loss(problem, rho), rel=1e-13)
    np.testing.assert_allclose(
        mfpde.gradient(problem, other), mfpde.gradient(problem, rho)[:, order], atol=1e-12
    )


@settings(max_examples=25, deadline=None)
@given(split=st.floats(0.01, 0.99), method=st.sampled_from(["euler", "heun", "rk4"]))
def test_splitting_a_particle_changes_nothing(split, method):
    problem, rho = random_case(mfpde.SHL(2), method, "squared")
    theta = np.concatenate([rho.theta, rho.theta[:, :1]], axis=1)
    weights = np.concatenate([rho.weights, (1 - split) * rho.weights[:, :1]], axis=1)
    weights[:, 0] *= split
    other = mfpde.ParticleMeasure(theta, rho.depth, weights)
    assert mfpde.loss(problem, other) == pytest.approx(mfpde.loss(problem, rho), rel=1e-12)
    np.testing.assert_allclose(
        mfpde.gradient(problem, other)[:, :-1], mfpde.gradient(problem, rho), atol=1e-12
    )


def test_permuted_training_is_the_permuted_run():
    problem = sine(8)
    rho = gaussian_measure(problem, mfpde.Depth(2, "rk4"))
    order = np.random.default_rng(0).permutation(rho.count)
    runs = [
        mfpde.solve(problem, measure, s_end=2.0, method="implicit", rtol=1e-2)
        for measure in (rho, mfpde.ParticleMeasure(rho.theta[:, order], rho.depth))
    ]
    np.testing.assert_allclose(runs[1].loss, runs[0].loss, rtol=1e-9)
    np.testing.assert_allclose(runs[1].final.theta, runs[0].final.theta[:, order], atol=1e-8)


def test_the_callers_arrays_are_left_alone():
    x, y = np.ones((3, 1)), np.ones((3, 1))
    problem = mfpde.Problem(x, y, block=mfpde.SHL(1))
    x[0] = 7.0
    assert problem.x[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        problem.x[0] = 2.0
