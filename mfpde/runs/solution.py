"""What a run returns: series, saved states, the final measure, status and statistics."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks, plots, tables
from mfpde.measures import Measure
from mfpde.problem import Problem
from mfpde.runs import run_file, stored_problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.control import SERIES, Control, Errors
from mfpde.runs.observers import Observers
from mfpde.runs.options import Options
from mfpde.runs.reading import read
from mfpde.runs.run_file import Record, Thinned
from mfpde.runs.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

FORMAT = "mfpde run"
# States that are kept to start from again: at most this many, and this many bytes (but two).
MOST_MARKS, MARKED_BYTES = 64, 1 << 26

# Blocks that pass each other meet a velocity that jumps, which no control of local errors sees.
EXCHANGED = (
    "{} pairs of blocks changed order, where velocities jump: rtol does not bound that error; "
    "compare with a run at a tighter one."
)

CONCAVE = (
    "At {} points the loss was concave in some outputs: implicit steps take its convex part, and "
    "follow the rest explicitly, which costs steps and no order."
)

SYSTEMS = ("factorisations", "products")  # counts of those of implicit steps

# Growth of |grad E| beyond which a run says so. Errors of E in runs by "auto" at rtol 1e-3 to 1e-6
# were at most 7 rtol where it had grown up to 16-fold, 18 where it had grown 60-fold.
MAGNIFIED = 30.0
# What a shift in time by fixed steps counts for where |grad E| has grown as much: errors across the
# path grow more than those along it.
ACROSS = 3.0


class Solution:
    """A run of ``mfpde.solve``.

    ``s``, ``loss``, ``energy``, ``gradient_norm2`` (|grad E|²_COT) and ``step`` are series over
    the accepted steps, (n,); ``final`` is the last measure, ``at(s)`` one in between, ``saved_s``
    the saved times (``states`` what moves: θ of particles, (θ, a) with a reaction, masses of a
    grid, (θ, t) of blocks; of θ only what ``coordinates`` named);
    ``observed`` what ``observe`` asked for, (n, …) by name;
    ``errors``, where ``global_error`` asked for them, what E and θ err by there;
    ``success``, ``status`` and ``message`` say how it ended; ``stats`` holds counts (gradients,
    tangents, kernels, factorisations, products with K, steps, rejected) and the split of wall time.
    """

    # Goes on from a control to s: set by the room above, which knows how steps are taken.
    replay: ClassVar[Callable[[Solution, Control, float], NDArray[Any]]]

    def __init__(
        self,
        problem: Problem,
        rho: Measure,
        options: Options,
        control: Control,
        note: str,
        observers: Observers | None = None,
    ) -> None:
        self.problem, self.options, self.control = problem, options, control
        self.status = Status.RUNNING
        self.note = note
        self.stats: dict[str, Any] = {}
        self.errors: Errors | None = None  # asked for by global_error
        self._rho, self._state_bytes = rho, rho.state.nbytes
        self._series: dict[str, list[float]] = {name: [] for name in SERIES}
        self.observers = Observers(problem, None) if observers is None else observers
        self._observed: dict[str, list[Any]] = {}
        self._saved_s: list[float] = []
        self.states: list[NDArray[Any]] = []
        self._marks: list[tuple[int, Control]] = []  # numbered, those dropped included
        self._marked = 0

    # -- written by the driver ----------------------------------------------------------------

    def record(self, *row: float) -> None:
        """One value of each of ``SERIES``."""
        for name, value in zip(SERIES, row, strict=True):
            self._series[name].append(float(value))

    def observe(self, rho: Callable[[], Measure]) -> None:
        """One value of everything that is observed of a measure, made where there is anything."""
        if not self.observers:
            return
        for name, value in self.observers(rho()).items():
            self._observed.setdefault(name, []).append(value)

    def latest(self, name: str, count: int) -> list[float]:
        """The last values of one of ``SERIES``."""
        return self._series[name][-count:]

    def save_state(self, s: float, state: NDArray[Any]) -> None:
        """Keep what was asked for of a whole state."""
        self._saved_s.append(float(s))
        self.states.append(self._chosen(state))

    def _chosen(self, state: NDArray[Any]) -> NDArray[Any]:
        """The coordinates that are saved, and what moves beside θ: weights, places in depth."""
        names, known = self.options.coordinates, self.problem.block.coordinates
        if not names:
            return state
        beside = range(len(known), state.shape[-1])
        return state[..., [*(known.index(name) for name in names), *beside]]

    @property
    def _whole_states(self) -> dict[float, NDArray[Any]]:
        """The saved states by s, where they are whole."""
        if self.options.coordinates:
            return {}
        return dict(zip(self._saved_s, self.states, strict=True))

    def mark(self, state: Callable[[], NDArray[Any]]) -> None:
        """Keep the present control to start from again: of all steps, one in every ``stride``.

        ``state`` gives the whole state, of which a process may hold but a part.
        """
        if self.control.steps % self._stride(self.control) == 0:
            self._keep_mark(replace(self.control, state=state()))

    def _keep_mark(self, mark: Control) -> None:
        stride = self._stride(mark)
        self._marks = [(k, old) for k, old in self._marks if old.steps % stride == 0]
        if mark.steps % stride == 0:
            self._marks.append((self._marked, mark))
            self._marked += 1

    def _stride(self, last: Control) -> int:
        """The least power of two such that one mark in so many steps is few enough."""
        most = MARKED_BYTES // max(self._state_bytes + last.watch.nbytes, 1)
        most, stride = min(max(most, 2), MOST_MARKS), 1
        while last.steps // stride >= most:
            stride *= 2
        return stride

    def close(self, status: Status, stats: dict[str, Any]) -> None:
        self.status, self.stats = status, stats

    def not_written(self, error: OSError | None) -> None:
        """End as a run whose file the system refused."""
        self.status, self.note = Status.NOT_WRITTEN, f"{self.note} {error}.".strip()

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
    def observed(self) -> dict[str, Array]:
        """What was observed, (n, …) by name; "test_loss" and others for data named "test"."""
        return {name: np.array(values) for name, values in self._observed.items()}

    @property
    def saved_s(self) -> Array:
        """Training times of the saved states."""
        return np.array(self._saved_s)

    @property
    def initial(self) -> Any:
        """ρ_0."""
        return self._rho.with_state(self._marks[0][1].state)  # the first one is never dropped

    @property
    def final(self) -> Any:
        """The measure at the last accepted step."""
        return self._rho.with_state(self.control.state)

    @property
    def success(self) -> bool:
        """Whether the run did what it was asked to."""
        return self.status.success

    @property
    def message(self) -> str:
        """How the run ended (the remedy, where it failed), what was chosen, and ``error``."""
        parts = [self.status.text, self.note]
        if self.stats.get("exchanges"):
            parts.append(EXCHANGED.format(self.stats["exchanges"]))
        if self.stats.get("concave") and any(map(self.stats.get, SYSTEMS)):
            parts.append(CONCAVE.format(self.stats["concave"]))
        if self.errors is not None:
            at_most = f"{self.errors.loss.max():.1e} of it, of θ at {self.errors.state.max():.1e}"
            parts.append(f"Whole run: error of the loss estimated at most at {at_most}.")
        elif self.error is not None:
            parts.append(f"Fixed steps: error of the loss estimated at {self.error:.1e} of it.")
        elif self.control.rise > MAGNIFIED:
            parts.append(
                f"|grad E| grew {self.control.rise:.0f}-fold on the way, which magnifies errors "
                "made before: they may be far above rtol; global_error=True estimates how far."
            )
        return " ".join(part for part in parts if part)

    @property
    def error(self) -> float | None:
        """The error of the last loss, relative to it, that the run is estimated to have made.

        With fixed steps the sum of errors of single steps, by step doubling, or what they come to
        as shifts in time, whichever is more (``mfpde.flows.accuracy``); with
        ``global_error=True`` what a companion at ten times the tolerance shows, see ``errors`` for
        the same along s; None for other runs, whose method controls the error of each step.
        """
        if self.errors is not None:
            return float(self.errors.loss[-1])
        return self.fixed_error if self.options.step is not None else None

    @property
    def fixed_error(self) -> float:
        """What errors of fixed steps have come to, relative to the last E."""
        (energy,), (norm2,) = self.latest("energy", 1), self.latest("gradient_norm2", 1)
        late = self.control.late * min(self.control.rise, ACROSS)
        return max(self.control.drift, late * norm2 / abs(energy) if energy else 0.0)

    @checks.typed
    def at(self, s: float) -> Any:
        """ρ_s, at any s of the run.

        At the end and at saved times (of runs that save all coordinates) it is the state that was
        kept. Elsewhere the run is taken up
        at the nearest earlier of at most 64 states that it keeps to start from again, goes its
        own steps, and makes a shorter last one to s: at an accepted step that is what the run
        passed through, bit for bit at the same thread count, and between two steps it is as
        accurate as the run. The price is at most one part in 32 of the run; states of more than
        a megabyte are kept more sparsely, 64 MB of them. Ask for the times you need by
        ``solve(..., save=times)``, or keep every step by ``save="steps"``.

        Raises ValueError for s outside [0, s_last].
        """
        last = self.control.s
        if not 0.0 <= s <= last:
            raise ValueError(f"s must be in [0, {last:g}], the run's range; given {s!r}")
        if s == last:
            return self.final
        if s in (whole := self._whole_states):
            return self._rho.with_state(whole[s])
        mark = [mark for _, mark in self._marks if mark.s <= s][-1]
        return self._rho.with_state(type(self).replay(self, mark, float(s)))

    # -- files ----------------------------------------------------------------------------------

    @checks.typed
    def save(self, path: PathLike) -> None:
        """Write a run file (HDF5), atomically: a reader sees the old file or the new one.

        Raises OSError where it cannot be written.
        """
        run_file.save(self.record_of_all(), path)

    @classmethod
    @checks.typed
    def load(cls, path: PathLike, *, block: Any = None) -> Solution:
        """Read a run file; a block the package does not know is handed over as ``block``.

        Raises FileNotFoundError for a missing file, ValueError for one that is torn, damaged, no
        run file, at odds with itself, or of another block.
        """
        found = run_file.load(path, FORMAT)
        with run_file.naming(Path(path)):
            return read(cls, found, block)

    def record_of_all(self) -> Record:
        """All that a run file holds of the run."""
        control, (fixed, fixed_arrays) = self.control, self._fixed
        observed = {"observed/" + name: values for name, values in self._observed.items()}
        return Record(
            FORMAT,
            {**fixed, "options": asdict(self.options), "versions": stored_problem.versions()},
            {
                "status": self.status.name,
                "control": control.plain(),
                "note": self.note,
                "stats": self.stats,
            },
            fixed_arrays,
            {"control/watch": control.watch, **self._unsaved(), **self._estimated()},
            {
                **{"series/" + name: values for name, values in self._series.items()},
                **observed,
                "states/s": self._saved_s,
                "states/values": self.states,
                **self._marks_as_rows(),
            },
        )

    @cached_property
    def _fixed(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a run file holds of problem and measure."""
        problem, arrays = stored_problem.write(self.problem)
        measure, fixed = self._rho.spec()
        own = {"measure/fixed/" + name: array for name, array in fixed.items()}
        observe, data = self.observers.written()
        kind = {"kind": self._rho.kind, **measure}
        return {**problem, "measure": kind, "observe": observe}, {**arrays, **own, **data}

    def _unsaved(self) -> dict[str, NDArray[Any]]:
        """The present state, where it is not the last of the saved ones."""
        return {} if self.control.s in self._whole_states else {"measure/state": self.control.state}

    def _estimated(self) -> dict[str, NDArray[Any]]:
        found = {} if self.errors is None else self.errors._asdict()
        return {"errors/" + name: values for name, values in found.items()}

    def _marks_as_rows(self) -> dict[str, Thinned]:
        saved = self._whole_states  # which are in the file already
        own = [(k, mark) for k, mark in self._marks if mark.s not in saved]
        rows: dict[str, list[tuple[int, Any]]] = {
            "plain": [(k, json.dumps(mark.plain()).encode()) for k, mark in self._marks],
            "watch": [(k, mark.watch) for k, mark in self._marks],
            "state": [(k, mark.state) for k, mark in own],
        }
        return {"marks/" + name: Thinned(values, self._marked) for name, values in rows.items()}

    def plot(self) -> Figure:
        """Loss, gradient norm, what was observed over training time, as a matplotlib figure."""
        return plots.training(self)

    def animate(
        self,
        path: PathLike,
        coordinates: tuple[int, int] = (0, 1),
        *,
        t: ArrayLike = 0.5,
        frames: int = plots.FRAMES,
        fps: int = plots.RATE,
    ) -> Path:
        """Write the run as a moving picture (.gif, .webp, .png, .mp4); see ``plots.animate``."""
        return plots.animate(self, path, coordinates, t=t, frames=frames, fps=fps)

    def to_xarray(self) -> Any:
        """Series and saved states as an ``xarray.Dataset`` (needs the extra ``xarray``).

        Of θ it holds the coordinates that were saved.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'mfpde[xarray]'") from None
        series: dict[str, Any] = {name: ("s", getattr(self, name)) for name in SERIES[1:]}
        for name, values in self.observed.items():
            series[name] = (("s", *(f"{name}_{k}" for k in range(values.ndim - 1))), values)
        names = self.options.coordinates or self.problem.block.coordinates
        variables, axes = self._rho.labelled(np.array(self.states), names)
        coordinates = {"s": self.s, "saved_s": self.saved_s, **axes}
        return xarray.Dataset({**series, **variables}, coordinates, {"status": self.status.name})

    def _repr_html_(self) -> str:
        """A small table and the loss as a sparkline, for notebooks."""
        if not self._series["s"]:
            return tables.card("Solution", {"status": "not started"})
        rows = {
            "status": f"{self.status.name}: {self.status.text}",
            "s": self.s[-1],
            "loss": self.loss[-1],
            "|grad E|²": self.gradient_norm2[-1],
            "steps": f"{self.control.steps} of {self.options.method}",
        }
        return tables.card("Solution", rows, tables.sparkline(self.loss, label="loss over steps"))

    def __repr__(self) -> str:
        if not self._series["s"]:
            return "Solution(not started)"
        return (
            f"Solution({self.status.name}: s = {self.s[-1]:.6g}, loss = {self.loss[-1]:.3e} after "
            f"{self.control.steps} steps of {self.options.method!r})"
        )
