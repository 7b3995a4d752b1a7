"""Neighbouring points in small groups: a k-d tree cut at its leaves."""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels import FASTMATH


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def kd_groups(x, leaf):
    """Halve the points along their widest coordinate until groups hold at most `leaf`.

    Returns the points' order and where each group starts in it.
    """
    n = x.shape[0]
    order = np.arange(n)
    starts = np.empty(n, np.int64)
    stack = [(0, n)]
    groups = 0
    while len(stack) > 0:
        lo, hi = stack.pop()
        if hi - lo <= leaf:
            starts[groups] = lo
            groups += 1
            continue
        part = order[lo:hi].copy()
        order[lo:hi] = part[np.argsort(x[part, _widest(x, part)])]
        middle = (lo + hi) // 2
        stack.append((middle, hi))
        stack.append((lo, middle))
    return order, starts[:groups]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _widest(x, part):
    best, widest = -1.0, 0
    for c in range(x.shape[1]):
        low, high = np.inf, -np.inf
        for i in part:
            low, high = min(low, x[i, c]), max(high, x[i, c])
        if high - low > best:
            best, widest = high - low, c
    return widest
