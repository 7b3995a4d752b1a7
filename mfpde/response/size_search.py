"""The smallest network whose loss is low enough with high enough probability."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# The shallowest network is recommended whose blocks stay within this factor of the fewest.
EXCESS = 1.25
SHALLOWEST, DEEPEST, WIDEST = 4, 1 << 12, 1 << 24


class Size(NamedTuple):
    """A network's ``layers`` L and ``width`` M."""

    layers: int
    width: int


def size_for(found: Any, loss: float, probability: float, layers: int | None) -> Size:
    """See ``FiniteSize.size_for``."""
    if layers is not None:
        width = _width(found, loss, probability, layers)
        if width is None:
            raise ValueError(_unreached(found, loss, layers))
        return Size(layers, width)
    sizes, depth, fewest = [], SHALLOWEST, np.inf
    # Deeper than the fewest blocks so far allow, no network can be better.
    while depth <= min(DEEPEST, EXCESS * fewest):
        if (width := _width(found, loss, probability, depth)) is not None:
            sizes.append(Size(depth, width))
            fewest = min(fewest, depth * width)
        depth += max(depth // 4, 1)
    if not sizes:
        raise ValueError(_unreached(found, loss, DEEPEST))
    return next(size for size in sizes if size.layers * size.width <= EXCESS * fewest)


def _width(found: Any, loss: float, probability: float, layers: int) -> int | None:
    """The least width that is enough at this depth, by bisection; None where none is."""
    if found.probability(loss, layers, WIDEST) < probability:
        return None
    low = max(int(np.ceil(found.least_blocks / found.blocks(layers, 1))), 1)
    high = low
    while found.probability(loss, layers, high) < probability:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = found.probability(loss, layers, middle) >= probability
        low, high = (low, middle) if enough else (middle, high)
    return high


def _unreached(found: Any, loss: float, layers: int) -> str:
    best = found.loss_mean(layers, WIDEST)[-1]
    return (
        f"loss = {loss:g} is not reached by networks of {layers} layers, however wide, at "
        f"s = {found.s[-1]:g}: their loss tends to {best:.4g}; train longer or go deeper"
    )
