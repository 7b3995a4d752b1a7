"""out += Σ_j J_j J_jᵀ on the lower triangle for SHL Jacobians, two ways, both bound by BLAS.

Row r = (i, c) of J_j is Σ_e (s_ej(x_i) q_er, t_er,j x_ei, t_er,j): a sum over the E evaluations of
a depth node. Multiplied out it is R × Mp; never multiplied out, the product is

    Σ_ef (T_e T_fᵀ)∘(X_e X_fᵀ + 1) + (Q_e Q_fᵀ)∘(S_e S_fᵀ).

Tiles of the lower triangle are dealt to threads; they do not meet, so that the numbers are the
same for any number of threads.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numba import njit

from mfpde.kernels import FASTMATH
from mfpde.kernels.native import INNER
from mfpde.kernels.pools import deal, shared, threads_for

ROWS, WIDEST = 192, 512  # of a tile: it stays in cache between BLAS and the Hadamard sum
LEAST, TILES = 32, 4  # rows of a tile, tiles below each other: no less
CHEAP = 8  # products that cost as much as one of the operations that ``threads_for`` counts
COLUMNS = 1 << 22  # entries of a slice of J


def flat(factors, bias, weights, out):
    """By J itself, in slices of particles; factors hold (x, q, s, t)."""
    root = np.sqrt(weights)
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
            shared(_add_share, threads, threads, part, x, q, s, t, root, lo, e == 0)
        _add_outer(part.reshape(rows, -1), out)


def _add_outer(j, out):
    """out += j jᵀ, lower triangle and a little more."""

    def add(tile):
        r, c = tile
        out[r, c] += j[r] @ j[c].T

    deal(add, _tiles(len(out), ROWS, WIDEST), threads_for(out.size * j.shape[1]))


def _tiles(rows, high, wide):
    """Rows and columns of tiles that cover the lower triangle, the largest ones first."""
    found = []
    for lo in range(0, rows, high):
        hi = min(lo + high, rows)
        cuts = np.linspace(0, hi, -(-hi // wide) + 1).astype(int)
        found += [(slice(lo, hi), slice(*cut)) for cut in pairwise(cuts)]
    return sorted(found, key=lambda tile: tile[1].start - tile[1].stop)


@njit(**(INNER | {"fastmath": FASTMATH}))
def _add_share(share, shares, out, x, q, s, t, root, lo, first):
    """Add one evaluation to a share of the rows of a slice of J; the first one overwrites."""
    d, rows = x.shape[1], out.shape[0]
    c = q.shape[0] // x.shape[0]
    for r in range(share * rows // shares, (share + 1) * rows // shares):
        i = r // c
        for j in range(out.shape[1]):
            row, sij, trj = out[r, j], s[i, lo + j] * root[lo + j], t[r, lo + j] * root[lo + j]
            if first:
                row[:] = 0
            for k in range(d):
                row[k] += sij * q[r, k]
                row[d + k] += trj * x[i, k]
            for k in range(2 * d, row.size):
                row[k] += trj


def hadamard(factors, bias, weights, out):
    """By Hadamard products of Gram matrices; factors hold (x, q, s, t)."""
    n, rows = len(factors[0].x), len(out)
    c = rows // n

    def add(tile):
        data, others = tile
        r, m = (slice(part.start * c, part.stop * c) for part in tile)
        for left in factors:
            s, t = left.s[data] * weights, left.t[r] * weights
            for right in factors:
                x = left.x[data] @ right.x[others].T
                x += bias
                y = s @ right.s[others].T
                if c > 1:
                    x, y = np.repeat(x, c, axis=1), np.repeat(y, c, axis=1)
                _add_products(out[r, m], t @ right.t[m].T, x, left.q[r] @ right.q[m].T, y)

    high = min(ROWS, max(LEAST, rows // TILES))
    size = max(1, high // c), max(1, WIDEST // c)
    deal(add, _tiles(n, *size), threads_for(rows * n * c * factors[0].t.shape[1] // CHEAP))


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
    shared(_mirror_share, threads, threads, out)


@njit(**INNER)
def _mirror_share(share, shares, out):
    n, tile = out.shape[0], 64
    for block in range(share, (n + tile - 1) // tile, shares):
        lo, hi = block * tile, min((block + 1) * tile, n)
        for left in range(0, hi, tile):
            for r in range(lo, hi):
                for m in range(left, min(left + tile, r)):
                    out[m, r] = out[r, m]
