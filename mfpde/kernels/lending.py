"""Large arrays on memory that is used again once nobody holds them.

Fresh pages come from the system one by one, filled with zeros: on them a pass costs up to twice as
much, and threads wait for each other. What waits for its next use is part of the memory that a
problem may take: the array given back last, and before it no more than ``spare``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LEAST = 1 << 16  # bytes: what is smaller comes from memory that is there already
MOST = 1 << 28  # bytes that wait for their next use
SHARE = 1 / 16  # of the memory of a problem that may wait beside what was given back last

_waiting: dict[int, np.ndarray] = {}
_spare = float(MOST)


def spare(memory: float) -> float:
    """Bytes that may wait beside the last ones where a problem may take so much memory."""
    return min(SHARE * memory, MOST)


def keep_within(memory: float) -> None:
    """From now on, for the whole process, let no more wait than a problem of this memory allows."""
    global _spare
    _spare = spare(memory)
    _trim()


def _trim() -> None:
    """Let go of what has waited longest."""
    for key in list(_waiting):
        sizes = [memory.nbytes for memory in list(_waiting.values())]
        if sum(sizes) <= MOST and sum(sizes[:-1]) <= _spare:
            return
        _waiting.pop(key, None)


class _Loan:
    """Memory under an array and its views, which goes back when the last of them is gone."""

    def __init__(self, memory: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__ | {
            "shape": shape,
            "typestr": dtype.str,
        }

    def __del__(self) -> None:
        _waiting[id(self._memory)] = self._memory
        _trim()


def lent(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array like that of ``np.empty``."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LEAST:
        return np.empty(shape, dtype)
    return np.asarray(_Loan(_memory(size), shape, dtype))


def _memory(size: int) -> np.ndarray:
    """The smallest that waits and is large enough, unless it is far too large."""
    for memory in sorted(_waiting.values(), key=lambda one: one.nbytes):
        if size <= memory.nbytes <= 2 * size and _waiting.pop(id(memory), None) is not None:
            return memory  # in one step: threads may meet here
    return np.empty(size, np.uint8)
