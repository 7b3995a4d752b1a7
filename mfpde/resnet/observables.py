"""What a run looks like from outside while it trains: snapshots, and observables of them.

In ``observe`` of ``mfpde.resnet.train`` an entry is an observable or other data (x, y).

An observable is any function of a snapshot that returns an array whose first axis is the S
networks; what it says of one network must not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.evaluate import scores_of
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem

Array = NDArray[Any]


class Snapshot:
    """S networks at training time ``s``: loss (S,), outputs (S, N, k), θ and initial θ.

    ``theta`` and ``initial`` are (S, L, M, p) and must not be written to; they come from the
    device when first asked for.
    """

    def __init__(
        self,
        problem: Problem,
        s: float,
        loss: Array,
        outputs: Callable[[], Array],
        theta: Callable[[], Array],
        initial: Array,
    ) -> None:
        self.problem, self.s, self.loss, self.initial = problem, s, loss, initial
        self._outputs, self._theta = outputs, theta

    @cached_property
    def outputs(self) -> Array:
        """B X(1) on all data, (S, N, k)."""
        return self._outputs()

    @cached_property
    def theta(self) -> Array:
        """Parameters, (S, L, M, p)."""
        return self._theta()

    def measures(self) -> list[ParticleMeasure]:
        """The networks as measures of Euler depth."""
        return [ParticleMeasure(one, Depth(len(one), "euler")) for one in self.theta]


Observable = Callable[[Snapshot], Any]
Observables = Mapping[str, Observable]


def outputs(state: Snapshot) -> Array:
    """B X(1) on all data, (S, N, k)."""
    return state.outputs


def displacement(state: Snapshot) -> Array:
    """Root mean square of |θ − θ_0| over layers and particles, (S,)."""
    return np.sqrt(np.square(change_per_layer(state)).mean(axis=-1))


def change_per_layer(state: Snapshot) -> Array:
    """Root mean square of |θ − θ_0| over the particles of each layer, (S, L)."""
    change = state.theta - state.initial
    return np.sqrt(np.square(change).sum(axis=-1).mean(axis=-1))


def largest_jump(state: Snapshot) -> Array:
    """max_l |Θ_{l+1} − Θ_l|, Frobenius norms over the particles divided by √M, (S,).

    0 for a single layer. Sharing initial weights over depth makes it O(1/L): Marion et al. 2024.
    """
    jumps = np.diff(state.theta, axis=1)
    size = np.sqrt(np.square(jumps).sum(axis=-1).mean(axis=-1))
    return size.max(axis=1, initial=0.0)


def distance_to(
    limit: Callable[[float], Any], *, method: Any = "auto", workers: int | None = 1
) -> Observable:
    """Observable (S,): COT distance to ``limit(s)``, the limit's measure at the same time.

    In the metric of the problem's rates.

    ``limit`` is for instance ``solution.at`` of a solved flow; ``method`` is one of
    ``mfpde.cot_distance``.
    """

    def distance(state: Snapshot) -> Array:
        from mfpde.transport import cot_distance

        target = limit(state.s)
        return np.array(
            [
                cot_distance(
                    mine, target, rates=state.problem.rates, method=method, workers=workers
                )
                for mine in state.measures()
            ]
        )

    return distance


def expanded(problem: Problem, observe: Mapping[str, Any] | None) -> Observables:
    """Observables by name, data (x, y) named "test" as the scores of the networks on them.

    Raises ValueError or TypeError, which names the entry, for what is neither.
    """
    found: dict[str, Observable] = {}
    for name, what in (observe or {}).items():
        if callable(what):
            found[name] = what
            continue
        if not isinstance(what, tuple | list) or len(what) not in (2, 3):
            raise TypeError(
                f"observe[{name!r}] must be data (x, y), or a function of a Snapshot; given "
                f"{checks.brief(what)}"
            )
        try:
            other = problem.on(*what)
        except (TypeError, ValueError) as error:
            raise type(error)(f"observe[{name!r}]: {error}") from None
        found |= _scores(name, other)
    return found


def _scores(name: str, other: Problem) -> Observables:
    """The scores of networks on other data, one pass through them for all scores."""
    latest: list[Any] = [None, None]

    def of(score: str) -> Observable:
        def value(state: Snapshot) -> Array:
            if latest[0] is not state:
                latest[:] = state, [scores_of(other, one) for one in state.measures()]
            return np.array([one[score] for one in latest[1]])

        return value

    second = "rmse" if other.loss.correct(other.y, other.y) is None else "accuracy"
    return {f"{name}_{score}": of(score) for score in ("loss", second)}


def observe(observables: Observables, state: Snapshot) -> dict[str, Array]:
    """All observables of one snapshot; ValueError where one does not answer for each network."""
    found = {}
    for name, function in observables.items():
        value = np.asarray(function(state))
        if value.ndim == 0 or len(value) != len(state.loss):
            raise ValueError(
                f"observe[{name!r}] must return an array with first axis {len(state.loss)}, "
                f"one entry for each network; it returned shape {value.shape}"
            )
        found[name] = value.copy()
    return found
