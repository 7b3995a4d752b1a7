"""What describes a scheme, and what one step of it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]


class Solving(NamedTuple):
    """How the last step solved its dual systems, and the iterations of a solve by each way."""

    kind: str = ""
    products: float = 2.0
    kronecker: float = 2.3


class Step(NamedTuple):
    """The new point, the error estimate and a dense output where the scheme has one.

    ``error`` is what the flow's norm takes: a change of the state, or of a grid its size (None
    without an estimate); ``dense`` maps a fraction of the step in [0, 1] to a state; ``refused``
    says that the scheme itself finds the step too long; ``rate`` is λ_max from below, as far as the
    stages of the step show it; ``solving`` is for the linear solves of the next step.
    """

    point: Any
    error: Array | float | None = None
    dense: Callable[[float], Array] | None = None
    refused: bool = False
    rate: float | None = None
    solving: Solving | None = None


@dataclass(frozen=True)
class Scheme:
    """``order`` is that of the solution; ``error_order`` the power of h in the error estimate.

    ``stability`` is the largest h·λ that is stable, None for no limit. ``longest(flow, point)`` is
    the longest step that a scheme may take from a point (a CFL limit): such a scheme is adaptive
    without an error estimate, its steps are as long as both limits allow. ``descends`` says that
    short steps lower the energy, so that one in which it rises is too long. A scheme with ``dense``
    output serves save times inside a step; the others land on them. ``share`` is the part
    of the run's tolerance that errors of its steps may use.
    """

    name: str
    order: int
    step: Callable[..., Step]
    error_order: int | None = None
    stability: float | None = None
    dense: bool = False
    longest: Callable[[Any, Any], float] | None = None
    descends: bool = True
    share: float = 1.0

    @property
    def watched(self) -> bool:
        """Whether stability is looked after by power iterations beside the steps."""
        return self.stability is not None and self.error_order is None

    @property
    def adaptive(self) -> bool:
        return self.error_order is not None or self.longest is not None
