"""Activation kernels against extended precision, and the machine code they become."""

import platform

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba import njit

from mfpde.activations import ACTIVATIONS
from mfpde.kernels import activate, elementary

EXTENDED = np.longdouble
needs_extended = pytest.mark.skipif(
    np.finfo(EXTENDED).eps > 2e-19, reason="no extended precision on this machine"
)
PRECISIONS = (np.float64, np.float32)
# Largest error of σ in units in the last place: the figures that elementary.py states.
ULP = {"tanh": 3.5, "sigmoid": 3, "softplus": 4, "silu": 4, "gelu": 7, "sin": 4, "relu": 0}


def _normal(x):
    """Φ and its density in extended precision: a series about 0, a continued fraction beyond."""
    density = np.exp(-x * x / 2) / np.sqrt(2 * EXTENDED(np.pi) + EXTENDED(2.4492935982947064e-16))
    term, total = x.copy(), x.copy()
    for k in range(1, 120):
        term = np.where(np.abs(x) < 5, term * x * x / (2 * k + 1), 0)
        total = total + term
    a = np.maximum(np.abs(x), 2)
    fraction = a
    for k in range(300, 0, -1):
        fraction = a + k / fraction
    tail = density / fraction
    middle = EXTENDED(0.5) + density * total
    return np.where(x < -2, tail, np.where(x > 4.5, 1 - tail, middle)), density


def reference(name, x):
    """σ(x) and σ′(x) in extended precision."""
    x = x.astype(EXTENDED)
    if name == "tanh":
        return np.tanh(x), 1 / np.cosh(np.clip(x, -5000, 5000)) ** 2
    if name == "sin":
        return np.sin(x), np.cos(x)
    if name == "relu":
        return np.maximum(x, 0), (x > 0).astype(EXTENDED)
    if name == "gelu":
        phi, density = _normal(x)
        return x * phi, phi + x * density
    g = 1 / (1 + np.exp(-x))
    if name == "sigmoid":
        return g, g / (1 + np.exp(x))
    if name == "softplus":
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), g
    return x * g, g * (1 + x / (1 + np.exp(x)))


def arguments(name, dtype, count=40_000):
    """Typical, moderate, tiny (down to 1e−30) and large arguments, and sin's hard cases near nπ."""
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], count)
    parts = [3 * rng.standard_normal(count), sign * 10.0 ** rng.uniform(-30, 0, count)]
    if name == "sin":
        limit = elementary.SIN_RANGE[PRECISIONS.index(dtype)]
        parts += [rng.uniform(-limit, limit, count), np.arange(1, int(limit / np.pi), 7) * np.pi]
    elif name == "gelu":
        low, high = (-37.0, 37.0) if dtype == np.float64 else (-12.9, 12.9)
        parts += [rng.uniform(low, high, count)]
    else:
        parts += [rng.uniform(-86, 86, count)]
    return np.concatenate(parts).astype(dtype)


@needs_extended
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_error_of_value_and_slope(name, dtype):
    x = arguments(name, dtype)
    value, slope = activate.values_and_slopes(ACTIVATIONS[name].code, x)
    assert value.dtype == slope.dtype == dtype
    exact, exact_slope = reference(name, x)
    normal = np.abs(exact) >= np.finfo(dtype).tiny
    ulp = np.spacing(np.abs(exact[normal]).astype(dtype)).astype(EXTENDED)
    assert (np.abs(value[normal] - exact[normal]) / ulp).max() <= ULP[name]
    assert np.abs(slope - exact_slope).max() <= 3 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_alone_and_in_parallel_is_the_same_number(name, dtype):
    x = arguments(name, dtype)
    code = ACTIVATIONS[name].code
    value, _ = activate.values_and_slopes(code, x)
    np.testing.assert_array_equal(activate.values(code, x), value)
    pieces = [activate.values(code, piece) for piece in np.array_split(x, 37)]
    np.testing.assert_allclose(np.concatenate(pieces), value, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_propagates_and_limits_hold(name, dtype):
    code = ACTIVATIONS[name].code
    with np.errstate(invalid="ignore"):
        nan, nan_slope = activate.values_and_slopes(code, np.full(19, np.nan, dtype))
    assert np.isnan(nan).all()
    assert np.isnan(nan_slope).all()
    if name == "sin":
        return
    x = np.array([-np.inf, -1e30, 1e30, np.inf], dtype)
    value, slope = activate.values_and_slopes(code, x)
    low, high = {"tanh": (-1, 1), "sigmoid": (0, 1)}.get(name, (0, x[2:]))
    one = 0 if name in ("tanh", "sigmoid") else 1
    np.testing.assert_allclose(value[:2], low, atol=1e-34)
    np.testing.assert_allclose(value[2:], high, rtol=1e-6)
    np.testing.assert_allclose(slope, [0, 0, one, one], rtol=1e-6, atol=1e-34)


def test_tanh_is_odd_to_the_bit():
    for dtype in PRECISIONS:
        x = arguments("tanh", dtype)
        np.testing.assert_array_equal(
            activate.values(activate.TANH, -x), -activate.values(activate.TANH, x)
        )


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_sin_far_from_the_origin_falls_back_to_libm(dtype):
    x = np.array([1e7, -3e12, 0.3, 1e30], dtype)
    value, slope = activate.values_and_slopes(activate.SIN, x)
    np.testing.assert_allclose(value, np.sin(x), rtol=1e-6)
    np.testing.assert_allclose(slope, np.cos(x), rtol=1e-6)


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not llvm.get_host_cpu_features().get("avx2"),
    reason="looks for AVX2 instructions",
)
@pytest.mark.parametrize(("dtype", "suffix"), [(np.float64, "pd"), (np.float32, "ps")])
def test_loops_become_packed_instructions(dtype, suffix):
    compiled = njit(fastmath=elementary.EXACT, error_model="numpy")(activate.sigma_chunk.py_func)
    compiled(activate.TANH, np.zeros(64, dtype), np.zeros(64, dtype))
    (assembly,) = compiled.inspect_asm().values()
    divisions = [
        line
        for line in assembly.splitlines()
        if f"vdiv{suffix}" in line and ("%ymm" in line or "%zmm" in line)
    ]
    assert len(divisions) >= 6  # tanh, sigmoid, softplus, silu one each, gelu two
    if dtype == np.float32:
        assert "vcvtps2pd" not in assembly  # no silent promotion
