"""σ, σ′ and σ″ over arrays, branch once per chunk: the inner loops stay free of branches."""

from __future__ import annotations

from types import FunctionType

import numpy as np
from numba import njit

from mfpde.kernels import elementary
from mfpde.kernels.native import LEAN, address, call
from mfpde.kernels.pools import shared, threads_for

TANH, SIGMOID, SOFTPLUS, GELU, SILU, RELU, SIN = range(7)

FROM_VALUE = (TANH, SIGMOID, RELU)  # σ′ is a function of σ

CHUNK = 2048  # values per task: z, s and ds together fit a first-level cache in float64


@njit(cache=True, fastmath=elementary.EXACT, error_model="numpy")
def sigma_chunk(code, z, s):
    """s ← σ(z) for one chunk."""
    n = z.size
    if code == TANH:
        for i in range(n):
            s[i] = elementary.tanh(z[i])[0]
    elif code == SIGMOID:
        for i in range(n):
            s[i] = elementary.sigmoid(z[i])[0]
    elif code == SOFTPLUS:
        for i in range(n):
            s[i] = elementary.softplus(z[i])[0]
    elif code == GELU:
        for i in range(n):
            s[i] = elementary.gelu(z[i])[0]
    elif code == SILU:
        for i in range(n):
            s[i] = elementary.silu(z[i])[0]
    elif code == RELU:
        for i in range(n):
            s[i] = elementary.relu(z[i])[0]
    elif _beyond_sin(z):
        for i in range(n):
            s[i] = elementary.sin_any(z[i])[0]
    else:
        for i in range(n):
            s[i] = elementary.sin(z[i])[0]


@njit(cache=True, fastmath=elementary.EXACT, error_model="numpy")
def slope_chunk(code, z, s, ds):
    """s ← σ(z), ds ← σ′(z) for one chunk."""
    n = z.size
    if code == TANH:
        for i in range(n):
            s[i], ds[i] = elementary.tanh(z[i])
    elif code == SIGMOID:
        for i in range(n):
            s[i], ds[i] = elementary.sigmoid(z[i])
    elif code == SOFTPLUS:
        for i in range(n):
            s[i], ds[i] = elementary.softplus(z[i])
    elif code == GELU:
        for i in range(n):
            s[i], ds[i] = elementary.gelu(z[i])
    elif code == SILU:
        for i in range(n):
            s[i], ds[i] = elementary.silu(z[i])
    elif code == RELU:
        for i in range(n):
            s[i], ds[i] = elementary.relu(z[i])
    elif _beyond_sin(z):
        for i in range(n):
            s[i], ds[i] = elementary.sin_any(z[i])
    else:
        for i in range(n):
            s[i], ds[i] = elementary.sin(z[i])


@njit(cache=True, fastmath=elementary.EXACT, error_model="numpy")
def slope_from_value(code, s, ds):
    """ds ← σ′ from s = σ, for the codes in FROM_VALUE."""
    one, zero = s.dtype.type(1), s.dtype.type(0)
    if code == TANH:
        for i in range(s.size):
            ds[i] = one - s[i] * s[i]
    elif code == SIGMOID:
        for i in range(s.size):
            ds[i] = s[i] * (one - s[i])
    else:
        for i in range(s.size):
            ds[i] = one if s[i] > zero else (s[i] if s[i] != s[i] else zero)


@njit(cache=True, fastmath=elementary.EXACT, error_model="numpy")
def curvature_chunk(code, z, s, ds, out):
    """out ← σ″(z) from z, s = σ(z) and ds = σ′(z); 0 for relu."""
    n, one = z.size, z.dtype.type(1)
    two = one + one
    if code == TANH:
        for i in range(n):
            out[i] = -two * s[i] * ds[i]
    elif code == SIGMOID:
        for i in range(n):
            out[i] = ds[i] * (one - two * s[i])
    elif code == SOFTPLUS:
        for i in range(n):
            out[i] = ds[i] * (one - ds[i])
    elif code == GELU:
        for i in range(n):
            out[i] = elementary.gelu_curvature(z[i])
    elif code == SILU:
        for i in range(n):
            out[i] = elementary.silu_curvature(z[i])
    elif code == RELU:
        for i in range(n):
            out[i] = z[i] - z[i]
    else:
        for i in range(n):
            out[i] = -s[i]


@njit(cache=True, error_model="numpy")
def _beyond_sin(z):
    beyond = False
    for i in range(z.size):
        limit = elementary.pick(z[i], elementary.SIN_RANGE[0], elementary.SIN_RANGE[1])
        beyond |= abs(z[i]) > limit
    return beyond


def _loop(body, scalar, name):
    """``body`` with one activation for ``_scalar``; it is cached by its name."""
    made = FunctionType(body.__code__, {**globals(), "_scalar": scalar}, name)
    made.__qualname__, made.__module__ = name, __name__
    return njit(fastmath=elementary.EXACT, **LEAN)(made)


def _values(z, s):
    for i in range(z.size):
        s[i] = _scalar(z[i])[0]  # noqa: F821


def _slopes(z, s, ds):
    for i in range(z.size):
        s[i], ds[i] = _scalar(z[i])  # noqa: F821


@njit(**LEAN)
def _sin_values(z, s):
    sigma_chunk(SIN, z, s)


@njit(**LEAN)
def _sin_slopes(z, s, ds):
    slope_chunk(SIN, z, s, ds)


@njit(fastmath=elementary.EXACT, **LEAN)
def _tanh_from_value(s, ds):
    for i in range(s.size):
        ds[i] = s.dtype.type(1) - s[i] * s[i]


@njit(fastmath=elementary.EXACT, **LEAN)
def _sigmoid_from_value(s, ds):
    for i in range(s.size):
        ds[i] = s[i] * (s.dtype.type(1) - s[i])


@njit(fastmath=elementary.EXACT, **LEAN)
def _relu_from_value(s, ds):
    one, zero = s.dtype.type(1), s.dtype.type(0)
    for i in range(s.size):
        ds[i] = one if s[i] > zero else (s[i] if s[i] != s[i] else zero)


_NAMES = ("tanh", "sigmoid", "softplus", "gelu", "silu", "relu")
# σ, and σ with σ′, by code: each compiled alone, for those who call it by its address.
VALUES = [_loop(_values, getattr(elementary, name), f"{name}_values") for name in _NAMES]
VALUES.append(_sin_values)
SLOPES = [_loop(_slopes, getattr(elementary, name), f"{name}_slopes") for name in _NAMES]
SLOPES.append(_sin_slopes)
SLOPES_FROM_VALUE = {
    TANH: _tanh_from_value,
    SIGMOID: _sigmoid_from_value,
    RELU: _relu_from_value,
}


@njit(**LEAN)
def _values_share(t, shares, sigma, z, s):
    for c in range(t, (z.size + CHUNK - 1) // CHUNK, shares):
        lo, hi = c * CHUNK, min((c + 1) * CHUNK, z.size)
        call(sigma, (z[lo:hi], s[lo:hi]))


@njit(**LEAN)
def _slopes_share(t, shares, slope, z, s, ds):
    for c in range(t, (z.size + CHUNK - 1) // CHUNK, shares):
        lo, hi = c * CHUNK, min((c + 1) * CHUNK, z.size)
        call(slope, (z[lo:hi], s[lo:hi], ds[lo:hi]))


def values(code: int, z: np.ndarray) -> np.ndarray:
    """σ(z) for a flat array, in its precision."""
    s, shares = np.empty_like(z), threads_for(z.size)
    shared(_values_share, shares, shares, address(VALUES[code], z, s), z, s)
    return s


def values_and_slopes(code: int, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """σ(z) and σ′(z) for a flat array, in its precision."""
    s, ds, shares = np.empty_like(z), np.empty_like(z), threads_for(z.size)
    shared(_slopes_share, shares, shares, address(SLOPES[code], z, s, ds), z, s, ds)
    return s, ds


def three(code: int, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """σ(z), σ′(z) and σ″(z) for a flat array, in its precision."""
    s, ds = values_and_slopes(code, z)
    out = np.empty_like(z)
    curvature_chunk(code, z, s, ds, out)
    return s, ds, out
