"""The limit from laws whose coordinates hang together, against many points of those laws."""

import numpy as np
import pytest

import mfpde
from mfpde import laws
from mfpde.limits.law_in_depth import LawInDepth
from mfpde.measures import quadrature

ROOT = np.array([[0.8, 0.0, 0.0], [0.5, 0.7, 0.0], [-0.3, 0.4, 0.6]])
POINTS = np.array([[1.0, 0.5, 0.0], [-0.8, 1.0, 0.4], [0.3, -1.2, -0.5], [0.9, 0.9, 0.9]])
CORRELATED = laws.Correlated(ROOT @ ROOT.T, [0.4, 0.0, -0.2])
EMPIRICAL = laws.Empirical(POINTS, [0.4, 0.3, 0.2, 0.1])


def turning(t):
    """Correlated, along axes that turn with depth and change places."""
    c, s = np.cos(3 * t), np.sin(3 * t)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return laws.Correlated(turn @ np.diag([0.9, 0.3 + 0.6 * t, 0.4]) @ turn.T, [0.5, 0.0, 0.0])


LAWS = {
    "correlated": CORRELATED,
    "flat": laws.Correlated(np.outer([1.0, 0.5, -0.5], [1.0, 0.5, -0.5]), [0.3, 0.3, 0.3]),
    "turning": turning,
    "mixture": laws.Mixture(
        [laws.Gaussian(0.5, [1.0, 1.0, 0.0]), CORRELATED, laws.Dirac([-0.5, 1.0, 0.3])],
        [0.5, 0.3, 0.2],
    ),
    "empirical": EMPIRICAL,
    "moving atoms": lambda t: laws.Empirical(POINTS + 0.5 * np.sin(2 * t)),
    "product": laws.Product(
        laws.Mixture([laws.Dirac(-0.6, dim=1), laws.Uniform(0.2, 1.0, dim=1)]),
        laws.Correlated([[1.0, 0.6], [0.6, 0.8]]),
    ),
    "partly fixed": laws.Product(laws.Dirac(0.3, dim=1), laws.Correlated([[1, 0.6], [0.6, 1]])),
}


@pytest.fixture(scope="module")
def problem():
    x = np.linspace(-1, 1, 5)[:, None]
    return mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1))


def brute_force(problem, law, s_end):
    """Mean outputs of eight sets of Sobol points that the limit does not use, and its error."""
    runs = []
    for seed in range(40, 48):
        rho0 = mfpde.ParticleMeasure.from_law(
            law, mfpde.Depth(3), count=512, coupling="independent", seed=seed
        )
        runs.append(mfpde.solve(problem, rho0, s_end=s_end, rtol=1e-5, progress=False).final)
    outputs = [mfpde.predict(problem, rho) for rho in runs]
    return np.mean(outputs, axis=0), np.std(outputs, axis=0, ddof=1) / np.sqrt(8)


@pytest.mark.parametrize("name", LAWS)
def test_against_many_points(problem, name):
    exact, noise = brute_force(problem, LAWS[name], 0.5)
    found = mfpde.limit(problem, LAWS[name], s_end=0.5, rtol=3e-3, times=2)
    assert found.success
    assert found.sizes.rule == "tensor"
    off = np.sqrt(np.mean((found.outputs[-1] - exact) ** 2))
    assert off <= found.outputs_error[-1] + 3 * np.sqrt(np.mean(noise**2))


def test_atoms_are_taken_as_they_are(problem):
    found = mfpde.limit(problem, EMPIRICAL, s_end=0.5, rtol=1e-3, times=1)
    assert found.sizes.particles == len(POINTS)
    assert found.errors["width"] == 0.0


def test_rules_of_many_coordinates_take_scrambles(problem):
    """Kinks, more atoms than particles, and pieces that come and go with depth."""
    relu = mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(dim=1, activation="relu"))
    rng = np.random.default_rng(0)
    many = laws.Empirical(rng.standard_normal((5000, 3)) * [0.5, 1.0, 1.0])

    def growing(t):
        return laws.Correlated(t * ROOT @ ROOT.T)  # a point, without coordinates, at t = 0

    for task, law in ((relu, CORRELATED), (problem, many), (problem, growing)):
        found = mfpde.limit(task, law, s_end=0.5, rtol=1e-1, times=1)
        assert found.sizes.rule == "sobol"
        assert np.isfinite(found.error)


@pytest.mark.parametrize("name", ["correlated", "mixture", "product", "partly fixed"])
def test_pieces_have_the_moments_of_their_law(name):
    law = LAWS[name]
    count = sum(len(piece.marginals) for piece in law.pieces)
    theta, weights = quadrature.tensor(law, [4] * count)
    mean = weights @ theta
    np.testing.assert_allclose(mean, law.mean, atol=1e-12)
    off = theta - mean
    np.testing.assert_allclose((weights[:, None] * off).T @ off, law.covariance, atol=1e-12)


def test_covariances_are_looked_at_over_depth():
    """Marginals stay, the correlation alternates: only the covariance shows it."""

    def law(t):
        c = 0.8 * np.sin(40 * np.pi * t)
        return laws.Correlated([[1.0, c], [c, 1.0]])

    assert LawInDepth(law, 2).missed(5) > 0.5
    assert LawInDepth(law, 2).least_steps() > 20
