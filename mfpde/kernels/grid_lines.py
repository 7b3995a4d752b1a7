"""Implicit drift and diffusion along one axis of a grid, by Scharfetter–Gummel fluxes.

    F_{i+1/2} = (τB(x) q_i − τB(−x) q_{i+1})/d,   x = (V_{i+1} − V_i)/τ,   B(x) = x/(e^x − 1),

q = m/h the density along the axis: F vanishes exactly where q ∝ e^{−V/τ}; τ → 0 is upwinding. The
matrix of the implicit step is an M-matrix with columns of sum 1: masses stay >= 0 and conserved,
of which the elimination, free of subtractions, keeps the first exactly; a long step costs the
second some digits, which the line's sum before the step puts back.
Source: Scharfetter, Gummel 1969.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SMALL = 1e-5  # below which B(x) = 1 − x/2 + x²/12 to rounding


@njit(cache=True, nogil=True, error_model="numpy")
def implicit_lines(m, v, widths, distances, tau, h, out):
    """out − m = h·(F_{i−1/2} − F_{i+1/2})(out) along the middle axis of (L, n, T) arrays."""
    lines, n, width = m.shape
    forward, backward = np.empty(width), np.empty(width)  # rates out of the cells of a face
    down, pivot = np.empty((n, width)), np.empty((n, width))
    for line in range(lines):
        pivot[:] = 1.0
        out[line] = m[line]
        for i in range(n - 1):
            _rates(v[line, i], v[line, i + 1], tau, forward, backward)
            left, right = h / (distances[i] * widths[i]), h / (distances[i] * widths[i + 1])
            for t in range(width):
                # eliminate cell i from the equation of cell i + 1
                leave = left * forward[t]
                enter = right * backward[t]
                share = leave / (pivot[i, t] + leave)
                pivot[i, t] += leave
                down[i, t] = enter
                out[line, i + 1, t] += share * out[line, i, t]
                pivot[i + 1, t] += enter * (1.0 - share)
        for t in range(width):
            out[line, n - 1, t] /= pivot[n - 1, t]
        for i in range(n - 2, -1, -1):
            for t in range(width):
                gained = out[line, i, t] + down[i, t] * out[line, i + 1, t]
                out[line, i, t] = gained / pivot[i, t]
        _rescale(m[line], out[line])


@njit(cache=True, nogil=True, error_model="numpy")
def _rescale(before, after):
    """Scale each column to the sum it had before."""
    for t in range(after.shape[1]):
        had, has = 0.0, 0.0
        for i in range(after.shape[0]):
            had += before[i, t]
            has += after[i, t]
        if has > 0.0:
            for i in range(after.shape[0]):
                after[i, t] *= had / has


@njit(cache=True, nogil=True, error_model="numpy")
def _rates(low, high, tau, forward, backward):
    """τB(x) and τB(−x) = τB(x) + ΔV, neither by cancellation."""
    for t in range(low.size):
        rise = high[t] - low[t]
        size = abs(rise)
        uphill = 0.0
        if tau > 0.0:
            x = size / tau
            uphill = tau * (1.0 - 0.5 * x + x * x / 12.0) if x < SMALL else size / np.expm1(x)
        downhill = uphill + size
        forward[t] = uphill if rise > 0.0 else downhill
        backward[t] = downhill if rise > 0.0 else uphill
