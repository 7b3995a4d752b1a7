"""Large arrays on memory that is used again once nobody holds them.

Fresh pages come from the system one by one, filled with zeros: on them a pass costs up to twice as
much, and threads wait for each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LEAST = 1 << 16  # bytes: what is smaller comes from memory that is there already
MOST = 1 << 28  # bytes that wait for their next use

_waiting: dict[int, np.ndarray] = {}


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
        for key in list(_waiting):  # oldest first
            if sum(memory.nbytes for memory in list(_waiting.values())) <= MOST:
                return
            _waiting.pop(key, None)


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
