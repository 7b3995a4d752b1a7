"""The exact linear flow against the scalar solution, particles, its conserved spectra and R1."""

import numpy as np
import pytest

import mfpde
from mfpde.theory import _linear_exact as exact

ALPHA, TARGET = 0.7, 2.0


def scalar_problem():
    return mfpde.Problem([[1.0]], [[TARGET]], block=mfpde.Linear(1))


def matrix_problem(seed=0, d=2, n=5):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    y = x @ rng.standard_normal((d, d)) + 0.1 * rng.standard_normal((n, d))
    return mfpde.Problem(x, y, block=mfpde.Linear(d))


def random_sigma(depth, d, seed=1):
    r = np.random.default_rng(seed).standard_normal((len(depth.nodes), 2 * d, 3 * d)) / np.sqrt(d)
    return 0.3 * r @ r.swapaxes(1, 2)


def test_closure_equals_scalar_solution_in_infinite_depth():
    s = np.array([0.0, 0.1, 0.3])
    exact_loss = 0.5 * (np.exp(exact.linear_scalar(ALPHA, lambda z: z - TARGET, s)) - TARGET) ** 2
    flow = exact.linear_closure(scalar_problem(), ALPHA * np.eye(2), mfpde.Depth(64, "rk4"), s)
    assert np.abs(flow.loss - exact_loss).max() < 1e-9


def test_closure_equals_scalar_network_of_any_depth():
    s = np.array([0.05, 0.3])
    for steps in (1, 8):
        exponent = exact.linear_scalar(ALPHA, lambda z: z - TARGET, s, steps=steps)
        output = exact.linear_multiplier(exponent, steps)
        flow = exact.linear_closure(
            scalar_problem(), ALPHA * np.eye(2), mfpde.Depth(steps, "euler"), s
        )
        assert np.abs(flow.loss - 0.5 * (output - TARGET) ** 2).max() < 1e-11


def test_networks_converge_to_the_limit_with_order_one():
    limit = np.exp(exact.linear_scalar(ALPHA, lambda z: z - TARGET, [0.3]))
    errors = []
    for steps in (8, 16, 32, 64, 128):
        exponent = exact.linear_scalar(ALPHA, lambda z: z - TARGET, [0.3], steps=steps)
        errors.append(abs(exact.linear_multiplier(exponent, steps) - limit)[0])
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - 1.0) < 0.06)
    assert errors[-1] < 1.8e-3


@pytest.mark.parametrize("method", ["euler", "heun", "rk4"])
def test_closure_is_the_flow_of_any_particles(method):
    problem, depth = matrix_problem(), mfpde.Depth(3, method)
    theta = 0.6 * np.random.default_rng(2).standard_normal((len(depth.nodes), 7, 4))
    rho = mfpde.ParticleMeasure(theta, depth)
    flow = exact.linear_closure(problem, rho.second_moment(), depth, [0.0, 0.02])
    assert flow.loss[0] == pytest.approx(mfpde.loss(problem, rho), rel=1e-13)
    ds = 0.02 / 20
    for _ in range(20):  # classical Runge–Kutta on the particles
        k1 = mfpde.gradient(problem, rho)
        k2 = mfpde.gradient(problem, rho.with_state(rho.theta - ds / 2 * k1))
        k3 = mfpde.gradient(problem, rho.with_state(rho.theta - ds / 2 * k2))
        k4 = mfpde.gradient(problem, rho.with_state(rho.theta - ds * k3))
        rho = rho.with_state(rho.theta - ds / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    assert np.abs(flow.sigma[-1] - rho.second_moment()).max() < 1e-9


def test_rates_are_a_change_of_variables():
    """Against the particles' own flow, and its invariants, spectra and bound in θ/√η."""
    problem, depth = matrix_problem(), mfpde.Depth(3, "rk4")
    eta = np.array([0.5, 2.0, 1.5, 0.7])
    theta = 0.8 * np.random.default_rng(4).standard_normal((len(depth.nodes), 7, 4))
    rho, s = mfpde.ParticleMeasure(theta, depth), [0.0, 0.1, 1.0]
    flow = exact.linear_closure(problem.under(eta), rho.second_moment(), depth, s)
    how = {"method": "rk45", "rtol": 1e-10, "atol": 1e-12, "save": s[1:]}
    run = mfpde.solve(problem, rho, s_end=1.0, rates=eta, **how)
    assert np.abs(flow.sigma[2] - run.final.second_moment()).max() < 1e-8
    plain = exact.linear_closure(problem, rho.second_moment(), depth, s)
    assert np.abs(flow.loss - plain.loss).max() > 1e-4
    spectra = exact.conserved_spectra(flow.sigma / np.sqrt(eta[:, None] * eta))
    assert np.abs(spectra - spectra[0]).max() < 1e-8 * np.abs(spectra).max()
    assert np.abs(np.diff(exact.conserved_spectra(flow.sigma), axis=0)).max() > 1e-3
    assert np.all(flow.loss <= exact.linear_bound(problem.under(eta), flow) + 1e-12)
    with pytest.raises(ValueError, match="rates > 0"):
        exact.linear_bound(problem.under((0.0, 1.0)), flow)


def test_spectra_and_margin_are_conserved_and_margin_bounds_the_blocks():
    problem, depth = matrix_problem(), mfpde.Depth(4, "euler")
    flow = exact.linear_closure(problem, random_sigma(depth, 2), depth, [0.0, 0.1, 1.0])
    spectra = exact.conserved_spectra(flow.sigma)
    assert np.abs(spectra - spectra[0]).max() < 1e-8 * np.abs(spectra).max()
    margins = exact.linear_margin(flow.sigma)
    assert np.abs(margins - margins[0]).max() < 1e-8
    blocks = [np.linalg.eigvalsh(flow.sigma[..., i:j, i:j])[..., 0] for i, j in ((0, 2), (2, 4))]
    assert np.all(sum(blocks) >= margins - 1e-9)
    assert np.all(margins > 0)


def test_white_margin_is_twice_the_variance():
    assert exact.linear_margin(0.3 * np.eye(6)) == pytest.approx(0.6)


@pytest.mark.parametrize("steps", [4, 16])
def test_excess_loss_stays_below_the_depth_l_bound(steps):
    problem, depth = matrix_problem(), mfpde.Depth(steps, "euler")
    s = np.linspace(0.0, 3.0, 13)
    flow = exact.linear_closure(problem, np.eye(4), depth, s)
    bound = exact.linear_bound(problem, flow, steps=steps)
    least = exact.gradient_domination(problem)[1]
    assert np.all(flow.loss <= bound + 1e-12)
    assert flow.loss[-1] - least < 1e-3 * (flow.loss[0] - least)


def test_gradient_domination_holds_at_random_maps():
    problem = matrix_problem(3, d=3, n=6)
    kappa, least = exact.gradient_domination(problem)
    rng = np.random.default_rng(0)
    for _ in range(50):
        product = rng.standard_normal((3, 3))
        residual = problem.x @ product.T - problem.y
        gradient = residual.T @ problem.x / problem.size
        excess = 0.5 * np.square(residual).sum() / problem.size - least
        assert np.square(gradient).sum() >= 2 * kappa * excess * (1 - 1e-10)


def test_wrong_input_is_named():
    shl = mfpde.Problem([[1.0]], [[1.0]], block=mfpde.SHL(1))
    with pytest.raises(TypeError, match="Linear"):
        exact.linear_closure(shl, np.eye(2), mfpde.Depth(2), [0.1])
    with pytest.raises(ValueError, match="sigma0"):
        exact.linear_closure(scalar_problem(), np.eye(3), mfpde.Depth(2), [0.1])
    with pytest.raises(ValueError, match="increasing"):
        exact.linear_scalar(1.0, lambda z: z, [0.2, 0.1])
