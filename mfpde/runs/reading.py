"""A run out of its file: a ``Solution`` again, once it makes sense."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mfpde.measures import MEASURES
from mfpde.runs import stored_problem
from mfpde.runs.control import SERIES, Control, Errors
from mfpde.runs.observers import Observers
from mfpde.runs.options import Options
from mfpde.runs.run_file import Record
from mfpde.runs.status import Status


def read(kind: Any, found: Record, block: Any) -> Any:
    """The solution of a record that makes sense."""
    config, arrays = found.config, found.arrays
    problem = stored_problem.read(found.fixed, arrays, block)
    rows, measure = found.rows, dict(found.fixed["measure"])
    options = _options(found.fixed["options"])
    whole = not options.coordinates
    saved = dict(zip(rows["states/s"], rows["states/values"], strict=True)) if whole else {}
    s = config["control"]["s"]
    state = saved[s] if s in saved else arrays["measure/state"]
    fixed = {
        name.removeprefix("measure/fixed/"): array
        for name, array in arrays.items()
        if name.startswith("measure/fixed/")
    }
    rho = MEASURES[measure.pop("kind")].from_spec(measure, fixed, state)
    control = Control.of(config["control"], state, arrays["control/watch"])
    observers = Observers.read(problem, found.fixed["observe"], arrays)
    solution = kind(problem, rho, options, control, config["note"], observers)
    solution._observed = {
        name.removeprefix("observed/"): list(values)
        for name, values in rows.items()
        if name.startswith("observed/")
    }
    for row in zip(*(rows["series/" + name] for name in SERIES), strict=True):
        solution.record(*row)
    solution._saved_s, solution.states = list(rows["states/s"]), list(rows["states/values"])
    for mark in _marks(rows, saved):
        solution._keep_mark(mark)
    if "errors/s" in arrays:
        solution.errors = Errors(*(arrays["errors/" + name] for name in Errors._fields))
    solution.close(Status[config["status"]], config["stats"])
    _check(solution)
    return solution


def _options(told: dict[str, Any]) -> Options:
    lists = {name: tuple(told[name]) for name in ("times", "coordinates")}
    return Options(**{**told, **lists})


def _marks(rows: Mapping[str, Sequence[Any]], saved: Mapping[Any, Any]) -> Iterator[Control]:
    """The controls that the run kept, of Python's own numbers as it made them."""
    others = iter(rows["marks/state"])
    for text, watch in zip(rows["marks/plain"], rows["marks/watch"], strict=True):
        plain = json.loads(text)
        state = saved[plain["s"]] if plain["s"] in saved else next(others)
        yield Control.of(plain, state, watch)


def _check(solution: Any) -> None:
    """Raise ValueError for a run that could not have been written."""
    s, control = solution.s, solution.control
    marks = [mark for _, mark in solution._marks]
    for one in (control, *marks):
        numbers = (one.s, one.h, one.rate)
        if not np.all(np.isfinite(numbers)) or one.s < 0 or one.h <= 0 or one.rate < 0:
            raise ValueError(f"no run goes on from s = {one.s}, h = {one.h}, rate {one.rate}")
        if one.state.shape != control.state.shape or not np.all(np.isfinite(one.state)):
            raise ValueError(f"the state at s = {one.s:g} is not finite, or of another shape")
    chosen = solution._chosen(control.state).shape
    if {state.shape for state in solution.states} - {chosen}:
        raise ValueError(f"the saved states are not all of the shape {chosen}")
    if len(solution.states) != len(solution._saved_s):
        raise ValueError(f"{len(solution.states)} states at {len(solution._saved_s)} times")
    order = [s, solution.saved_s, np.array([mark.s for mark in marks])]
    if any(np.any(~(np.diff(values) > 0)) or values[:1] != 0.0 for values in order):
        raise ValueError("training times do not rise from 0")
    if any(len(values) != len(s) for values in solution.observed.values()):
        raise ValueError("what was observed is not as long as the other series")
    if len(s) != control.steps + 1 or s[-1] != control.s:
        raise ValueError(
            f"{control.steps} steps to s = {control.s:g} contradict {len(s)} records to "
            f"{s[-1] if s.size else np.nan:g}"
        )
