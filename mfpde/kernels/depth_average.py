"""Slopes of a path in depth, the mean gain of exchanging blocks, and how many were exchanged.

Blocks are sorted by depth; block k lies in cell ``cell[k]`` of a mesh of [0, 1], at the fraction
``part[k]`` of it. Paths are (n + 1, d, N).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels import FASTMATH


@njit(cache=True, error_model="numpy", fastmath=FASTMATH)
def deposit(cell, part, path, nodes):
    """b_m = Σ_l φ_m(t_l) (X^{l+1} − X^l) for hat functions φ_m, (nodes, d, N)."""
    out = np.zeros((nodes, *path.shape[1:]))
    for k in range(cell.size):
        left, right = out[cell[k]], out[cell[k] + 1]
        for c in range(path.shape[1]):
            for i in range(path.shape[2]):
                change = path[k + 1, c, i] - path[k, c, i]
                left[c, i] += (1.0 - part[k]) * change
                right[c, i] += part[k] * change
    return out


@njit(cache=True, error_model="numpy", fastmath=FASTMATH)
def exchange(cell, part, path, back, path_slopes, back_slopes):
    """⟨Ṗ(t_l), X^{l+1} − X^l⟩ − ⟨P^{l+1} − P^l, Ẋ(t_l)⟩ for every block and datum, (n, N)."""
    out = np.zeros((cell.size, path.shape[2]))
    for k in range(cell.size):
        m, a = cell[k], part[k]
        for c in range(path.shape[1]):
            for i in range(path.shape[2]):
                dx = path[k + 1, c, i] - path[k, c, i]
                dp = back[k + 1, c, i] - back[k, c, i]
                x = (1.0 - a) * path_slopes[m, c, i] + a * path_slopes[m + 1, c, i]
                p = (1.0 - a) * back_slopes[m, c, i] + a * back_slopes[m + 1, c, i]
                out[k, i] += p * dx - dp * x
    return out


@njit(cache=True)
def inversions(rank):
    """Pairs in falling order among the numbers 0..n − 1 in ``rank`` (counted by a binary tree)."""
    tree = np.zeros(rank.size + 1, np.int64)
    count = 0
    for k in range(rank.size):
        before, at = 0, rank[k]
        while at > 0:  # those seen so far and smaller
            before += tree[at]
            at &= at - 1
        count += k - before
        at = rank[k] + 1
        while at <= rank.size:
            tree[at] += 1
            at += at & -at
    return count
