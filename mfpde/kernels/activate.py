"""σ and σ′ over arrays, branch once per chunk: the inner loops stay free of branches."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from mfpde.kernels import FASTMATH

TANH, SIGMOID, SOFTPLUS, GELU, SILU, RELU, SIN = range(7)

CHUNK = 4096  # values per task: 32 KiB in float64, the size of a first-level cache


@njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def sigma_chunk(code, z, s):
    """s ← σ(z) for one chunk."""
    n = z.size
    if code == TANH:
        for i in range(n):
            s[i] = math.tanh(z[i])
    elif code == SIGMOID:
        for i in range(n):
            s[i] = 0.5 * (1.0 + math.tanh(0.5 * z[i]))
    elif code == SOFTPLUS:
        for i in range(n):
            s[i] = max(z[i], 0.0) + math.log1p(math.exp(-abs(z[i])))
    elif code == GELU:
        for i in range(n):
            s[i] = 0.5 * z[i] * math.erfc(-z[i] * 0.7071067811865476)
    elif code == SILU:
        for i in range(n):
            s[i] = z[i] * 0.5 * (1.0 + math.tanh(0.5 * z[i]))
    elif code == RELU:
        for i in range(n):
            s[i] = z[i] if not z[i] < 0.0 else 0.0
    else:
        for i in range(n):
            s[i] = math.sin(z[i])


@njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def slope_chunk(code, z, s, ds):
    """s ← σ(z), ds ← σ′(z) for one chunk; z may be the same array as ds."""
    n = z.size
    if code == TANH:
        for i in range(n):
            s[i] = math.tanh(z[i])
            ds[i] = 1.0 - s[i] * s[i]
    elif code == SIGMOID:
        for i in range(n):
            s[i] = 0.5 * (1.0 + math.tanh(0.5 * z[i]))
            ds[i] = s[i] * (1.0 - s[i])
    elif code == SOFTPLUS:
        for i in range(n):
            s[i] = max(z[i], 0.0) + math.log1p(math.exp(-abs(z[i])))
            ds[i] = 0.5 * (1.0 + math.tanh(0.5 * z[i]))
    elif code == GELU:
        for i in range(n):
            x = z[i]
            phi = 0.5 * math.erfc(-x * 0.7071067811865476)
            s[i] = x * phi
            ds[i] = phi + x * 0.3989422804014327 * math.exp(-0.5 * x * x)
    elif code == SILU:
        for i in range(n):
            x = z[i]
            g = 0.5 * (1.0 + math.tanh(0.5 * x))
            s[i] = x * g
            ds[i] = g * (1.0 + x * (1.0 - g))
    elif code == RELU:
        for i in range(n):
            x = z[i]
            s[i] = x if not x < 0.0 else 0.0
            ds[i] = 1.0 if x > 0.0 else x * 0.0
    else:
        for i in range(n):
            x = z[i]
            s[i] = math.sin(x)
            ds[i] = math.cos(x)


@njit(cache=True, parallel=True, error_model="numpy")
def _values_parallel(code, z, s):
    for c in prange((z.size + CHUNK - 1) // CHUNK):
        lo, hi = c * CHUNK, min((c + 1) * CHUNK, z.size)
        sigma_chunk(code, z[lo:hi], s[lo:hi])


@njit(cache=True, parallel=True, error_model="numpy")
def _slopes_parallel(code, z, s, ds):
    for c in prange((z.size + CHUNK - 1) // CHUNK):
        lo, hi = c * CHUNK, min((c + 1) * CHUNK, z.size)
        slope_chunk(code, z[lo:hi], s[lo:hi], ds[lo:hi])


# A parallel region costs tens of microseconds: below this many values one thread is faster.
PARALLEL_FROM = 1 << 16


def values(code: int, z: np.ndarray) -> np.ndarray:
    """σ(z) for a flat array, in its precision."""
    s = np.empty_like(z)
    (_values_parallel if z.size >= PARALLEL_FROM else sigma_chunk)(code, z, s)
    return s


def values_and_slopes(code: int, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """σ(z) and σ′(z) for a flat array, in its precision."""
    s, ds = np.empty_like(z), np.empty_like(z)
    (_slopes_parallel if z.size >= PARALLEL_FROM else slope_chunk)(code, z, s, ds)
    return s, ds
