"""The loop around a method at one τ, and the continuation over levels c·τ, c·r with c falling to 1.

ν ∝ e^{−r/τ} does not depend on c, and V changes slowly with it: a level starts at the Gibbs state
of the V of the level above. The ratio of two levels follows from the iterations that one took.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from mfpde.entropic.free_energy import Point
from mfpde.entropic.result import Iterate, Stationary
from mfpde.runs.observers import Observers
from mfpde.runs.progress import track
from mfpde.runs.status import Status

NEAR = 0.5  # total variation between ν and the Gibbs state of the start's V at the first level
FIRST_RATIO = 4.0
ROUGH = 1e-2  # the tolerance of the levels before the last
MOST = 25  # iterations that a level before the last may take
FEW = 4  # a level that took no more lets the ratio grow
GROWTH = 2.0  # of log(ratio), and its inverse where a level fails
SMALLEST = 1.02


class Method(Protocol):
    """One iteration; None where no step lowers J."""

    def advance(self, point: Point) -> Point | None: ...


Maker = Callable[[], Method]


class Run:
    """A method with its tolerance, and the history of what it did."""

    def __init__(
        self,
        make: Maker,
        tol: float,
        max_steps: int,
        progress: bool | str,
        observers: Observers,
    ) -> None:
        self.observers = observers
        self._observed: list[dict[str, Any]] = []
        self.make, self.tol, self.most, self.progress = make, tol, max_steps, progress
        self.history: list[Iterate] = []
        self.iterations = 0

    def level(self, point: Point, tol: float, most: int) -> tuple[Point, Status]:
        """Iterate at the factor of ``point``, to ``tol`` or for ``most`` iterations."""
        method = self.make()
        self._record(point)
        for _ in track(range(most), "stationary", self.progress):
            if point.distance <= tol:
                break
            after = method.advance(point)
            if after is None:
                return point, Status.STALLED
            if not np.isfinite(after.objective):
                return point, Status.NON_FINITE
            point = after
            self.iterations += 1
            self._record(point)
        return point, Status.CONVERGED if point.distance <= tol else Status.NOT_CONVERGED

    def _record(self, point: Point) -> None:
        free = point.free
        row = (free.factor, point.objective, point.distance)
        self.history.append(Iterate(*row, free.work["forward"], free.work["adjoint"]))
        if self.observers:
            self._observed.append(self.observers(free.measure(point)))

    def result(self, point: Point, status: Status) -> Stationary:
        rho = point.free.measure(point)
        problem = point.free.problem
        energy = problem.temperature * float(rho.depth.weights @ rho.entropy())
        energy += point.fit + rho.integrate(problem.penalty.value(rho.grid.points))
        seen = {name: np.array([one[name] for one in self._observed]) for name in self._names}
        return Stationary(
            problem=problem,
            final=rho,
            status=status,
            fit=point.fit,
            kl=point.kl,
            J=point.objective,
            energy=energy,
            residual=point.distance,
            iterations=self.iterations,
            history=tuple(self.history),
            observed=seen,
        )

    @property
    def _names(self) -> list[str]:
        return list(self._observed[0]) if self._observed else []


def follow(run: Run, start: Point) -> tuple[Point, Status]:
    """The state of factor 1, by levels from where the data hardly count."""
    point, factor, ratio, lower = start, np.inf, FIRST_RATIO, _first(start)
    while factor > 1.0:
        before = run.iterations
        limits = (ROUGH, MOST) if lower > 1.0 else (run.tol, run.most)
        found, status = run.level(_carried(point, lower), *limits)
        if status.success:
            point, factor = found, lower
            ratio **= GROWTH if run.iterations - before <= FEW else 1.0
        elif factor < np.inf and ratio > SMALLEST:
            ratio **= 1.0 / GROWTH
        else:
            return start.free.at(point.logs), status
        lower = max(1.0, factor / ratio)
    return point, status


def _first(start: Point) -> float:
    """The smallest power of 2 at which the Gibbs state of the start's V is NEAR ν."""
    factor = 1.0
    prior = np.exp(start.free.gibbs(np.zeros_like(start.logs)))
    while True:
        level = start.free.tempered(factor)
        apart = 0.5 * np.abs(np.exp(level.gibbs(start.potential)) - prior).sum(axis=1).max()
        if apart <= NEAR:
            return factor
        factor *= 2.0


def _carried(point: Point, factor: float) -> Point:
    """Where a level starts: the Gibbs state of V, or the same masses if J is lower there."""
    level = point.free.tempered(factor)
    carried, kept = level.at(level.gibbs(point.potential)), level.at(point.logs)
    return carried if carried.objective <= kept.objective else kept
