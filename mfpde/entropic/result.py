"""What ``mfpde.stationary`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mfpde.entropic.free_energy import Array
from mfpde.measures.grid import GridMeasure
from mfpde.runs.status import Status


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

    ``final``, a GridMeasure; ``fit`` = (1/N) Σ ℓ; ``kl`` (K,), KL(ρ_t | ν) at the depth nodes with
    ν ∝ e^{−r/τ} on the grid; ``J`` = fit + τ ∫ KL dt; ``energy`` = E + τ ∫ Ent dt = J − τ log Z;
    ``residual``, the largest total variation over depth between the state and its Gibbs state;
    ``iterations`` and ``history``, the steps and iterates over all levels of the continuation.
    """

    final: GridMeasure
    status: Status
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
