"""Passes through n blocks f(x, (u, w, b)) = u σ(w·x + b), one after another, each with its step.

States are (n + 1, d, N): coordinates are rows, so that the inner loops run over the data. Each
layer has one particle, for which the wide passes of ``shl`` would compute eight.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels import FASTMATH
from mfpde.kernels.activate import sigma_chunk, slope_chunk


@njit(cache=True, error_model="numpy")
def forward(code, bias, theta, steps, start):
    """X^{l+1} = X^l + h_l f(X^l, θ_l) from X^0 = start (d, N); (n + 1, d, N)."""
    d, n = start.shape
    path = np.empty((theta.shape[0] + 1, d, n))
    path[0] = start
    z, s = np.empty(n), np.empty(n)
    for k in range(theta.shape[0]):
        _project(theta[k, d:], path[k], bias, z)
        sigma_chunk(code, z, s)
        for c in range(d):
            _combine(path[k + 1, c], path[k, c], steps[k] * theta[k, c], s)
    return path


@njit(cache=True, error_model="numpy")
def adjoint(code, bias, theta, steps, path, terminal):
    """P^l = P^{l+1} + h_l D_xfᵀP^{l+1}, Σ_i D_θ fᵀP^{l+1} (n, p) and ⟨P^{l+1}, f⟩ (n, N)."""
    d, n = terminal.shape
    back = np.empty_like(path)
    gradient, value = np.empty_like(theta), np.empty((theta.shape[0], n))
    back[-1] = terminal
    z, s, g = np.empty(n), np.empty(n), np.empty(n)
    for k in range(theta.shape[0] - 1, -1, -1):
        _project(theta[k, d:], path[k], bias, z)
        slope_chunk(code, z, s, g)
        _project(theta[k, :d], back[k + 1], 0, z)
        _times(value[k], s, z)
        _times(g, g, z)
        for c in range(d):
            gradient[k, c] = _dot(s, back[k + 1, c])
            gradient[k, d + c] = _dot(g, path[k, c])
            _combine(back[k, c], back[k + 1, c], steps[k] * theta[k, d + c], g)
        if bias:
            gradient[k, 2 * d] = g.sum()
    return back, gradient, value


@njit(cache=True, error_model="numpy")
def rows(code, bias, theta, path, back):
    """D_θ f(X^l_i, θ_l)ᵀP^{l+1}_i for every datum, (n, p, N)."""
    d, n = path.shape[1:]
    out = np.empty((theta.shape[0], theta.shape[1], n))
    z, s, g = np.empty(n), np.empty(n), np.empty(n)
    for k in range(theta.shape[0]):
        _project(theta[k, d:], path[k], bias, z)
        slope_chunk(code, z, s, g)
        _project(theta[k, :d], back[k + 1], 0, z)
        _times(g, g, z)
        for c in range(d):
            _times(out[k, c], s, back[k + 1, c])
            _times(out[k, d + c], g, path[k, c])
        if bias:
            out[k, 2 * d] = g
    return out


@njit(cache=True, error_model="numpy", fastmath=FASTMATH)
def _project(w, x, bias, z):
    """z = Σ_c w_c x_c, plus the entry after them where there is a bias."""
    first = w[x.shape[0]] if bias else 0.0
    for i in range(z.size):
        z[i] = first
    for c in range(x.shape[0]):
        for i in range(z.size):
            z[i] += w[c] * x[c, i]


@njit(cache=True, error_model="numpy", fastmath=FASTMATH)
def _combine(out, x, a, y):
    for i in range(out.size):
        out[i] = x[i] + a * y[i]


@njit(cache=True, error_model="numpy", fastmath=FASTMATH)
def _times(out, x, y):
    for i in range(out.size):
        out[i] = x[i] * y[i]


@njit(cache=True, error_model="numpy", fastmath=FASTMATH)
def _dot(x, y):
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total
