"""Depth integrators: nodes, quadrature weights, and the order of the solved limit."""

import numpy as np
import pytest

import mfpde
from mfpde import laws


def test_nodes_and_weights_are_the_integrators_own_quadrature():
    euler, heun, rk4, midpoint = (
        mfpde.Depth(2, name) for name in ("euler", "heun", "rk4", "midpoint")
    )
    np.testing.assert_array_equal(euler.nodes, [0, 0.5])
    np.testing.assert_allclose(euler.weights, [0.5, 0.5])
    np.testing.assert_array_equal(heun.nodes, [0, 0.5, 1])
    np.testing.assert_allclose(heun.weights, [0.25, 0.5, 0.25])
    np.testing.assert_array_equal(midpoint.nodes, [0.25, 0.75])
    np.testing.assert_allclose(midpoint.weights, [0.5, 0.5])
    np.testing.assert_array_equal(rk4.nodes, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(rk4.weights, np.array([1, 4, 2, 4, 1]) / 12)


@pytest.mark.parametrize("method", ["euler", "heun", "rk4", "midpoint"])
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_weights_are_positive_and_sum_to_one(method, steps):
    weights = mfpde.Depth(steps, method).weights
    assert weights.min() > 0
    assert abs(weights.sum() - 1) < 1e-15


def trained_output(steps: int, method: str) -> np.ndarray:
    """Outputs at s = 4 for d = 1, tanh, θ ∈ R³ uniform, tensor Gauss particles."""
    x = np.linspace(-1, 1, 8)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1))
    rho0 = mfpde.ParticleMeasure.from_law(
        laws.Uniform([-1] * 3, [1] * 3), mfpde.Depth(steps, method), count=27, rule="gauss"
    )
    run = mfpde.solve(problem, rho0, s_end=4.0, method="rk45", rtol=1e-11, atol=1e-13)
    return mfpde.predict(problem, run.final)


@pytest.fixture(scope="module")
def exact():
    return trained_output(48, "rk4")


@pytest.mark.parametrize(
    ("method", "order", "steps", "ceiling"),
    [
        ("euler", 1, (8, 16, 32), 2e-2),
        ("heun", 2, (4, 8, 16), 1e-4),
        ("midpoint", 2, (4, 8, 16), 1e-4),
        ("rk4", 4, (2, 4, 8), 1e-7),
    ],
)
def test_order_in_depth(exact, method, order, steps, ceiling):
    errors = [np.abs(trained_output(n, method) - exact).max() for n in steps]
    orders = np.diff(np.log(errors)) / np.diff(np.log(steps))
    np.testing.assert_allclose(-orders, order, atol=0.15)
    assert errors[-1] <= ceiling
