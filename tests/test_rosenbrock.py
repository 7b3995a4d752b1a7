"""The Rosenbrock–W method: order conditions, order, the linear algebra of its stages, stiffness."""

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde.flows import dual
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.schemes import SCHEMES
from mfpde.flows.schemes.rosenbrock import ALPHA, GAMMA, LOWER, MIXED, B, step

DEPTH = mfpde.Depth(2, "rk4")
TERMS = [
    {},
    {"weight_decay": 0.05},
    {"loss": "cross_entropy", "quartic_decay": 0.02},
    {"weight_decay": 0.05, "rates": (1.0, 0.3, 2.0)},
]


def below(rows):
    out = np.zeros((4, 4))
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def test_order_conditions_hold_for_any_matrix():
    """Those of a W-method of order 3, for each product of α and γ (Hairer, Wanner IV.7)."""
    a, g, one = below(ALPHA), GAMMA * (below(MIXED) + np.eye(4)), np.ones(4)
    for weights, order in ((np.array(B), 3), (np.array(LOWER), 2)):
        found = {"1": weights @ one - 1, "a": weights @ a @ one - 1 / 2, "g": weights @ g @ one}
        if order == 3:
            found |= {"aa": weights @ a @ a @ one - 1 / 6, "a2": weights @ (a @ one) ** 2 - 1 / 3}
            found |= {"ag": weights @ a @ g @ one, "ga": weights @ g @ a @ one}
            found |= {"gg": weights @ g @ g @ one}
        assert max(map(abs, found.values())) < 1e-13, found


def test_it_is_l_stable_where_the_matrix_is_exact():
    beta = below(ALPHA) + GAMMA * (below(MIXED) + np.eye(4))

    def growth(z):
        return abs(1 + z * np.array(B) @ np.linalg.solve(np.eye(4) - z * beta, np.ones(4)))

    assert max(growth(-z) for z in np.geomspace(1e-3, 1e8, 300)) < 1.0
    assert growth(-1e8) < 1e-6


def start(terms, seed=0):
    problem = sine(8, **terms)
    rho0 = gaussian_measure(problem, DEPTH, seed=seed)
    return ParticleFlow(problem, rho0), rho0


def jacobian(flow, point):
    """J of the outputs by pulls of unit vectors, (N, k, …) in the metric of the flow."""
    units = np.eye(flow.rows).reshape(-1, *point.outputs.shape)
    return [point.carried.velocity(flow.pull_outputs(point, unit)) for unit in units]


@pytest.mark.parametrize("terms", TERMS)
def test_a_step_is_the_method_with_a_matrix_of_all_parameters(terms):
    flow, rho0 = start(terms)
    point, h = flow.at(rho0.theta), 0.7
    pulled, hessian = jacobian(flow, point), point.hessian
    n, k = point.outputs.shape
    blocks = np.eye(k)[None].repeat(n, 0) if hessian is None else hessian
    metric = np.zeros((n * k, n * k))
    for i in range(n):
        metric[i * k : (i + 1) * k, i * k : (i + 1) * k] = blocks[i]
    images = np.stack([one.ravel() for one in pulled])
    decay = flow.fastest * flow.penalty(0.0).quadratic
    gram = np.array([[flow.inner(one, other) for other in pulled] for one in pulled])

    def solved(r):  # (I + hγ(λ + J*HJ/N)) w = r, in the span of J* and its complement
        c = 1.0 + h * GAMMA * decay
        pushed = np.array([flow.inner(one, r) for one in pulled])
        scale = h * GAMMA / (n * c)
        v = np.linalg.solve(np.eye(n * k) + scale * metric @ gram, metric @ pushed / c)
        return r / c - scale * (v @ images).reshape(r.shape)

    slopes = []
    for alpha, mixed in zip(below(ALPHA), below(MIXED), strict=True):
        state = rho0.theta + h * sum((a * s for a, s in zip(alpha, slopes, strict=False)), 0.0)
        behind = sum((m * s for m, s in zip(mixed, slopes, strict=False)), np.zeros_like(state))
        slopes.append(solved(behind - flow.at(state).gradient) - behind)
    found = step(flow, point, h, rtol=1e-13)
    end = rho0.theta + h * sum(b * s for b, s in zip(B, slopes, strict=True))
    error = h * sum((b - low) * s for b, low, s in zip(B, LOWER, slopes, strict=True))
    np.testing.assert_allclose(found.point.state, end, atol=1e-10)
    np.testing.assert_allclose(found.error, error, atol=1e-10)


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("vanishing", [0.0, 0.3])
def test_order_three(terms, vanishing):
    problem = sine(8, **terms)
    rho0 = gaussian_measure(problem, DEPTH)
    flow = ParticleFlow(problem, rho0, vanishing_decay=vanishing)

    def after(method, count):
        point = flow.at(rho0.theta)
        for _ in range(count):
            point = method(flow, point, 2.0 / count).point
        return point.state

    exact = after(SCHEMES["rk45"].step, 200)
    errors = [np.abs(after(step, n) - exact).max() for n in (16, 32, 64)]
    orders = -np.diff(np.log(errors)) / np.log(2)
    np.testing.assert_allclose(orders, 3, atol=0.25)
    assert errors[-1] < 5e-6
    point = flow.at(rho0.theta)
    estimates = [flow.norm(step(flow, point, h).error) for h in (0.1, 0.05, 0.025, 0.0125)]
    orders = -np.diff(np.log(estimates)) / np.log(2)
    np.testing.assert_allclose(orders[-1], 3, atol=0.3)


def test_systems_that_nothing_solves_refuse_the_step(monkeypatch):
    flow, rho0 = start({})

    def unsolved(*given):
        raise dual.Unsolved

    monkeypatch.setattr(dual.Chosen, "solve", unsolved)
    assert step(flow, flow.at(rho0.theta), 0.1).refused


def test_zero_loss_in_steps_far_beyond_stability():
    problem = sine(10)
    rho0 = gaussian_measure(problem, mfpde.Depth(3, "rk4"), count=32)
    how = {"s_end": np.inf, "loss_below": 1e-12, "method": "implicit", "rtol": 1e-3}
    run = mfpde.solve(problem, rho0, **how)
    assert run.loss[-1] <= 1e-12
    assert run.control.steps < 250
    assert np.all(np.diff(run.loss) <= 0)
    assert run.step.max() > 100
