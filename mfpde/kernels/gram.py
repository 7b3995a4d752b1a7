"""out += Σ_j J_j J_jᵀ on the lower triangle for SHL Jacobians, two ways, both bound by BLAS.

Row r = (i, c) of J_j is Σ_e (s_ej(x_i) q_er, t_er,j x_ei, t_er,j): a sum over the E evaluations of
a depth node. Multiplied out it is R × Mp; never multiplied out, the product is

    Σ_ef (T_e T_fᵀ)∘(X_e X_fᵀ + 1) + (Q_e Q_fᵀ)∘(S_e S_fᵀ).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfpde.kernels import FASTMATH, threads_for

ROWS = 192  # rows of a block: its products stay in cache between BLAS and the Hadamard sum
COLUMNS = 1 << 22  # entries of a slice of J


def flat(factors, bias, out):
    """By J itself, in slices of particles; factors hold (x, q, s, t) with √weights in s and t."""
    from scipy.linalg import blas

    x, q, s, _ = factors[0]
    d, rows, m = x.shape[1], len(q), s.shape[1]
    p = 2 * d + bias
    count = max(1, min(m, COLUMNS // (rows * p)))
    slab = np.empty((rows, count, p), out.dtype)
    syrk = blas.dsyrk if out.dtype == np.float64 else blas.ssyrk
    for lo in range(0, m, count):
        part = slab[:, : min(count, m - lo)]
        if part.shape[1] < count:
            part = np.ascontiguousarray(part)
        for e, (x, q, s, t) in enumerate(factors):
            with threads_for(part.size):
                _add_rows(part, x, q, s, t, lo, e == 0)
        columns = part.reshape(rows, -1).T  # Fortran order: the C lower triangle is its upper one
        syrk(1.0, columns, beta=1.0, c=out.T, trans=1, overwrite_c=1)


@njit(cache=True, parallel=True, fastmath=FASTMATH, error_model="numpy")
def _add_rows(out, x, q, s, t, lo, first):
    """Add one evaluation to a slice of J; the first one overwrites."""
    d = x.shape[1]
    c = q.shape[0] // x.shape[0]
    for r in prange(out.shape[0]):
        i = r // c
        for j in range(out.shape[1]):
            row, sij, trj = out[r, j], s[i, lo + j], t[r, lo + j]
            if first:
                row[:] = 0
            for k in range(d):
                row[k] += sij * q[r, k]
                row[d + k] += trj * x[i, k]
            for k in range(2 * d, row.size):
                row[k] += trj


def hadamard(factors, bias, out):
    """By Hadamard products of Gram matrices, in blocks of rows."""
    n, rows = len(factors[0][0]), len(out)
    c = rows // n
    block = max(1, ROWS // c)
    g, q = np.empty((2, min(block, n) * c, rows), out.dtype)
    for lo in range(0, n, block):
        hi = min(lo + block, n)
        r, end = slice(lo * c, hi * c), hi * c
        for left in factors:
            for right in factors:
                gram = np.matmul(left[3][r], right[3][:end].T, out=g[: end - lo * c, :end])
                outer = np.matmul(left[1][r], right[1][:end].T, out=q[: end - lo * c, :end])
                x = left[0][lo:hi] @ right[0][:hi].T
                x += bias
                s = left[2][lo:hi] @ right[2][:hi].T
                if c > 1:
                    x, s = np.repeat(x, c, axis=1), np.repeat(s, c, axis=1)
                with threads_for(gram.size):
                    _add_products(out[r, :end], gram, x, outer, s)


@njit(cache=True, parallel=True, fastmath=FASTMATH, error_model="numpy")
def _add_products(out, g, x, q, s):
    """out += g∘x + q∘s, where the c = len(g)/len(x) rows of a datum share those of x and s."""
    c = g.shape[0] // x.shape[0]
    for r in prange(g.shape[0]):
        i = r // c
        for m in range(g.shape[1]):
            out[r, m] += g[r, m] * x[i, m] + q[r, m] * s[i, m]


def mirror(out):
    """Copy the lower triangle onto the upper one."""
    with threads_for(out.size):
        _mirror(out)


@njit(cache=True, parallel=True)
def _mirror(out):
    n, tile = out.shape[0], 64
    for block in prange((n + tile - 1) // tile):
        lo, hi = block * tile, min((block + 1) * tile, n)
        for left in range(0, hi, tile):
            for r in range(lo, hi):
                for m in range(left, min(left + tile, r)):
                    out[m, r] = out[r, m]
