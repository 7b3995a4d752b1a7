"""What ``sensitivity`` returns: derivatives of the trained loss, and their files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfpde import tables
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.runs import run_file, stored_measure, stored_problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.run_file import Record
from mfpde.runs.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

FORMAT = "mfpde sensitivity"
VALUES = ("s", "loss", "weight_decay", "steps")
ARRAYS = ("mean", "std", "mean_t", "std_t", "targets", "inputs", "weights", "gradient", "influence")


@dataclass(frozen=True)
class Sensitivity:
    """E(ρ_s) at s = ``s`` and its derivatives.

    ``mean`` and ``std`` (p,): in the means and standard deviations of the law's coordinates, each
    moved as θ = mean + std·ξ with ξ fixed (for ``Uniform(low, high)``: mean = (low + high)/2 and
    std = (high − low)/√12); 0 for the std of a fixed coordinate, in which E is even. ``mean_t``
    and ``std_t`` (K, p) are the same for a law that moves at depth t_k alone, per unit of depth:
    mean = Σ_k ω_k mean_t[k]. ``targets`` (N, k), ``inputs`` (N, d_in) and ``weights`` (N,): in the
    data, as what is trained on and as what E is taken at; a weight that grows is followed by the
    division of all by their mean. ``weight_decay``: in λ. ``gradient`` (K, M, p) is the COT
    gradient of ρ_0 ↦ E(ρ_s) at the particles of ``rho0``, ``influence`` (K, M) its first variation.
    """

    problem: Problem = field(repr=False)
    s: float
    loss: float
    mean: Array
    std: Array
    mean_t: Array = field(repr=False)
    std_t: Array = field(repr=False)
    targets: Array = field(repr=False)
    inputs: Array = field(repr=False)
    weights: Array = field(repr=False)
    weight_decay: float
    gradient: Array = field(repr=False)
    influence: Array = field(repr=False)
    rho0: ParticleMeasure = field(repr=False)
    steps: int

    @property
    def status(self) -> Status:
        """END_REACHED: a run that fails, or is interrupted, has no derivative."""
        return Status.END_REACHED

    @property
    def success(self) -> bool:
        return self.status.success

    @property
    def message(self) -> str:
        return f"Differentiated through {self.steps} steps to s = {self.s:g}."

    def save(self, path: PathLike) -> None:
        """Write a file (HDF5), whole or not at all."""
        problem, arrays = stored_problem.write(self.problem)
        config = {name: getattr(self, name) for name in VALUES}
        config["depth"], start = stored_measure.write(self.rho0, "rho0")
        config["versions"] = stored_problem.versions()
        arrays |= {name: getattr(self, name) for name in ARRAYS} | start
        run_file.save(Record(FORMAT, problem, config, {}, arrays), path)

    @classmethod
    def load(cls, path: PathLike, *, block: Any = None) -> Sensitivity:
        """Read such a file; a block the package does not know is handed over as ``block``."""
        found = run_file.load(path, FORMAT)
        with run_file.naming(Path(path)):
            config, arrays = found.config, found.arrays
            values: dict[str, Any] = {name: config[name] for name in VALUES}
            values |= {name: arrays[name] for name in ARRAYS}
            return cls(
                problem=stored_problem.read(found.fixed, arrays, block),
                rho0=stored_measure.read(config["depth"], arrays, "rho0"),
                **values,
            )

    def to_xarray(self) -> Any:
        """Derivatives by coordinate, depth and datum as an ``xarray.Dataset``.

        Needs the extra ``xarray``.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'mfpde[xarray]'") from None
        of = {
            "mean": ("coordinate",), "std": ("coordinate",), "mean_t": ("t", "coordinate"),
            "std_t": ("t", "coordinate"), "targets": ("datum", "output"),
            "inputs": ("datum", "input"), "weights": ("datum",),
        }  # fmt: skip
        arrays = {name: (where, getattr(self, name)) for name, where in of.items()}
        places = {"t": self.rho0.depth.nodes, "coordinate": list(self.problem.block.coordinates)}
        told = {name: getattr(self, name) for name in VALUES}
        return xarray.Dataset(arrays, places, told | {"status": self.status.name})

    def plot(self) -> Figure:
        """Derivatives in the law's means and deviations, and in the data's weights, as bars."""
        from mfpde.response.plot import sensitivity

        return sensitivity(self)

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = {"s": self.s, "loss": self.loss, "mean": self.mean, "std": self.std}
        return tables.card("Sensitivity", rows | {"weight decay": self.weight_decay})
