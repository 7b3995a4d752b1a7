"""Cubic splines on the lattice h·Z^A, A <= 3, at scattered points: deposit and interpolation.

The approximation of a function f is the quasi-interpolant Σ_k (Qf)(hk) B(x/h − k), B the tensor
product of centred cubic B-splines and Q, on each axis, the filter 1 − δ²/6 + 7δ⁴/240 (δ the central
difference): exact for cubics, error of order h⁴ with nearly the constant of interpolation (its
mean is of order h⁶). Unlike interpolation it is local, so that no boundary enters and any window of
the lattice that holds the points gives the same numbers. Source: de Boor, Fix 1973.

A window has three axes, the first ones trivial (one lattice point, on which every spline is 1)
where there are fewer. Particles are rows θ = (u, x) with u ∈ R^d and x the place on the lattice.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels import FASTMATH

AXES = 3
REACH = 4  # lattice points beyond a cell that its splines and the filter see
TAPS = (1.0 + 1.0 / 3.0 + 42.0 / 240.0, -1.0 / 6.0 - 28.0 / 240.0, 7.0 / 240.0)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def deposit(first, shape, inverse, theta, a, out):
    """out[c, k] += Σ_j a_j u_jc B(x_j/h − k) for θ (M, p) and a (M,)."""
    d, (b, slope, start, count) = out.shape[0], _workspace(shape)
    for j in range(theta.shape[0]):
        _weights(first, shape, inverse, theta[j], b, slope, start)
        for i0 in range(count[0]):
            for i1 in range(count[1]):
                at = ((start[0] + i0) * shape[1] + start[1] + i1) * shape[2] + start[2]
                weight = a[j] * b[0, i0] * b[1, i1]
                for c in range(d):
                    value = weight * theta[j, c]
                    for i2 in range(4):
                        out[c, at + i2] += value * b[2, i2]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def deposit_change(first, shape, inverse, theta, a, change, out):
    """out += the derivative of ``deposit`` in the direction ``change`` (M, p) of θ."""
    d, (b, slope, start, count) = out.shape[0], _workspace(shape)
    move = np.zeros(AXES)
    for j in range(theta.shape[0]):
        _weights(first, shape, inverse, theta[j], b, slope, start)
        move[AXES - theta.shape[1] + d :] = change[j, d:]
        for i0 in range(count[0]):
            for i1 in range(count[1]):
                at = ((start[0] + i0) * shape[1] + start[1] + i1) * shape[2] + start[2]
                weight = a[j] * b[0, i0] * b[1, i1]
                moved = move[0] * slope[0, i0] * b[1, i1] + move[1] * b[0, i0] * slope[1, i1]
                for c in range(d):
                    value = weight * change[j, c] + a[j] * moved * theta[j, c]
                    steep = weight * move[2] * theta[j, c]
                    for i2 in range(4):
                        out[c, at + i2] += value * b[2, i2] + steep * slope[2, i2]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def gather(first, shape, inverse, theta, grid, values, slopes):
    """Splines Σ_k grid[c, k] B(x_j/h − k) and their gradients: (C, M) and (C, M, 3)."""
    b, slope, start, count = _workspace(shape)
    sums = np.empty(4)
    for j in range(theta.shape[0]):
        _weights(first, shape, inverse, theta[j], b, slope, start)
        for c in range(grid.shape[0]):
            _sums(shape, start, count, b, slope, grid[c], sums)
            values[c, j] = sums[0]
            slopes[c, j] = sums[1:]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def read(first, shape, inverse, theta, grid, out):
    """out_j = ∇_θ Σ_c u_c (spline of grid[c])(x) at θ_j, shape (M, p)."""
    d, (b, slope, start, count) = grid.shape[0], _workspace(shape)
    sums, skip = np.empty(4), 1 + AXES - theta.shape[1] + d
    for j in range(theta.shape[0]):
        _weights(first, shape, inverse, theta[j], b, slope, start)
        out[j] = 0.0
        for c in range(d):
            _sums(shape, start, count, b, slope, grid[c], sums)
            out[j, c] = sums[0]
            for i in range(skip, 4):
                out[j, d + i - skip] += theta[j, c] * sums[i]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _sums(shape, start, count, b, slope, grid, sums):
    """sums ← a spline's value and its gradient on three axes."""
    value = s0 = s1 = s2 = 0.0
    for i0 in range(count[0]):
        for i1 in range(count[1]):
            at = ((start[0] + i0) * shape[1] + start[1] + i1) * shape[2] + start[2]
            line = steep = 0.0
            for i2 in range(4):
                line += grid[at + i2] * b[2, i2]
                steep += grid[at + i2] * slope[2, i2]
            value += b[0, i0] * b[1, i1] * line
            s0 += slope[0, i0] * b[1, i1] * line
            s1 += b[0, i0] * slope[1, i1] * line
            s2 += b[0, i0] * b[1, i1] * steep
    sums[0], sums[1], sums[2], sums[3] = value, s0, s1, s2


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def quasi_interpolate(shape, grid):
    """grid[c] ← Q grid[c] along every axis, zero outside; Q is symmetric."""
    c0, c1, c2 = TAPS
    stride = grid.shape[1]
    for a in range(shape.size):
        n, outer = shape[a], grid.shape[1] // stride
        stride //= n
        if n == 1:  # a missing axis
            continue
        line = np.zeros((n + 4, stride))
        for c in range(grid.shape[0]):
            for block in range(outer):
                here = grid[c, block * n * stride : (block + 1) * n * stride].reshape(n, stride)
                line[2 : n + 2] = here
                for k in range(n):
                    for i in range(stride):
                        here[k, i] = (
                            c0 * line[k + 2, i]
                            + c1 * (line[k + 1, i] + line[k + 3, i])
                            + c2 * (line[k, i] + line[k + 4, i])
                        )


@njit(cache=True, nogil=True, error_model="numpy")
def _workspace(shape):
    """Splines and slopes of the axes (3, 4), where they start, and how many there are."""
    b, slope = np.zeros((AXES, 4)), np.zeros((AXES, 4))
    b[:, 0] = 1.0
    count = np.where(shape > 1, 4, 1)
    return b, slope, np.zeros(AXES, np.int64), count


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _weights(first, shape, inverse, theta, b, slope, start):
    """The four B-splines of each axis at the place of θ, their derivatives, where they start."""
    for axis in range(AXES):
        if shape[axis] == 1:
            continue
        z = theta[theta.size - AXES + axis] * inverse
        cell = np.floor(z)
        t = z - cell
        r = 1.0 - t
        start[axis] = int(cell) - 1 - first[axis]
        b[axis, 0] = r * r * r / 6.0
        b[axis, 1] = (4.0 - 3.0 * t * t * (1.0 + r)) / 6.0
        b[axis, 2] = (4.0 - 3.0 * r * r * (1.0 + t)) / 6.0
        b[axis, 3] = t * t * t / 6.0
        slope[axis, 0] = -0.5 * r * r * inverse
        slope[axis, 1] = (1.5 * t * t - 2.0 * t) * inverse
        slope[axis, 2] = (2.0 * r - 1.5 * r * r) * inverse
        slope[axis, 3] = 0.5 * t * t * inverse
