"""out += Σ_j J_j J_jᵀ on the lower triangle for SHL Jacobians, two ways, both bound by BLAS.

Row r = (i, c) of J_j is Σ_e (s_ej(x_i) q_er, t_er,j x_ei, t_er,j): a sum over the E evaluations of
a depth node. Multiplied out it is R × Mp; never multiplied out, the product is

    Σ_ef (T_e T_fᵀ)∘(X_e X_fᵀ + 1) + (Q_e Q_fᵀ)∘(S_e S_fᵀ).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numba import njit, prange

from mfpde.kernels import FASTMATH, PARALLEL_FROM, serial_blas, threads_for
from mfpde.kernels.regions import shared

ROWS = 192  # rows of a block: its products stay in cache between BLAS and the Hadamard sum
COLUMNS = 1 << 22  # entries of a slice of J


def flat(factors, bias, out):
    """By J itself, in slices of particles; factors hold (x, q, s, t) with √weights in s and t."""
    x, q, s, _ = factors[0]
    d, rows, m = x.shape[1], len(q), s.shape[1]
    p = 2 * d + bias
    count = max(1, min(m, COLUMNS // (rows * p)))
    slab = np.empty((rows, count, p), out.dtype)
    for lo in range(0, m, count):
        part = slab[:, : min(count, m - lo)]
        if part.shape[1] < count:
            part = np.ascontiguousarray(part)
        for e, (x, q, s, t) in enumerate(factors):
            threads = threads_for(part.size)
            shared(_add_rows, _add_share, threads, threads, part, x, q, s, t, lo, e == 0)
        _add_outer(part.reshape(rows, -1), out)


def _add_outer(j, out):
    """out += j jᵀ, lower triangle and a little more."""

    def add(blocks):
        g = np.empty((ROWS, len(out)), out.dtype)
        for lo, hi in blocks:
            product = np.matmul(j[lo:hi], j[:hi].T, out=g[: hi - lo, :hi])
            out[lo:hi, :hi] += product

    _share(add, len(out), ROWS, j.shape[1])


def _share(work, rows, size, depth):
    """``work(blocks)`` on every thread, each with its own blocks of ``size`` rows.

    Blocks do not meet in the result, which is therefore the same for any number of threads.
    Threads of our own around BLAS calls that stay on them: see ``serial_blas``.
    """
    blocks = [(lo, min(lo + size, rows)) for lo in range(0, rows, size)]
    enough = rows * rows * depth >= PARALLEL_FROM
    threads = min(numba.get_num_threads(), len(blocks)) if enough else 1
    with serial_blas():
        if threads == 1:
            work(blocks)
            return
        with ThreadPoolExecutor(threads) as pool:
            # Longer rows come last: dealt in turn, every thread gets as many of each length.
            list(pool.map(work, [blocks[k::threads] for k in range(threads)]))


@njit(cache=True, parallel=True, error_model="numpy")
def _add_rows(shares, out, x, q, s, t, lo, first):
    for share in prange(shares):
        _add_share(share, shares, out, x, q, s, t, lo, first)


@njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _add_share(share, shares, out, x, q, s, t, lo, first):
    """Add one evaluation to a share of the rows of a slice of J; the first one overwrites."""
    d, rows = x.shape[1], out.shape[0]
    c = q.shape[0] // x.shape[0]
    for r in range(share * rows // shares, (share + 1) * rows // shares):
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
    n, rows = len(factors[0].x), len(out)
    c = rows // n
    size = min(n, max(1, ROWS // c))

    def add(blocks):
        g, q = np.empty((2, size * c, rows), out.dtype)
        for lo, hi in blocks:
            r, end = slice(lo * c, hi * c), hi * c
            for left in factors:
                for right in factors:
                    gram = np.matmul(left.t[r], right.t[:end].T, out=g[: end - lo * c, :end])
                    outer = np.matmul(left.q[r], right.q[:end].T, out=q[: end - lo * c, :end])
                    x = left.x[lo:hi] @ right.x[:hi].T
                    x += bias
                    s = left.s[lo:hi] @ right.s[:hi].T
                    if c > 1:
                        x, s = np.repeat(x, c, axis=1), np.repeat(s, c, axis=1)
                    _add_products(out[r, :end], gram, x, outer, s)

    _share(add, n, size, c * c * factors[0].t.shape[1])


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _add_products(out, g, x, q, s):
    """out += g∘x + q∘s, where the c = len(g)/len(x) rows of a datum share those of x and s."""
    c = g.shape[0] // x.shape[0]
    for r in range(g.shape[0]):
        i = r // c
        for m in range(g.shape[1]):
            out[r, m] += g[r, m] * x[i, m] + q[r, m] * s[i, m]


def mirror(out):
    """Copy the lower triangle onto the upper one."""
    threads = threads_for(out.size)
    shared(_mirror, _mirror_share, threads, threads, out)


@njit(cache=True, parallel=True)
def _mirror(shares, out):
    for share in prange(shares):
        _mirror_share(share, shares, out)


@njit(cache=True)
def _mirror_share(share, shares, out):
    n, tile = out.shape[0], 64
    for block in range(share, (n + tile - 1) // tile, shares):
        lo, hi = block * tile, min((block + 1) * tile, n)
        for left in range(0, hi, tile):
            for r in range(lo, hi):
                for m in range(left, min(left + tile, r)):
                    out[m, r] = out[r, m]
