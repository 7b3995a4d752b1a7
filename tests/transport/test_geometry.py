"""Geodesics, tangent fields, barycentres, speed and depth regularity."""

import numpy as np
import pytest

import mfpde
from mfpde.transport import (
    barycentre,
    conditional_transport,
    cot_distance,
    depth_regularity,
    geodesic,
    metric_speed,
    path_length,
    tangent_field,
)

T2 = np.array([0.25, 0.75])


def measures(seed, sizes=(30, 40), p=2):
    rng = np.random.default_rng(seed)
    return [(T2, rng.normal(size=(2, n, p)) * (k + 1)) for k, n in enumerate(sizes)]


@pytest.mark.parametrize("r", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("axis", [T2, np.array([0.1, 0.5, 0.9])])
def test_geodesics_have_constant_speed(r, axis):
    mu, nu = measures(0)
    nu = (axis, np.resize(nu[1], (len(axis), 40, 2)))
    transport = conditional_transport(mu, nu)
    middle = geodesic(transport, r)
    assert cot_distance(mu, middle) == pytest.approx(r * transport.distance, abs=1e-9)
    assert cot_distance(middle, nu) == pytest.approx((1 - r) * transport.distance, abs=1e-9)
    theta, weights = middle.padded()
    assert theta.shape[:2] == weights.shape
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-14)


def test_geodesic_refuses_bounds_and_bad_positions():
    mu, nu = measures(1)
    with pytest.raises(ValueError, match="lower bound"):
        geodesic(conditional_transport(mu, nu, method="sliced"), 0.5)
    with pytest.raises(ValueError, match=r"r must lie in \[0, 1\]"):
        geodesic(conditional_transport(mu, nu), 1.5)


def test_tangent_field_is_the_map_and_its_norm_the_distance():
    mu = measures(2)[0]
    stretch = np.array([[1.5, 0.3], [0.3, 0.8]])
    nu = (T2, mu[1] @ stretch + 1.0)
    transport = conditional_transport(mu, nu)
    fields = tangent_field(transport)
    for field, x, y in zip(fields, mu[1], nu[1], strict=True):
        np.testing.assert_allclose(field, y - x, atol=1e-12)
    norm2 = 0.5 * sum(np.mean(np.sum(f**2, axis=1)) for f in fields)
    assert np.sqrt(norm2) == pytest.approx(transport.distance, rel=1e-12)


def test_barycentre_of_gaussian_images_and_of_the_line():
    """Scaled copies x -> s_l x of one cloud: the barycentre scales by the mean of s_l."""
    base = measures(3)[0][1]
    given = [(T2, s * base) for s in (0.5, 1.0, 3.0)]
    result = barycentre(given, [0.2, 0.3, 0.5])
    expected = (T2, (0.2 * 0.5 + 0.3 + 0.5 * 3.0) * base)
    assert cot_distance(result.measure, expected) < 1e-10
    line = [(T2, np.sort(np.random.default_rng(k).normal(size=(2, 25, 1)), axis=1)) for k in (0, 1)]
    mean = barycentre(line)
    assert cot_distance(mean.measure, (T2, 0.5 * (line[0][1] + line[1][1]))) < 1e-12


def test_barycentre_objective_never_rises_and_two_give_the_geodesic():
    mu, nu = measures(4, sizes=(40, 40))
    result = barycentre([mu, nu])
    assert np.all(np.diff(result.objective) <= 1e-12)
    half = conditional_transport(mu, nu).distance
    assert result.objective[-1] == pytest.approx(half**2 / 4, rel=1e-9)
    with pytest.raises(ValueError, match="coefficients must be >= 0"):
        barycentre([mu, nu], [-1.0, 2.0])


def test_length_and_speed_of_a_known_path():
    """θ(s) = θ_0 + s² e: |ρ′| = 2s|e|, length |e| over [0, 1]."""
    theta = measures(5)[0][1]
    s, step = np.linspace(0.0, 1.0, 11), np.array([3.0, 4.0])
    path = [(T2, theta + time**2 * step) for time in s]
    middle, speed = metric_speed(s, path)
    np.testing.assert_allclose(speed, 10.0 * middle, rtol=1e-9)
    assert path_length(path) == pytest.approx(5.0, rel=1e-9)
    with pytest.raises(ValueError, match="rise strictly"):
        metric_speed(s[::-1], path)


def test_metric_speed_of_the_flow_is_the_gradient_norm():
    """COT(ρ_s, ρ_{s+h})/h → |grad E| with order h, on one explicit step of the particles."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(12, 1))
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1, activation="tanh"))
    depth = mfpde.Depth(2, "rk4")
    law = mfpde.laws.Gaussian(std=[1.0, 1.0, 1.0])
    rho = mfpde.ParticleMeasure.from_law(law, depth, count=64, seed=0)
    norm = np.sqrt(rho.integrate((mfpde.gradient(problem, rho) ** 2).sum(axis=2)))
    errors = []
    for h in (1e-2, 1e-3):
        later = mfpde.solve(problem, rho, s_end=h, method="rk4", step=h / 2).final
        errors.append(abs(cot_distance(rho, later) / h / norm - 1.0))
    assert errors[0] < 2e-2
    assert errors[1] < 0.15 * errors[0]


def test_depth_regularity_of_a_straight_family():
    """θ_t = θ + t e: W₂(ρ_t, ρ_{t+δ}) = δ |e|."""
    depth = mfpde.Depth(4, "rk4")
    theta = np.random.default_rng(7).normal(size=(1, 20, 2))
    rho = mfpde.ParticleMeasure(theta + depth.nodes[:, None, None] * np.array([3.0, 4.0]), depth)
    for lag in (1, 3):
        gap, distance = depth_regularity(rho, lag)
        np.testing.assert_allclose(gap, lag / 8)
        np.testing.assert_allclose(distance, 5.0 * gap, rtol=1e-12)
    with pytest.raises(ValueError, match=r"lag must be in 1\.\.8"):
        depth_regularity(rho, 9)
