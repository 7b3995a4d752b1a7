"""One SHL network through Euler depth and back, layer by layer: BLAS products around σ.

    X^{l+1} = X^l + (1/LM) σ(X^l W_l + b_l) U_lᵀ,         X^l (n, d)
    T_l = (P^{l+1} U_l) ⊙ σ′,   P^l = P^{l+1} + (1/LM) T_l W_lᵀ
    L·M·∂E/∂(U, W, b)_l = (P^{l+1}ᵀ σ, X^lᵀ T_l, 1ᵀ T_l)

θ is (L, p, M), particles contiguous: thin products of few data with many particles run twice as
fast on such rows. Beside ``kernels.shl``, which crosses all layers with a block of data in cache,
this wins where data are few or d is large; compiled, because tens of small calls a layer cost more
than their arithmetic. One thread.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  what np.dot calls: there before threads are limited
from numba import njit

from mfpde.kernels.activate import SIGMOID, TANH, sigma_chunk, slope_chunk


@njit(cache=True, error_model="numpy")
def forward(code, bias, theta, path, kept, z, s, t):
    """``path`` (L+1, n, d) from its first entry; σ goes to ``kept`` (L, n, M), or nowhere if empty.

    z and s (n, M), t (n, d) are scratch.
    """
    d, count = path.shape[2], z.size
    scale = theta.dtype.type(1.0 / (theta.shape[0] * theta.shape[2]))
    for k in range(theta.shape[0]):
        sigma = kept[k] if kept.size else s
        _preactivation(bias, theta[k], path[k], z)
        sigma_chunk(code, z.reshape(count), sigma.reshape(count))
        np.dot(sigma, theta[k, :d].T, t)
        for i in range(t.shape[0]):
            for c in range(d):
                path[k + 1, i, c] = path[k, i, c] + scale * t[i, c]


@njit(cache=True, error_model="numpy")
def adjoint(code, bias, theta, path, kept, z, s, t, slope, p, step, g, out):
    """``out`` (L, p, M) ← G = L·M·∂E/∂θ, from ``p`` (n, d) = P^L, which becomes P^0.

    Or, where ``step`` (p,) is not empty, out ← θ − step·G at once, while both are in cache: a
    pass over all parameters costs as much as their gradient. ``g`` (p, M) is scratch for that.
    """
    d, count = path.shape[2], z.size
    scale = theta.dtype.type(1.0 / (theta.shape[0] * theta.shape[2]))
    for k in range(theta.shape[0] - 1, -1, -1):
        sigma = kept[k] if kept.size else s
        if kept.size == 0:
            _preactivation(bias, theta[k], path[k], z)
            slope_chunk(code, z.reshape(count), sigma.reshape(count), slope.reshape(count))
        np.dot(p, theta[k, :d], z)
        if kept.size:
            _pull(code, sigma.reshape(count), z.reshape(count))
        else:
            _times(slope.reshape(count), z.reshape(count))
        change = g if step.size else out[k]
        np.dot(p.T, sigma, change[:d])
        np.dot(path[k].T, z, change[d : 2 * d])
        if bias:
            _column_sums(z, change[2 * d])
        if step.size:
            _descend(theta[k], step, g, out[k])
        np.dot(z, theta[k, d : 2 * d].T, t)
        for i in range(t.shape[0]):
            for c in range(d):
                p[i, c] += scale * t[i, c]


@njit(cache=True, error_model="numpy")
def _preactivation(bias, theta, x, z):
    """z (n, M) ← x W + b."""
    d = x.shape[1]
    np.dot(x, theta[d : 2 * d], z)
    if bias:
        for i in range(z.shape[0]):
            for j in range(z.shape[1]):
                z[i, j] += theta[2 * d, j]


@njit(cache=True, error_model="numpy")
def _pull(code, s, t):
    """t ← t σ′ where σ′ follows from s = σ."""
    one = s.dtype.type(1)
    if code == TANH:
        for i in range(s.size):
            t[i] *= one - s[i] * s[i]
    elif code == SIGMOID:
        for i in range(s.size):
            t[i] *= s[i] * (one - s[i])
    else:
        for i in range(s.size):
            t[i] = t[i] if s[i] > 0 else t[i] * 0


@njit(cache=True, error_model="numpy")
def _times(slope, t):
    for i in range(t.size):
        t[i] *= slope[i]


@njit(cache=True, error_model="numpy")
def _column_sums(z, out):
    out[:] = 0
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            out[j] += z[i, j]


@njit(cache=True, error_model="numpy")
def _descend(theta, step, g, out):
    for c in range(theta.shape[0]):
        for j in range(theta.shape[1]):
            out[c, j] = theta[c, j] - step[c] * g[c, j]
