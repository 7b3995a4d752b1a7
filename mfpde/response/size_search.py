"""The smallest network whose loss is low enough with high enough probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# The shallowest network is recommended whose blocks stay within this factor of the fewest.
EXCESS = 1.25
SHALLOWEST, DEEPEST, WIDEST = 4, 1 << 12, 1 << 24


class Size(NamedTuple):
    """A network's ``layers`` L and ``width`` M."""

    layers: int
    width: int


# P(E <= loss) of networks of so many layers and such a width.
Chance = Callable[[float, int, int], float]


def size_for(
    found: Any, chance: Chance, loss: float, probability: float, layers: int | None, limit: float
) -> Size:
    """See ``FiniteSize.size_for``; sizes with a validity of ``limit`` or more are left out."""

    def width_at(depth: int) -> int | None:
        """The least width that is enough at this depth, by bisection; None where none is."""
        if chance(loss, depth, WIDEST) < probability:
            return None
        # Validity goes down like 1/√M.
        low = max(int(np.ceil(np.square(found.validity(depth, 1).max() / limit))), 1)
        high = low
        while chance(loss, depth, high) < probability:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            enough = chance(loss, depth, middle) >= probability
            low, high = (low, middle) if enough else (middle, high)
        return high

    if layers is not None:
        width = width_at(layers)
        if width is None:
            raise ValueError(_unreached(found, loss, layers))
        return Size(layers, width)
    sizes, depth, fewest = [], SHALLOWEST, np.inf
    # Deeper than the fewest blocks so far allow, no network can be better.
    while depth <= min(DEEPEST, EXCESS * fewest):
        if (width := width_at(depth)) is not None:
            sizes.append(Size(depth, width))
            fewest = min(fewest, depth * width)
        depth += max(depth // 4, 1)
    if not sizes:
        raise ValueError(_unreached(found, loss, DEEPEST))
    return next(size for size in sizes if size.layers * size.width <= EXCESS * fewest)


def _unreached(found: Any, loss: float, layers: int) -> str:
    best = found.loss_mean(layers, WIDEST)[-1]
    return (
        f"loss = {loss:g} is not reached by networks of {layers} layers, however wide, at "
        f"s = {found.s[-1]:g}: their loss tends to {best:.4g}; train longer or go deeper"
    )
