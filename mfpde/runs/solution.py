"""What a run returns: series, saved states, the final measure, status and statistics."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.measures import Measure
from mfpde.problem import Problem
from mfpde.runs.options import Options
from mfpde.runs.status import Status
from mfpde.runs.step import Solving

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

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
    drift: float = 0.0  # error of the loss by fixed steps so far, relative, as estimated
    chosen: bool = False  # whether a fixed step is the default one
    solving: Solving = field(default_factory=Solving)  # dual systems so far
    watch: Array = field(default_factory=lambda: np.zeros((0, 0)))


class Solution:
    """A run of ``mfpde.solve``.

    ``s``, ``loss``, ``energy``, ``gradient_norm2`` (|grad E|²_COT) and ``step`` are series over
    the accepted steps, (n,); ``final`` is the last measure, ``at(s)`` one in between, ``saved_s``
    the saved times (``states`` what moves: θ of particles, masses of a grid, (θ, t) of blocks);
    ``errors``, where ``global_error`` asked for them, what E and θ err by there;
    ``success``, ``status`` and ``message`` say how it ended; ``stats`` holds counts (gradients,
    tangents, kernels, factorisations, products with K, steps, rejected) and the split of wall time.
    """

    def __init__(
        self, problem: Problem, rho: Measure, options: Options, control: Control, note: str
    ) -> None:
        self.problem, self.options, self.control = problem, options, control
        self.status = Status.RUNNING
        self.note = note
        self.stats: dict[str, Any] = {}
        self.errors: Errors | None = None  # asked for by global_error
        self._rho = rho
        self._series: dict[str, list[float]] = {name: [] for name in SERIES}
        self._saved_s: list[float] = []
        self.states: list[NDArray[Any]] = []

    # -- written by the driver ----------------------------------------------------------------

    def record(self, *row: float) -> None:
        """One value of each of ``SERIES``."""
        for name, value in zip(SERIES, row, strict=True):
            self._series[name].append(float(value))

    def save_state(self, s: float, state: NDArray[Any]) -> None:
        self._saved_s.append(float(s))
        self.states.append(state)

    def close(self, status: Status, stats: dict[str, Any]) -> None:
        self.status, self.stats = status, stats

    # -- read by users ------------------------------------------------------------------------

    @property
    def s(self) -> Array:
        """Training times of the accepted steps, from 0, shape (n,)."""
        return np.array(self._series["s"])

    @property
    def loss(self) -> Array:
        """E(ρ_s), penalties of the problem included, entropy not, shape (n,)."""
        return np.array(self._series["loss"])

    @property
    def energy(self) -> Array:
        """What the flow descends, shape (n,): the loss, entropy and vanishing decay added."""
        return np.array(self._series["energy"])

    @property
    def gradient_norm2(self) -> Array:
        """|grad E|²_COT = −dE/ds, shape (n,).

        More sensitive than the loss: what a loose ``rtol`` leaves in stiff directions hardly
        enters E and multiplies the gradient. Rates and bounds built on it want
        ``method="implicit"`` with rtol <= 1e-4, or an explicit method.
        """
        return np.array(self._series["gradient_norm2"])

    @property
    def step(self) -> Array:
        """Lengths of the accepted steps (0 for the first entry), shape (n,)."""
        return np.array(self._series["step"])

    @property
    def saved_s(self) -> Array:
        """Training times of the saved states."""
        return np.array(self._saved_s)

    @property
    def initial(self) -> Any:
        """ρ_0."""
        return self._rho.with_state(self.states[0])

    @property
    def final(self) -> Any:
        """The measure at the last accepted step."""
        return self._rho.with_state(self.control.state)

    @property
    def success(self) -> bool:
        return self.status.success

    @property
    def message(self) -> str:
        """How the run ended (the remedy, where it failed), what was chosen, and ``error``."""
        parts = [self.status.text, self.note]
        if self.errors is not None:
            at_most = f"{self.errors.loss.max():.1e} of it, of θ at {self.errors.state.max():.1e}"
            parts.append(f"Whole run: error of the loss estimated at most at {at_most}.")
        elif self.error is not None:
            parts.append(f"Fixed steps: error of the loss estimated at {self.error:.1e} of it.")
        return " ".join(part for part in parts if part)

    @property
    def error(self) -> float | None:
        """The error of the last loss, relative to it, that the run is estimated to have made.

        With fixed steps the sum of errors of single steps, by step doubling; with
        ``global_error=True`` what a companion at ten times the tolerance shows, see ``errors`` for
        the same along s; None for other runs, whose method controls the error of each step.
        """
        if self.errors is not None:
            return float(self.errors.loss[-1])
        return self.control.drift if self.options.step is not None else None

    @checks.typed
    def at(self, s: float) -> Any:
        """ρ_s: exact at saved times, linear in the state between neighbouring ones.

        Ask for the times you need by ``solve(..., save=times)``, or keep every step by
        ``save="steps"``. Raises ValueError for s outside [0, s_last].
        """
        known = np.append(self.saved_s, self.control.s)
        if not 0.0 <= s <= known[-1]:
            raise ValueError(f"s must be in [0, {known[-1]:g}], the run's range; given {s!r}")
        k = int(np.searchsorted(known, s))
        if known[k] == s:
            return self._rho.with_state(self._state(k))
        part = (s - known[k - 1]) / (known[k] - known[k - 1])
        left, right = self._state(k - 1), self._state(k)
        return self._rho.with_state(left + float(part) * (right - left))

    def _state(self, k: int) -> NDArray[Any]:
        return self.states[k] if k < len(self.states) else self.control.state

    @checks.typed
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a run file (HDF5), atomically: a reader sees the old file or the new one."""
        from mfpde.runs import run_file

        run_file.save(self, path)

    @classmethod
    @checks.typed
    def load(cls, path: str | os.PathLike[str], *, block: Any = None) -> Solution:
        """Read a run file; a block the package does not know is handed over as ``block``."""
        from mfpde.runs import run_file

        return run_file.load(path, block=block)

    def plot(self) -> Figure:
        """Loss and gradient norm over training time, as a matplotlib figure."""
        from mfpde import plots

        return plots.training(self)

    def to_xarray(self) -> Any:
        """Series and saved states as an ``xarray.Dataset`` (needs the extra ``xarray``)."""
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'mfpde[xarray]'") from None
        series = {name: ("s", getattr(self, name)) for name in SERIES[1:]}
        variables, axes = self._rho.labelled(np.array(self.states), self.problem.block.coordinates)
        coordinates = {"s": self.s, "saved_s": self.saved_s, **axes}
        return xarray.Dataset({**series, **variables}, coordinates, {"status": self.status.name})

    def __repr__(self) -> str:
        if not self._series["s"]:
            return "Solution(not started)"
        return (
            f"Solution({self.status.name}: s = {self.s[-1]:.6g}, loss = {self.loss[-1]:.3e} after "
            f"{self.control.steps} steps of {self.options.method!r})"
        )
