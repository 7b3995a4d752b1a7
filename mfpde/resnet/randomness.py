"""Randomness of training: a function of seed and step alone, whatever runs beside it.

Spawn keys of two numbers, apart from the one-number keys of the initial particles.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SHUFFLE, NOISE = 0, 1


def _rng(seed: int, kind: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, index)))


@lru_cache(maxsize=256)
def _epoch(seed: int, epoch: int, data: int) -> NDArray[np.int64]:
    return _rng(seed, SHUFFLE, epoch).permutation(data)


def minibatch(seed: int, step: int, size: int, data: int) -> NDArray[np.int64]:
    """Rows of step 0, 1, …: the next ``size`` of the shuffled epochs laid end to end, (size,)."""
    first = step * size
    epochs = range(first // data, (first + size - 1) // data + 1)
    line = np.concatenate([_epoch(seed, epoch, data) for epoch in epochs])
    offset = first - epochs[0] * data
    return line[offset : offset + size]


def noise(seed: int, step: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal noise of step 0, 1, …"""
    return _rng(seed, NOISE, step).standard_normal(shape)
