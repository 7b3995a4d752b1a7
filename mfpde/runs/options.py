"""What a user may ask of ``solve``, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfpde import checks
from mfpde.optimizers import named, spec_of
from mfpde.runs.step import Scheme

FASTEST = 1e6  # rate of birth and death beside a transport of rate 1
LATEST = 1e15  # beyond it a step below 1/8 is lost in the rounding of s
MOST_STEPS = 10**9  # of fixed length: days of work for the smallest problem

Save = None | str | int | Sequence[float]


@dataclass(frozen=True)
class Options:
    """Checked options of one run; ``times`` are the save times in (0, s_end].

    ``coordinates`` are the names of those that saved states hold, () for all.
    """

    s_end: float
    method: str
    rtol: float
    atol: float
    step: float | None
    loss_below: float | None
    every_step: bool
    times: tuple[float, ...]
    coordinates: tuple[str, ...]
    vanishing_decay: float
    reaction: float
    max_steps: int
    global_error: bool
    optimizer: dict[str, Any] | None = None
    loosened: float = 1.0  # rtol over that of the run which this one accompanies

    @property
    def served(self) -> float:
        """The tolerance that methods are chosen for: a companion goes by those of its run."""
        return self.rtol / self.loosened

    @classmethod
    def check(
        cls,
        schemes: Mapping[str, Scheme],
        *,
        s_end: Any,
        method: Any,
        rtol: Any,
        atol: Any,
        step: Any,
        loss_below: Any,
        save: Save,
        coordinates: Any,
        known: Sequence[str],
        vanishing_decay: Any,
        reaction: Any,
        max_steps: Any,
        global_error: bool,
        optimizer: Any = None,
    ) -> Options:
        """Options, or one error that names the argument."""
        checks.choice("method", method, ("auto", *schemes))
        unbounded = loss_below is not None and s_end == np.inf
        end = np.inf if unbounded else until(s_end)
        fixed = method in schemes and not schemes[method].adaptive
        if step is not None and not fixed:
            raise ValueError(
                f"step must be None with method={method!r}, which chooses its own{_fixed(schemes)}"
            )
        if step is not None and np.isfinite(end):
            _check_work(end, checks.positive("step", step))
        return cls(
            s_end=end,
            method=method,
            rtol=_tolerance(rtol),
            atol=checks.positive("atol", atol, zero=True),
            step=None if step is None else checks.positive("step", step),
            loss_below=None if loss_below is None else checks.positive("loss_below", loss_below),
            every_step=isinstance(save, str),
            times=_times(save, end),
            coordinates=_coordinates(coordinates, known, save),
            vanishing_decay=checks.positive("vanishing_decay", vanishing_decay, zero=True),
            reaction=_reaction(reaction),
            max_steps=checks.count("max_steps", max_steps),
            global_error=bool(global_error),
            optimizer=None if optimizer is None else spec_of(named(optimizer)),
        )


def _reaction(rate: Any) -> float:
    value = checks.positive("reaction", rate, zero=True)
    if value > FASTEST:
        raise ValueError(f"reaction must be at most {FASTEST:g}; given {rate!r}")
    return value


def _check_work(end: float, step: float) -> None:
    if end / MOST_STEPS > step:
        raise ValueError(
            f"s_end = {end:g} is more than {MOST_STEPS} steps of step = {step:g} away: take "
            "longer steps or an earlier end"
        )


def _fixed(schemes: Mapping[str, Scheme]) -> str:
    names = ", ".join(repr(name) for name, scheme in schemes.items() if not scheme.adaptive)
    return f"; methods of fixed step are {names}" if names else ""


def until(s_end: Any) -> float:
    """A last training time that steps can reach.

    Raises ValueError for times that are not positive, and beyond LATEST.
    """
    try:
        found = checks.positive("s_end", s_end)
        if found > LATEST:
            raise ValueError(
                f"s_end must be at most {LATEST:g}, or inf with loss_below; given {found:g}"
            )
        return found
    except ValueError:
        if s_end == np.inf:
            raise ValueError("s_end=inf needs loss_below, or the run would never end") from None
        raise


def _tolerance(rtol: Any) -> float:
    value = checks.positive("rtol", rtol)
    if not 1e-13 <= value <= 1.0:
        raise ValueError(f"rtol must be in [1e-13, 1]; given {rtol!r}")
    return value


def _coordinates(names: Any, known: Sequence[str], save: Save) -> tuple[str, ...]:
    if names is None:
        return ()
    if save is None:
        raise ValueError("coordinates says what save=... keeps of a state: give save as well")
    found = (names,) if isinstance(names, str) else tuple(names)
    for name in found:
        checks.choice("coordinates", name, known)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"coordinates must name each coordinate once; given {list(found)}")
    return found


def _times(save: Save, s_end: float) -> tuple[float, ...]:
    if save is None:
        return ()
    if isinstance(save, str):
        if save != "steps":
            raise ValueError(
                f"save must be a number of times, a list of times, 'steps' or None; given {save!r}"
            )
        return ()
    if isinstance(save, (int, np.integer)) and not isinstance(save, bool):
        if not np.isfinite(s_end):
            raise ValueError("save=<number> needs a finite s_end; give the save times themselves")
        checks.memory(f"save = {save} times", 64.0 * checks.count("save", save), "save fewer")
        return tuple(np.linspace(0.0, s_end, save + 1)[1:].tolist())
    times = np.unique(checks.array("save", save, ("n",)))
    if times.size and (times[0] < 0 or times[-1] > s_end):
        raise ValueError(
            f"save times must lie in [0, s_end={s_end:g}]; given {times[0]:g} to {times[-1]:g}"
        )
    return tuple(times[times > 0].tolist())
