"""The limit's flow, with what is known of its error."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks, tables
from mfpde.limits import file
from mfpde.limits.gaps import Yardstick, total
from mfpde.limits.parts import Part
from mfpde.limits.run import Terms, pooled, predicted
from mfpde.limits.scrambled import Spread
from mfpde.limits.sizes import Sizes
from mfpde.measures.particles import ParticleMeasure
from mfpde.optimizers import Optimizer
from mfpde.problem import Problem
from mfpde.runs.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

PARTS = ("width", "depth", "time")
SERIES = ("loss", "loss_error", "relative_loss_error", "outputs_error")


UNFINISHED = (
    "Interrupted: the best result so far is kept. With checkpoint=path, the same call and "
    "resume=True goes on."
)


class Prediction(NamedTuple):
    """Outputs (n, k) of the limit at new points, and the error of each, (n, k)."""

    outputs: Array
    error: Array


@dataclass(frozen=True)
class Limit:
    """The flow of the infinitely wide and deep limit at the times ``s`` (n,), with error bars.

    ``loss`` (n,) and ``outputs`` (n, N, k); ``loss_error`` (n,) is absolute,
    ``relative_loss_error`` (n,) divides it by E(ρ_s), ``outputs_error`` (n,) is the root mean
    square over data and outputs, absolute. All are sums of what width, depth and training time
    still contribute, along s. ``errors`` has one number for each of the three, the largest over s
    of the outputs' error over the targets' root mean square and the loss's over E(ρ_0);
    ``error`` is their sum, which ``rtol`` bounds where ``success`` holds.

    ``observed`` has the series that ``observe`` asked for, (n, ...) by name, ``observed_error``
    their errors; that of an accuracy counts all data whose class is within the outputs' error.

    ``final`` is ρ at the last time: the particles of a tensor rule, or those of all scrambles that
    were run in full, pooled. These are fewer than ``sizes`` says, and their outputs less accurate
    than ``outputs``, for which wide runs of few steps and the flow of u alone are made use of;
    ``mfpde.loss(problem, found.final) - found.loss[-1]`` is how much. ``sizes`` is the
    discretisation, ``work`` the particles × depth nodes × gradients of all runs, ``seconds`` their
    wall time, ``status`` and ``message`` say how the search ended; ``optimizer`` is what moved the
    particles, None for the gradient flow.
    """

    problem: Problem = field(repr=False)
    s: Array
    loss: Array
    outputs: Array
    rtol: float
    sizes: Sizes
    status: Status
    work: int
    seconds: float
    terms: Terms = field(repr=False)
    parts: dict[str, Part | Spread] = field(repr=False)
    yardstick: Yardstick = field(repr=False)
    observed: dict[str, Array] = field(repr=False)
    observed_error: dict[str, Array] = field(repr=False)
    optimizer: Optimizer | None = None

    @property
    def success(self) -> bool:
        return self.status.success

    @property
    def message(self) -> str:
        """How the search ended, and what would help where it failed."""
        worst = max(PARTS, key=self.errors.__getitem__)
        told = f" The error is {self.error:.1e}, most of it from {worst}; rtol is {self.rtol:g}."
        text = UNFINISHED if self.status is Status.INTERRUPTED else self.status.text
        return text + ("" if self.success else told)

    @property
    def errors(self) -> dict[str, float]:
        """Width, depth and time: the largest error over s, relative to the targets and E(ρ_0)."""
        return {name: self.yardstick.size(self.parts[name].gap) for name in PARTS}

    @property
    def error(self) -> float:
        return sum(self.errors.values())

    @property
    def loss_error(self) -> Array:
        """Of E(ρ_s), absolute, (n,)."""
        loss = total(self.parts[name].gap for name in PARTS).loss
        # |E_a − E_b| vanishes where two curves cross: a time's neighbours speak for it as well.
        wide = np.pad(loss, 1, mode="edge")
        return np.max([wide[:-2], loss, wide[2:]], axis=0)

    @property
    def relative_loss_error(self) -> Array:
        """Of E(ρ_s), relative to E(ρ_s) itself, (n,)."""
        return self.loss_error / np.maximum(self.loss, np.finfo(float).tiny)

    @property
    def outputs_error(self) -> Array:
        """Of the outputs, absolute, root mean square over data and outputs, (n,)."""
        return total(self.parts[name].gap for name in PARTS).outputs

    @property
    def final(self) -> ParticleMeasure:
        """ρ at the last time."""
        return pooled(run for c, run in self.terms if c > 0.0 and not run.quick)

    def predict(self, x: ArrayLike | None = None) -> Prediction:
        """Outputs of the limit at the last time for ``x`` (n, d_in) or the data, with errors.

        What the flow of u alone explains is subtracted as on the data, so that predictions at the
        data are ``outputs``. Errors of depth and time, and those of a tensor rule in width, are
        bounded from below by the data's root mean square.
        """
        new = None if x is None else checks.array("x", x, ("n", self.problem.x.shape[1]))
        width = self.parts["width"]
        if isinstance(width, Spread):
            outputs, error = width.predict(self.problem, new)
        else:
            outputs, error = predicted(self.problem, self.terms, new), width.at(self.problem, new)
        others = [self.parts[name] for name in PARTS[1:]]
        error = error + sum(part.at(self.problem, new) for part in others if isinstance(part, Part))
        return Prediction(outputs, np.broadcast_to(error, outputs.shape).copy())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file (HDF5), whole or not at all, from which ``predict`` works as well."""
        file.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, block: Any = None) -> Limit:
        """Read such a file; a block the package does not know is handed over as ``block``."""
        found: Limit = file.load(cls, path, block)
        return found

    def to_xarray(self) -> Any:
        """Loss, outputs and errors over s as an ``xarray.Dataset`` (needs the extra ``xarray``)."""
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'mfpde[xarray]'") from None
        series: dict[str, Any] = {name: ("s", getattr(self, name)) for name in SERIES}
        series["outputs"] = (("s", "datum", "output"), self.outputs)
        for name, values in self.observed.items():
            dims = ("s", *(f"{name}_{axis}" for axis in range(values.ndim - 1)))
            series |= {name: (dims, values), f"{name}_error": (dims, self.observed_error[name])}
        return xarray.Dataset(series, {"s": self.s}, {"status": self.status.name})

    def plot(self) -> Figure:
        """Loss with its band and the errors' parts over training time."""
        from mfpde.limits.picture import draw

        return draw(self)

    def _repr_html_(self) -> str:
        """A small table and the loss as a sparkline, for notebooks."""
        rows = {
            "status": f"{self.status.name}: {self.message}",
            f"E({self.s[-1]:g})": f"{self.loss[-1]:.6e} ± {self.loss_error[-1]:.1e}",
            "outputs": f"± {self.outputs_error[-1]:.1e}",
            "error by part": ", ".join(f"{k} {v:.1e}" for k, v in self.errors.items()),
            "size": f"{self.sizes.points} particles, {self.sizes.depth_steps} steps in depth",
        }
        return tables.card("Limit", rows, tables.sparkline(self.loss, label="loss over time"))

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {value:.1e}" for name, value in self.errors.items())
        moved = "" if self.optimizer is None else f"; {self.optimizer}"
        return (
            f"Limit({self.status.name}: E({self.s[-1]:g}) = {self.loss[-1]:.6e} "
            f"± {self.loss_error[-1]:.1e} ({self.relative_loss_error[-1]:.1e} of itself); "
            f"outputs ± {self.outputs_error[-1]:.1e}; largest error over s {self.error:.1e} "
            f"({parts}) relative to the targets' RMS and E(0), rtol {self.rtol:g}; "
            f"{self.sizes.points} particles, {self.sizes.depth_steps} rk4 steps in depth{moved})"
        )
