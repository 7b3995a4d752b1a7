"""How data are dealt to threads, the workspace of each, and the rows that passes keep there."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import njit

from mfpde.kernels.lending import lent
from mfpde.kernels.native import LEAN
from mfpde.kernels.pools import PARALLEL_FROM
from mfpde.kernels.tiles import BYTES

LONGEST = 256  # data in a block


class Blocks:
    """How N data are dealt to threads: ``count`` blocks of ``length``, a whole number of vectors.

    The data are dealt evenly; the last block is filled up with data that no result reads.
    """

    def __init__(self, data: int, work: int, dtype: np.dtype) -> None:
        lanes = BYTES // dtype.itemsize
        threads = numba.get_num_threads() if data * work >= PARALLEL_FROM else 1
        self.threads = max(1, min(threads, data // lanes))
        count = self.threads * -(-data // (self.threads * LONGEST))
        self.length = lanes * -(-data // (count * lanes))
        self.count = -(-data // self.length)
        self.threads = min(self.threads, self.count)

    def workspace(self, rows: int, dtype: np.dtype) -> np.ndarray:
        """For each thread ``rows`` rows of a block, aligned, one vector apart; shape (T, size)."""
        lanes = BYTES // dtype.itemsize
        size = rows * (self.length + lanes)
        raw = lent((self.threads * size + lanes,), dtype)
        start = (-raw.ctypes.data % BYTES) // dtype.itemsize
        return raw[start : start + self.threads * size].reshape(self.threads, size)


class Kept(NamedTuple):
    """σ at every evaluation, one row for each block as the forward pass dealt them."""

    blocks: Blocks
    values: np.ndarray

    @classmethod
    def of(cls, blocks: Blocks, entries: int, dtype: np.dtype) -> Kept:
        return cls(blocks, lent((blocks.count, entries), dtype))


@njit(cache=True)
def particles_together(d):
    """Particles at a time: few keep all in a first-level cache, many spare the rows of x."""
    return 8 if d <= 16 else 16


@njit(**LEAN)
def scale(memory, out, factor, x, count):
    """out = factor·x, for ``count`` entries of a flat array."""
    for i in range(count):
        memory[out + i] = factor * memory[x + i]


@njit(**LEAN)
def add(memory, out, factor, x, count):
    """out += factor·x."""
    if factor != 0:
        for i in range(count):
            memory[out + i] += factor * memory[x + i]


@njit(**LEAN)
def read(memory, at, step, n, rows, lo):
    """Coordinates of the data lo, lo + 1, … as rows; zeros beyond the last datum."""
    count = min(n, rows.shape[0] - lo)
    for c in range(rows.shape[1]):
        for i in range(count):
            memory[at + c * step + i] = rows[lo + i, c]
        for i in range(count, n):
            memory[at + c * step + i] = 0


@njit(**LEAN)
def write(memory, at, step, n, rows, lo):
    """The inverse of ``read``."""
    for i in range(min(n, rows.shape[0] - lo)):
        for c in range(rows.shape[1]):
            rows[lo + i, c] = memory[at + c * step + i]
