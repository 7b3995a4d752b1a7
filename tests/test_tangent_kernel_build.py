"""Both ways of building the tangent kernel against one backward pass per output."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import ACTIVATIONS, Network

import mfpde
from mfpde.kernels import gram
from mfpde.passes import propagate


def build(seed, n, d, m, outputs, steps, method, activation, bias, dtype):
    """The package's kernel and the oracle's for a random problem."""
    rng = np.random.default_rng(seed)
    block = mfpde.SHL(d, activation, bias=bias)
    depth = mfpde.Depth(steps, method)
    theta = rng.standard_normal((len(depth.nodes), m, block.size)).astype(dtype)
    weights = rng.dirichlet(np.ones(m), len(depth.nodes)).astype(dtype)
    x, readout = rng.standard_normal((n, d)), rng.standard_normal((outputs, d))
    layers = propagate.Layers(block, depth, theta, weights)
    kernel = propagate.tangent_kernel(layers, propagate.forward(layers, x), readout)
    exact = Network(depth, theta, weights, activation).tangent_kernel(x, readout)
    return kernel, exact


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 9),
    d=st.integers(1, 8),
    m=st.integers(1, 12),
    outputs=st.integers(1, 3),
    steps=st.integers(1, 3),
    method=st.sampled_from(["euler", "heun", "rk4", "midpoint"]),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    bias=st.booleans(),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_equals_the_product_of_jacobians(dtype, **problem):
    kernel, exact = build(**problem, dtype=dtype)
    assert kernel.dtype == dtype
    tol = 1e-12 if dtype == np.float64 else 5e-4
    np.testing.assert_allclose(kernel, exact, rtol=tol, atol=tol * np.abs(exact).max())


@pytest.mark.parametrize("product", ["flat", "hadamard"])
@pytest.mark.parametrize(("n", "outputs"), [(50, 1), (17, 3)])
def test_many_blocks_and_slices_sum_to_the_same(monkeypatch, product, n, outputs):
    monkeypatch.setattr(gram, "ROWS", 8)
    monkeypatch.setattr(gram, "WIDEST", 20)
    monkeypatch.setattr(gram, "COLUMNS", 500)
    other = {"flat": "hadamard", "hadamard": "flat"}[product]
    monkeypatch.setattr(gram, other, getattr(gram, product))
    kernel, exact = build(1, n, 3, 11, outputs, 2, "rk4", "tanh", True, np.float64)
    np.testing.assert_allclose(kernel, exact, rtol=1e-12, atol=1e-12 * np.abs(exact).max())
    np.testing.assert_array_equal(kernel, kernel.T)


def test_both_products_are_chosen_by_the_work_they_do(monkeypatch):
    calls = []
    for name in ("flat", "hadamard"):
        original = getattr(gram, name)
        monkeypatch.setattr(gram, name, lambda *a, n=name, f=original: (calls.append(n), f(*a))[1])
    build(0, 5, 2, 4, 1, 1, "rk4", "tanh", True, np.float64)
    build(0, 5, 9, 4, 1, 1, "euler", "tanh", True, np.float64)
    assert set(calls[:3]) >= {"flat"}
    assert calls[-1] == "hadamard"
