"""What is left to do for a gradient after its pass, dealt to threads like the pass itself."""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels.lending import lent
from mfpde.kernels.native import LEAN
from mfpde.kernels.pools import shared, threads_for

AWAKE = 4  # threads that just had a pass to do need not be woken: fewer numbers are enough


def add_all(parts, out):
    """out += Σ_t parts[t] in the order of t, for arrays (T, ...)."""
    if len(parts):
        threads = threads_for(AWAKE * parts.size)
        shared(_add_share, threads, threads, parts.reshape(len(parts), -1), out.reshape(-1))


def divided(values, by):
    """values / by (K,), a fresh array."""
    threads = threads_for(AWAKE * values.size)
    if threads == 1:
        return values / by.reshape(-1, *(1,) * (values.ndim - 1))
    out = lent(values.shape, values.dtype)
    rows = (np.ascontiguousarray(values).reshape(len(by), -1), by, out.reshape(len(by), -1))
    shared(_divide_share, threads, threads, *rows)
    return out


@njit(**LEAN)
def _add_share(share, shares, parts, out):
    lo, hi = share * out.size // shares, (share + 1) * out.size // shares
    for t in range(parts.shape[0]):
        for i in range(lo, hi):
            out[i] += parts[t, i]


@njit(**LEAN)
def _divide_share(share, shares, values, by, out):
    lo, hi = share * out.size // shares, (share + 1) * out.size // shares
    width = out.shape[1]
    for k in range(lo // width, (hi + width - 1) // width):
        for i in range(max(lo - k * width, 0), min(hi - k * width, width)):
            out[k, i] = values[k, i] / by[k]
