"""Laws whose coordinates hang together: moments, samples, rules, and what refuses them."""

import numpy as np
import pytest
from problems import sine

import mfpde
from mfpde import laws

COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 0.5, 0.1], [0.0, 0.1, 2.0]])
POINTS = np.array([[0.0, 1.0], [2.0, -1.0], [4.0, 3.0]])
ALL = {
    "correlated": laws.Correlated(COVARIANCE, mean=[1.0, -1.0, 0.5]),
    "empirical": laws.Empirical(POINTS, [0.5, 0.3, 0.2]),
    "mixture": laws.Mixture(
        [laws.Gaussian([0.5, 1.0], [-2.0, 0.0]), laws.Uniform([1, 2], [2, 4])], [0.25, 0.75]
    ),
    "of correlated": laws.Mixture([laws.Correlated(COVARIANCE[:2, :2]), laws.Empirical(POINTS)]),
    "product": laws.Product(laws.Dirac(2.0), laws.Correlated(COVARIANCE), laws.Gaussian([3.0])),
}


def drawn(law, rule, count=2**14):
    return mfpde.ParticleMeasure.from_law(law, mfpde.Depth(1, "euler"), count=count, rule=rule)


@pytest.mark.parametrize("name", ALL)
def test_moments_are_those_of_samples(name):
    law = ALL[name]
    scale = law.std.max()
    for rule, tolerance in (("sobol", 3e-3), ("iid", 5e-2)):
        rho = drawn(law, rule)
        mean, second = rho.mean()[0], rho.second_moment()[0]
        np.testing.assert_allclose(mean, law.mean, atol=tolerance * scale)
        spread = second - np.outer(mean, mean)
        np.testing.assert_allclose(spread, law.covariance, atol=3 * tolerance * scale**2)
    np.testing.assert_allclose(law.std, np.sqrt(np.diag(law.covariance)))


def test_moments_in_closed_form():
    mixture = ALL["mixture"]
    np.testing.assert_allclose(mixture.mean, [0.25 * -2 + 0.75 * 1.5, 0.75 * 3])
    second = 0.25 * (0.25 + 4) + 0.75 * (1 / 12 + 2.25)
    np.testing.assert_allclose(mixture.covariance[0, 0], second - mixture.mean[0] ** 2)
    np.testing.assert_allclose(mixture.covariance[0, 1], 0.25 * 0.75 * 3.5 * 3.0)
    np.testing.assert_allclose(ALL["empirical"].mean, [1.4, 0.8])
    product = ALL["product"]
    np.testing.assert_allclose(product.covariance[1:4, 1:4], COVARIANCE)
    np.testing.assert_array_equal(product.random, [False, True, True, True, True])


def test_components_get_their_share_of_points_exactly():
    rho = drawn(ALL["mixture"], "sobol", 1024)
    assert int((rho.theta[0, :, 0] >= 1.0).sum()) == 768
    rho = drawn(ALL["empirical"], "sobol", 1000)
    counts = [(rho.theta[0] == point).all(axis=1).sum() for point in POINTS]
    np.testing.assert_allclose(counts, [500, 300, 200], atol=2)


@pytest.mark.parametrize("name", ALL)
def test_what_needs_independent_coordinates_says_so(name):
    law, depth = ALL[name], mfpde.Depth(1)
    words = r"has no independent coordinates: use rule='iid' or 'sobol'"
    with pytest.raises(TypeError, match=words):
        mfpde.ParticleMeasure.from_law(law, depth, count=4096, rule="gauss")


def test_a_correlated_gaussian_without_correlation_is_the_gaussian():
    """Loss of the same Sobol points, up to the order of the eigenvectors."""
    problem, depth = sine(), mfpde.Depth(2)
    plain = mfpde.ParticleMeasure.from_law(laws.Gaussian(1.0, dim=5), depth, count=256)
    coupled = mfpde.ParticleMeasure.from_law(laws.Correlated(np.eye(5)), depth, count=256)
    assert mfpde.loss(problem, coupled) == pytest.approx(mfpde.loss(problem, plain), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: laws.Correlated([[1.0, 2.0], [2.0, 1.0]]), "no negative eigenvalue; the least"),
        (lambda: laws.Correlated([[1.0, 0.5], [0.0, 1.0]]), "square and symmetric"),
        (lambda: laws.Empirical(POINTS, [0.5, 0.3, 0.3]), "weights must be >= 0 and sum to 1"),
        (lambda: laws.Empirical(POINTS[:0]), "points must not be empty"),
        (lambda: laws.Mixture([]), "parts must be one or more"),
        (lambda: laws.Mixture([laws.Dirac([1.0]), laws.Dirac([1.0, 2.0])]), r"given p = \[1, 2\]"),
        (lambda: laws.Mixture([laws.Dirac([1.0])], weights=[0.0]), "sum to 1"),
    ],
)
def test_bad_laws_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
