"""What ``mfpde.stationary`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from mfpde.entropic.free_energy import Array
from mfpde.measures.grid import GridMeasure


class Ending(Enum):
    """Value: (is a success, text). Texts of failures are remedies."""

    CONVERGED = (True, "The state is its own Gibbs state to tol in total variation.")
    MAX_ITERATIONS = (
        False,
        "max_iterations were taken before tol was met: use method='newton', continuation=True, or "
        "(under method='picard') less damping; at a small temperature Picard diverges for any "
        "practical damping.",
    )
    STALLED = (
        False,
        "No step lowered the free energy any more before tol was met: tol is below rounding, or "
        "the temperature is too small for the cells; use a larger tol, a finer grid or "
        "continuation=True.",
    )
    NON_FINITE = (
        False,
        "The free energy became NaN or infinite; the last finite state is kept. Use "
        "method='newton' with continuation=True, or scale the data down.",
    )

    @property
    def success(self) -> bool:
        return self.value[0]

    @property
    def text(self) -> str:
        return self.value[1]


class Iterate(NamedTuple):
    """One iterate: ``factor`` multiplies the problem's τ and r, ``J`` and ``residual`` are there.

    ``forward`` and ``adjoint`` count the passes through depth so far.
    """

    factor: float
    J: float
    residual: float
    forward: int
    adjoint: int


@dataclass(frozen=True)
class Stationary:
    """A stationary state of E + τ ∫ Ent(ρ_t) dt.

    ``measure``; ``fit`` = (1/N) Σ ℓ; ``kl`` (K,), KL(ρ_t | ν) at the depth nodes with ν ∝ e^{−r/τ}
    on the grid; ``J`` = fit + τ ∫ KL dt; ``energy`` = E + τ ∫ Ent dt = J − τ log Z; ``residual``,
    the largest total variation over depth between the state and its Gibbs state; ``iterations`` and
    ``history``, the steps and iterates over all levels of the continuation.
    """

    measure: GridMeasure
    status: Ending
    fit: float
    kl: Array
    J: float
    energy: float
    residual: float
    iterations: int
    history: tuple[Iterate, ...]

    @property
    def success(self) -> bool:
        return self.status.success

    @property
    def message(self) -> str:
        return self.status.text

    def __repr__(self) -> str:
        return (
            f"Stationary({self.status.name}: J = {self.J:.6g}, fit = {self.fit:.6g}, residual "
            f"{self.residual:.1e} after {self.iterations} iterations)"
        )
