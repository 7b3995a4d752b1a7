"""Squared distances between atoms: on a list of arcs, and the smallest ones over all pairs."""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels import FASTMATH

_BLOCK = 1024  # atoms of y per block: it stays in the first-level cache
_STRIP = 128  # reduced costs tested together before any is inserted


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def arc_costs(x, y, rows, columns):
    """|x_i − y_j|² on the arcs (i, j), shape (e,)."""
    cost = np.zeros(rows.size)
    for e in range(rows.size):
        i, j = rows[e], columns[e]
        for c in range(x.shape[1]):
            step = x[i, c] - y[j, c]
            cost[e] += step * step
    return cost


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def scan_pairs(x, yt, offset, columns, reduced):
    """Fill columns (n, k) and reduced (n, k) with the smallest offset_j − 2⟨x_i, y_j⟩, rising."""
    n, m = x.shape[0], yt.shape[1]
    buffer = np.empty(_BLOCK)
    last = reduced.shape[1] - 1
    for j0 in range(0, m, _BLOCK):
        width = min(_BLOCK, m - j0)
        yb = np.ascontiguousarray(yt[:, j0 : j0 + width])
        wb = offset[j0 : j0 + width]
        row = buffer[:width]
        for i in range(n):
            _row_costs(x[i], yb, wb, row)
            for c in range(0, width, _STRIP):
                strip = row[c : min(c + _STRIP, width)]
                if _any_below(strip, reduced[i, last]):
                    _insert(strip, j0 + c, columns[i], reduced[i])


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _row_costs(xi, yt, offset, row):
    """row_j = offset_j − 2⟨x_i, y_j⟩. Indices start at 0 in every view, so that loops vectorise."""
    m = row.size
    first, x0 = yt[0], -2.0 * xi[0]
    for j in range(m):
        row[j] = offset[j] + x0 * first[j]
    c = 1
    while c + 1 < xi.size:
        ya, yb, xa, xb = yt[c], yt[c + 1], -2.0 * xi[c], -2.0 * xi[c + 1]
        for j in range(m):
            row[j] += xa * ya[j] + xb * yb[j]
        c += 2
    if c < xi.size:
        ya, xa = yt[c], -2.0 * xi[c]
        for j in range(m):
            row[j] += xa * ya[j]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _any_below(strip, bound):
    count = 0
    for j in range(strip.size):
        count += strip[j] < bound
    return count > 0


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _insert(strip, first, columns, reduced):
    last = reduced.size - 1
    for j in range(strip.size):
        r = strip[j]
        if r < reduced[last]:
            q = last
            while q > 0 and reduced[q - 1] > r:
                reduced[q], columns[q] = reduced[q - 1], columns[q - 1]
                q -= 1
            reduced[q], columns[q] = r, first + j
