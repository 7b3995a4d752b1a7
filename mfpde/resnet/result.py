"""What training returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks, plots, tables
from mfpde.depth import Depth
from mfpde.measures.particles import ParticleMeasure
from mfpde.runs import run_file, stored_problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.run_file import Record
from mfpde.runs.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

FORMAT = "mfpde networks"
ARRAYS = ("s", "loss", "outputs", "theta", "saved_s", "saved")

REMEDIES = {
    Status.INTERRUPTED: "Interrupted: the last state is kept. With checkpoint=path, continue it "
    "with mfpde.resnet.resume(path).",
    Status.NON_FINITE: "The loss of a network became non-finite; the last finite record is kept. "
    "Use a smaller step.",
    Status.NOT_WRITTEN: "The run file could not be written, and training has ended: the file "
    "holds the last whole checkpoint, this result all of the run.",
}


@dataclass(frozen=True)
class Training:
    """Networks of one shape, S seeds: what was recorded, and the trained parameters.

    ``s`` (n,) recorded training times and ``loss`` (S, n) there; ``outputs`` (S, N, k) and
    ``theta`` (S, L, M, p) at the last one; ``observed`` the observables by name, (S, n, …);
    ``saved_s`` (m,) and ``saved`` (S, m, L, M, p) parameters kept on the way, the first and the
    last always; ``backend`` and ``engine`` say what computed them, ``status`` and ``message`` how
    it ended.
    """

    s: Array
    loss: Array
    outputs: Array
    theta: Array
    seeds: tuple[int, ...]
    backend: str
    engine: str
    status: Status
    observed: dict[str, Array] = field(default_factory=dict)
    saved_s: Array = field(default_factory=lambda: np.zeros(0))
    saved: Array = field(default_factory=lambda: np.zeros((0, 0, 0, 0, 0)))

    @property
    def success(self) -> bool:
        return self.status.success

    @property
    def message(self) -> str:
        """How the run ended; the remedy, where it failed."""
        return REMEDIES.get(self.status, self.status.text)

    @property
    def final(self) -> tuple[ParticleMeasure, ...]:
        """The networks at the last time as measures of Euler depth, in the order of ``seeds``."""
        return tuple(_measure(one) for one in self.theta)

    @checks.typed
    def at(self, s: float, index: int = 0) -> ParticleMeasure:
        """The network of seed ``seeds[index]`` at a saved time ``s``, as a measure of Euler depth.

        Raises ValueError for a time that was not saved (``train(..., save=times)`` keeps it,
        rounded to a step) and for an index that no network has.
        """
        if not -len(self.seeds) <= index < len(self.seeds):
            raise ValueError(f"index must be in 0..{len(self.seeds) - 1}; given {index}")
        near = int(np.abs(self.saved_s - s).argmin())
        if abs(self.saved_s[near] - s) <= 1e-12 * abs(s):
            return _measure(self.saved[index, near])
        if s == self.s[-1]:
            return _measure(self.theta[index])
        raise ValueError(
            f"s must be a time at which parameters were saved, {_listed(self.saved_s)}; given "
            f"{s!r}: ask for it by train(..., save=[{s:g}])"
        )

    def plot(self) -> Figure:
        """Loss of every network over training time, and what was observed, as a figure."""
        return plots.trained(self)

    @checks.typed
    def save(self, path: PathLike) -> None:
        """Write all of it to a sealed file (HDF5), atomically.

        To go on with training takes the file of ``train(..., checkpoint=path)``. Raises OSError
        where it cannot be written.
        """
        config = {
            "seeds": self.seeds,
            "backend": self.backend,
            "engine": self.engine,
            "status": self.status.name,
            "versions": stored_problem.versions(),
        }
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays |= {"observed/" + name: values for name, values in self.observed.items()}
        run_file.save(Record(FORMAT, {}, config, {}, arrays), path)

    @classmethod
    @checks.typed
    def load(cls, path: PathLike) -> Training:
        """Read what ``save`` wrote.

        Raises FileNotFoundError for a missing file, ValueError for one that is torn, damaged or
        of another kind.
        """
        found = run_file.load(path, FORMAT)
        with run_file.naming(Path(path)):
            config, arrays = found.config, found.arrays
            return cls(
                **{name: arrays[name] for name in ARRAYS},
                seeds=tuple(config["seeds"]),
                backend=config["backend"],
                engine=config["engine"],
                status=Status[config["status"]],
                observed={
                    name.removeprefix("observed/"): values
                    for name, values in arrays.items()
                    if name.startswith("observed/")
                },
            )

    def to_xarray(self) -> Any:
        """Series and saved parameters as an ``xarray.Dataset`` (needs the extra ``xarray``)."""
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'mfpde[xarray]'") from None
        variables: dict[str, Any] = {
            "loss": (("seed", "s"), self.loss),
            "outputs": (("seed", "datum", "output"), self.outputs),
            "theta": (("seed", "saved_s", "layer", "particle", "coordinate"), self.saved),
        }
        for name, values in self.observed.items():
            more = tuple(f"{name}_{axis}" for axis in range(values.ndim - 2))
            variables[name] = (("seed", "s", *more), values)
        coordinates = {"seed": list(self.seeds), "s": self.s, "saved_s": self.saved_s}
        return xarray.Dataset(variables, coordinates, {"status": self.status.name})

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        seeds, layers, width, _ = self.theta.shape
        last = self.loss[:, -1]
        rows = {
            "status": f"{self.status.name}: {self.status.text}",
            "networks": f"{seeds} of L = {layers} layers and width M = {width}",
            "s": self.s[-1],
            "loss": f"{last.min():.3e} to {last.max():.3e}",
            "engine": self.engine,
        }
        middle = np.median(self.loss, axis=0)
        return tables.card("Training", rows, tables.sparkline(middle, label="median loss"))

    def __repr__(self) -> str:
        count, layers, width, _ = self.theta.shape
        low, high = self.loss[:, -1].min(), self.loss[:, -1].max()
        return (
            f"Training({self.status.name}: {count} networks of {layers} layers and width {width} "
            f"at s = {self.s[-1]:.6g}, loss {low:.3e} to {high:.3e}, by {self.engine!r})"
        )


def _measure(theta: Array) -> ParticleMeasure:
    return ParticleMeasure(theta, Depth(len(theta), "euler"))


def _listed(times: Array) -> str:
    """Times in words: a few, or the first two and the last."""
    told = [f"{s:g}" for s in times]
    return ", ".join(told if len(told) <= 6 else [*told[:2], "...", told[-1]])


def join(parts: Sequence[Training]) -> Training:
    """Networks trained apart, as one result; they end at the earliest end among them."""
    first = parts[0]
    if len(parts) == 1:
        return first
    worst = min(parts, key=lambda part: (part.success, part.s.size))
    n, m = (min(getattr(part, name).size for part in parts) for name in ("s", "saved_s"))
    return Training(
        s=first.s[:n],
        loss=np.concatenate([part.loss[:, :n] for part in parts]),
        outputs=np.concatenate([part.outputs for part in parts]),
        theta=np.concatenate([part.theta for part in parts]),
        seeds=tuple(seed for part in parts for seed in part.seeds),
        backend=first.backend,
        engine=first.engine,
        status=worst.status,
        observed={
            name: np.concatenate([part.observed[name][:, :n] for part in parts])
            for name in first.observed
        },
        saved_s=first.saved_s[:m],
        saved=np.concatenate([part.saved[:, :m] for part in parts]),
    )
