"""What one step of any scheme returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]


class Step(NamedTuple):
    """The new point, the error estimate and a dense output where the scheme has one.

    ``error`` is a displacement of θ (None without an estimate); ``dense`` maps a fraction of the
    step in [0, 1] to θ.
    """

    point: Any
    error: Array | None = None
    dense: Callable[[float], Array] | None = None
