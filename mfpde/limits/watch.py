"""What ``observe`` asks of a limit: scores on other data and own functions along s, with bars."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import mark_of, predict
from mfpde.limits.run import Series, rms
from mfpde.problem import Problem
from mfpde.runs.observers import Observe, Observers

Array = NDArray[np.float64]
Told = dict[str, Array]


class Watch:
    """Reads runs, and says what their averages mean.

    Of data (x, y) outputs are averaged and scored afterwards; functions of (problem, measure) are
    averaged themselves.
    """

    def __init__(self, problem: Problem, observe: Observe | None) -> None:
        found = Observers(problem, observe)
        self.data = found.data
        self._functions = Observers(problem, found.functions)
        self._problem = problem

    def __bool__(self) -> bool:
        return bool(self.data or self._functions)

    def names(self) -> list[str]:
        """Of data and of functions."""
        return [*(f"data {name}" for name in self.data), *self._functions.functions]

    def read(self, rho: Any) -> dict[str, Array]:
        """Outputs on other data and values of functions at one measure."""
        outputs = {name: predict(self._problem, rho, data.x) for name, data in self.data.items()}
        return outputs | {name: np.asarray(v) for name, v in self._functions(rho).items()}

    def told(self, series: Series) -> Told:
        """The series that users see, each (n, ...)."""
        found: Told = {}
        for name, data in self.data.items():
            z = series.watched[name]
            fit = np.array([data.fit(each) for each in z]) + series.penalty
            marks = [mark_of(data, each) for each in z]
            found |= {f"{name}_loss": fit, f"{name}_{marks[0][0]}": np.array([m for _, m in marks])}
        return found | {name: series.watched[name] for name in self._functions.functions}

    def outputs(self, series: Series) -> Told:
        """The outputs on other data, (n, N, k)."""
        return {name: series.watched[name] for name in self.data}

    def doubts(self, series: Series, errors: dict[str, Array]) -> Told:
        """The share of data whose class outputs with these errors (n, N, k) may change, (n,).

        Accuracies of two runs may agree although outputs near a border do not settle them. No
        output is taken to be surer than all of them in the root mean square.
        """
        found = {}
        for name, data in self.data.items():
            sign = np.where(data.y > 0.0, 1.0, -1.0)
            z, e = series.watched[name], errors[name]
            e = np.maximum(e, rms(e)[:, None, None])
            ends = [
                [mark_of(data, each) for each in z + side * e * sign] for side in (-1.0, 0.0, 1.0)
            ]
            if ends[0][0][0] == "accuracy":
                worst, here, best = (np.array([m for _, m in end]) for end in ends)
                found[f"{name}_accuracy"] = np.maximum(best - here, here - worst)
        return found
