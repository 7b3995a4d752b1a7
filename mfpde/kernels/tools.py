"""What the passes of SHL networks are made of, each compiled once and called by its address."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import from_dtype, njit, types

from mfpde.kernels import activate, narrow
from mfpde.kernels.native import LEAN, address_for
from mfpde.kernels.tiles import ADD, SET, combine, correlate, multiply

# With a stride or an offset that is known, a product is up to a fifth faster.


@njit(**LEAN)
def form(out, o, ostep, rows, a, c, arow, x, i, istep, count, length):
    """out_r = A_r0 + Σ_k A_rk x_k for neighbours A_r0, A_r1, …"""
    combine(SET, out, o, ostep, rows, a, c, arow, 1, x, i, istep, count, length)


@njit(**LEAN)
def increase(out, o, ostep, rows, a, c, acol, x, i, istep, count, length):
    """out_r += Σ_k A_rk x_k for neighbours A_0k, A_1k, …"""
    combine(ADD, out, o, ostep, rows, a, c, 1, acol, x, i, istep, count, length)


@njit(**LEAN)
def scale_by(out, o, ostep, rows, a, c, arow, x, i, istep, count, length, soon):
    """out_r *= Σ_k A_rk x_k for neighbours A_r0, A_r1, …, while ``soon`` comes in from memory."""
    multiply(out, o, ostep, rows, a, c, arow, 1, x, i, istep, count, length, soon, 0)


@njit(**LEAN)
def curvature(code, z, s, ds, out):
    """out ← σ″."""
    activate.curvature_chunk(code, z, s, ds, out)


class Tools(NamedTuple):
    """Addresses: products of ``tiles`` and ``narrow``, and the activation of a block."""

    form: int
    increase: int
    scale_by: int
    correlate: int
    pull_pair: int
    sigma: int  # s ← σ(z)
    slope: int  # s ← σ(z), ds ← σ′(z)
    slope_from_value: int  # ds ← σ′ from s = σ; 0 where it does not follow
    curvature: int  # σ″ from (code, z, σ, σ′)


@cache
def tools(code: int, dtype: np.dtype) -> Tools:
    """The tools of an activation in one precision."""
    row, n = types.Array(from_dtype(dtype), 1, "C"), types.int64
    after = activate.SLOPES_FROM_VALUE.get(code)
    return Tools(
        address_for(form, row, *[n] * 3, row, *[n] * 2, row, *[n] * 4),
        address_for(increase, row, *[n] * 3, row, *[n] * 2, row, *[n] * 4),
        address_for(scale_by, row, *[n] * 3, row, *[n] * 2, row, *[n] * 4, row),
        address_for(correlate, row, n, n, row, n, n, n, row, n, n, n, n),
        address_for(narrow.pull_pair, n, row, n, row, *[n] * 9),
        address_for(activate.VALUES[code], row, row),
        address_for(activate.SLOPES[code], row, row, row),
        0 if after is None else address_for(after, row, row),
        address_for(curvature, n, row, row, row, row),
    )
