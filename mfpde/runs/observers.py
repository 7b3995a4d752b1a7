"""What is recorded of a run beside its own series: scores on other data, functions of ρ_s."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.evaluate import scores_of
from mfpde.problem import Problem

Array = NDArray[np.float64]

Observe = Mapping[str, Any]  # a name ↦ (x, y), (x, y, weights), or a function of (problem, ρ)

# Names that series and states of a run have in pictures and labelled arrays.
TAKEN = (
    "s", "loss", "energy", "gradient_norm2", "step", "saved_s", "theta", "weights", "mass", "t",
    "coordinate", "particle", "block",
)  # fmt: skip

SCORES = ("loss", "accuracy", "rmse")  # what ``mfpde.evaluate`` may give


class Observers:
    """What ``observe`` asks for; called with a measure, the values of all its series by name.

    Data (x, y) named "test" are the series "test_loss" and "test_accuracy" or "test_rmse"
    (``mfpde.evaluate``); a function of (problem, measure) that returns a number or an array, always
    of one shape, is the series of its name.

    Raises ValueError or TypeError, which names the entry, for anything else.
    """

    def __init__(
        self, problem: Problem, observe: Observe | None, taken: Sequence[str] = TAKEN
    ) -> None:
        self.problem = problem
        self.data: dict[str, Problem] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for name, what in (observe or {}).items():
            self._add(_name(name, (*taken, *problem.block.coordinates)), what)
        for name in self.data:
            if both := {f"{name}_{score}" for score in SCORES} & set(self.functions):
                raise ValueError(f"observe[{name!r}] has a series {min(both)!r} of its own already")

    def _add(self, name: str, what: Any) -> None:
        if isinstance(what, tuple | list) and len(what) in (2, 3):
            try:
                self.data[name] = self.problem.on(*what)
            except (TypeError, ValueError) as error:
                raise type(error)(f"observe[{name!r}]: {error}") from None
        elif callable(what):
            _check_arguments(name, what)
            self.functions[name] = what
        else:
            raise TypeError(
                f"observe[{name!r}] must be data (x, y), or a function of (problem, measure); "
                f"given {checks.brief(what)}"
            )

    def __bool__(self) -> bool:
        return bool(self.data or self.functions)

    def __call__(self, rho: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, other in self.data.items():
            found |= {f"{name}_{score}": value for score, value in scores_of(other, rho).items()}
        for name, function in self.functions.items():
            try:
                value = function(self.problem, rho)
            except Exception as error:
                error.add_note(f"raised by observe[{name!r}]")
                raise
            found[name] = self._value(name, value)
        return found

    def _value(self, name: str, value: Any) -> Any:
        try:
            array = np.array(checks.numeric(name, value), dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"observe[{name!r}] must return a number or an array of numbers; it returned "
                f"{checks.brief(value)}"
            ) from None
        shape = self._shapes.setdefault(name, array.shape)
        if array.shape != shape:
            raise ValueError(
                f"observe[{name!r}] must always return one shape; it returned {array.shape} after "
                f"{shape}"
            )
        return array if array.ndim else float(array)

    # -- run files --------------------------------------------------------------------------------

    def written(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a run file holds of it: names, and data; the code of functions is not in it."""
        arrays = {}
        for name, other in self.data.items():
            parts = {"x": other.x, "y": other.y, "weights": other.weights}
            own = {f"observe/{name}/{key}": a for key, a in parts.items() if a is not None}
            arrays.update(own)
        return {"data": list(self.data), "functions": list(self.functions)}, arrays

    @classmethod
    def read(
        cls, problem: Problem, names: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> Observers:
        """What ``written`` says, its functions named but missing."""
        parts = ("x", "y", "weights")
        keys = {name: [f"observe/{name}/{part}" for part in parts] for name in names["data"]}
        found = cls(problem, {n: [arrays[k] for k in ks if k in arrays] for n, ks in keys.items()})
        found.functions = dict.fromkeys(names["functions"], _missing)
        return found

    def take(self, observe: Observe | None) -> None:
        """Hand the functions of a loaded run over again.

        Raises ValueError where ``observe`` does not hold just these.
        """
        given = dict(observe or {})
        if set(given) != set(self.functions):
            raise ValueError(
                f"observe must hold the run's own functions, {sorted(self.functions)}, whose code "
                f"is not in the file (its data are); given {sorted(given)}"
            )
        self.functions = {name: given[name] for name in self.functions}


def _check_arguments(name: str, function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        raise TypeError(
            f"observe[{name!r}] must be a function of (problem, measure): {error}"
        ) from None
    except ValueError:  # a function of C that does not tell
        return


def _missing(problem: Problem, rho: Any) -> Any:
    raise ValueError("observe: a function of the run was not handed over")


def _name(name: Any, taken: Sequence[str]) -> str:
    if not isinstance(name, str) or not name.isidentifier() or name in taken:
        raise ValueError(
            f"observe must have names that are Python identifiers and none of {', '.join(taken)}; "
            f"given {name!r}"
        )
    return name
