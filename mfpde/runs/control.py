"""Where a run stands: all that its next step depends on, and what it is estimated to err by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.runs.step import Solving

Array = NDArray[np.float64]

# What is recorded at every accepted step.
SERIES = ("s", "loss", "energy", "gradient_norm2", "step")


class Errors(NamedTuple):
    """What a whole run is estimated to err by at times s (n,).

    ``loss`` relative to E, ``state`` as √∫∫ |Δθ|² dρ, which bounds the COT distance.
    """

    s: Array
    loss: Array
    state: Array


@dataclass
class Control:
    """Everything besides the series that the next step depends on."""

    s: float
    state: NDArray[Any]
    h: float
    steps: int = 0
    rejected_last: bool = False
    rate: float = 0.0  # largest eigenvalue at the last look, 0 if none
    error: float = 0.0  # of the last accepted step beside what was allowed, 0 if none
    method: str = ""  # the scheme at work, where "auto" changes it along the run
    worth: float = 0.0  # gradients that the other method would have saved of late
    switches: int = 0
    lowest: float = 0.0  # |grad E| at its smallest so far, 0 before the start
    rise: float = 1.0  # |grad E| over its smallest value before, at most so far
    drift: float = 0.0  # error of the loss by fixed steps so far, relative, as estimated
    late: float = 0.0  # the same as a shift in time
    chosen: bool = False  # whether a fixed step is the default one
    solving: Solving = field(default_factory=Solving)  # dual systems so far
    watch: Array = field(default_factory=lambda: np.zeros((0, 0)))

    def plain(self) -> dict[str, Any]:
        """All but the arrays, as a file holds it."""
        return {name: getattr(self, name) for name in PLAIN}

    @classmethod
    def of(cls, plain: dict[str, Any], state: NDArray[Any], watch: Array) -> Control:
        """The control of plain values and arrays from a file."""
        return cls(**{**plain, "solving": Solving(*plain["solving"])}, state=state, watch=watch)


PLAIN = [name for name in Control.__dataclass_fields__ if name not in ("state", "watch")]
