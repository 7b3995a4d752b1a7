"""What ``mfpde.stationary`` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mfpde import checks
from mfpde.entropic import file
from mfpde.entropic.free_energy import Array
from mfpde.measures.grid import GridMeasure
from mfpde.problem import Problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    ``iterations`` and ``history``, the steps and iterates over all levels of the continuation;
    ``observed``, what ``observe`` asked for, (iterates, …) by name.
    """

    problem: Problem = field(repr=False)
    final: GridMeasure
    status: Status
    fit: float
    kl: Array
    J: float
    energy: float
    residual: float
    iterations: int
    history: tuple[Iterate, ...]
    observed: dict[str, Array] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        return self.status.success

    @property
    def message(self) -> str:
        return self.status.text

    @checks.typed
    def save(self, path: PathLike) -> None:
        """Write a file (HDF5), whole or not at all. Raises OSError where it cannot be written."""
        file.save(self, path)

    @classmethod
    @checks.typed
    def load(cls, path: PathLike, *, block: Any = None) -> Stationary:
        """Read such a file; a block the package does not know is handed over as ``block``.

        Raises FileNotFoundError for a missing file, ValueError for one that is torn, damaged, of
        another kind, or of another block.
        """
        found: Stationary = file.load(cls, Iterate, path, block)
        return found

    def to_xarray(self) -> Any:
        """Iterates, the masses and KL(ρ_t | ν) as an ``xarray.Dataset`` (needs ``xarray``)."""
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'mfpde[xarray]'") from None
        series = zip(Iterate._fields, np.array(self.history).T, strict=True)
        variables: dict[str, Any] = {name: ("iterate", values) for name, values in series}
        for name, values in self.observed.items():
            more = (f"{name}_{k}" for k in range(values.ndim - 1))
            variables[name] = (("iterate", *more), values)
        names = self.problem.block.coordinates
        states, axes = self.final.labelled(self.final.masses[None], names)
        ((_, (labels, masses)),) = states.items()
        variables |= {"mass": (labels[1:], masses[0]), "kl": ("t", self.kl)}
        return xarray.Dataset(variables, axes, {"status": self.status.name})

    def plot(self) -> Figure:
        """Residual and J over the iterates, what was observed, KL(ρ_t | ν) over depth."""
        from mfpde.entropic.picture import draw

        return draw(self)

    def __repr__(self) -> str:
        return (
            f"Stationary({self.status.name}: J = {self.J:.6g}, fit = {self.fit:.6g}, residual "
            f"{self.residual:.1e} after {self.iterations} iterations)"
        )
