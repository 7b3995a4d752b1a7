"""Differences between two runs along training time, and errors read from several of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A change that falls by more than this factor from one size to the next is luck.
SLOWEST, FASTEST = 0.9, 0.1
ORDER_LOW, ORDER_HIGH = 0.5, 4.0


@dataclass(frozen=True)
class Gap:
    """Absolute differences at the times of a limit: of the loss (n,), of outputs (n,), RMS."""

    loss: Array
    outputs: Array

    def times(self, factor: float) -> Gap:
        return Gap(factor * self.loss, factor * self.outputs)

    def plus(self, other: Gap) -> Gap:
        return Gap(self.loss + other.loss, self.outputs + other.outputs)


@dataclass(frozen=True)
class Yardstick:
    """What headline errors are relative to: the targets' RMS, and E(ρ_0)."""

    outputs: float
    loss: float

    def size(self, gap: Gap) -> float:
        """The largest relative difference over time, of outputs and of the loss."""
        return float(max(gap.outputs.max() / self.outputs, gap.loss.max() / self.loss))


def total(gaps: Iterable[Gap]) -> Gap:
    """The sum of several differences."""
    first, *others = gaps
    for other in others:
        first = first.plus(other)
    return first


def geometric(last: float, before: float) -> float:
    """The error over the last change, for errors that shrink by one factor q from size to size.

    ``last`` is the change from the finest size but one to the finest, ``before`` the one before.
    An error C qⁿ changes by ``last`` = C qⁿ (1/q − 1), so that it is ``last`` · q/(1 − q).
    """
    if last == 0.0:
        return 1.0
    q = float(np.clip(last / before if before > 0 else SLOWEST, FASTEST, SLOWEST))
    return q / (1.0 - q)


def algebraic(sizes: tuple[int, int, int], near: float, far: float) -> float:
    """The error over ``near``, for errors C L^−m whose order m the differences tell.

    ``sizes`` L > L' > L''; ``near`` = |run(L) − run(L')|, ``far`` = |run(L) − run(L'')|. The order
    is kept between 1/2 and 4: an order that is not seen is not believed.
    """
    fine, middle, coarse = sizes

    def ratio(order: float) -> float:
        return ((fine / coarse) ** order - 1.0) / ((fine / middle) ** order - 1.0)

    orders = np.linspace(ORDER_LOW, ORDER_HIGH, 71)
    seen = far / near if near > 0 else np.inf
    order = orders[int(np.searchsorted([ratio(m) for m in orders], seen).clip(0, 70))]
    return float(1.0 / ((fine / middle) ** order - 1.0))
