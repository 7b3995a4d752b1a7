"""What depth and training time still contribute, and sizes at which that is little enough.

Both are read from runs with few particles: to leading order the error of an integrator does not
depend on how finely the law is resolved. The search checks that few were enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import predict
from mfpde.limits.gaps import ORDER_HIGH, Gap, algebraic, geometric, total
from mfpde.limits.run import Run, Series
from mfpde.limits.sizes import DEPTH_STEPS, Points, Spec
from mfpde.limits.study import Study
from mfpde.limits.watch import Told
from mfpde.problem import Problem

Array = NDArray[np.float64]

# The loosest tolerance that is compared with, and the tightest that is tried.
LOOSEST, TIGHTEST = 0.3, 1e-12
# Estimates from differences of runs are unbiased to leading order: a bar is this much longer.
MARGIN = 1.5
# Runs that share more than this part of their way step by step say nothing of their steps.
SHARED = 0.5


@dataclass(frozen=True)
class Pair:
    """``factor`` times the difference of two runs, as an error."""

    fine: Run
    coarse: Run
    factor: float

    def at(self, problem: Problem, x: Array | None) -> Array:
        """Error of each output at new points, (n, k): never below the data's RMS at the end."""
        new = [predict(problem, run.final, x) for run in (self.fine, self.coarse)]
        data = np.sqrt(np.mean(np.square(self.fine.outputs[-1] - self.coarse.outputs[-1])))
        return self.factor * np.maximum(np.abs(new[0] - new[1]), data)


@dataclass(frozen=True)
class Part:
    """One part of the error along s: ``gap``, as a sum of differences between runs."""

    gap: Gap
    pairs: tuple[Pair, ...]

    def at(self, problem: Problem, x: Array | None) -> Array:
        """Error of each output at new points, (n, k)."""
        parts = [pair.at(problem, x) for pair in self.pairs]
        floor = np.full((1, problem.outputs), 0.0 if parts else self.gap.outputs[-1])
        return floor + np.sum(parts, axis=0)

    def told(self, tell: Callable[[Series], Told]) -> Told:
        """Errors of what is read from runs, by name; none where no runs tell it."""
        found: Told = {}
        for pair in self.pairs:
            fine, coarse = tell(pair.fine), tell(pair.coarse)
            for name, value in fine.items():
                off = pair.factor * np.abs(value - coarse[name])
                found[name] = found.get(name, 0.0) + off
        return found


def part(study: Study, pairs: list[tuple[Spec, Spec, float]]) -> Part:
    """The error that is the sum of factor · |run(fine) − run(coarse)|, with a margin."""
    study.ahead(spec for a, b, _ in pairs for spec in (a, b))
    found = tuple(Pair(study.run(a), study.run(b), MARGIN * factor) for a, b, factor in pairs)
    zero = Gap(np.zeros(study.s.size), np.zeros(study.s.size))
    gaps = [study.gap(pair.fine, pair.coarse).times(pair.factor) for pair in found]
    return Part(total([zero, *gaps]), found)


def settle_time(
    study: Study, points: Points, steps: int, start: float, share: float
) -> tuple[float, Part]:
    """The loosest tolerance in steps of ten whose error is within ``share``, and that error."""
    rtol = start
    while True:
        study.announce(f"time, rtol {rtol:.0e}", [Spec(points, steps, rtol)])
        found = time_part(study, points, steps, rtol)
        tightest = rtol <= TIGHTEST
        if tightest or (found is not None and study.yardstick.size(found.gap) <= share):
            break
        rtol = max(_decade(rtol, -1), TIGHTEST)
    return rtol, found or _rounding(study, rtol)


def time_part(study: Study, points: Points, steps: int, rtol: float) -> Part | None:
    """The error of ``rtol`` from runs at 10 and 100 times it; None where steps do not tell."""
    specs = [Spec(points, steps, min(_decade(rtol, k), LOOSEST)) for k in range(3)]
    study.ahead(specs)
    fine, coarse, _ = (study.run(spec) for spec in specs)
    shared = _shared(fine.grid, coarse.grid)
    if shared > SHARED:
        return None
    last, before = (study.distance(specs[k], specs[k + 1]) for k in (0, 1))
    factor = geometric(last, before) / (1.0 - shared)
    return part(study, [(specs[0], specs[1], factor)])


def _decade(rtol: float, k: int) -> float:
    """rtol · 10^k, the same number by whichever way it is reached: runs are found by it."""
    return float(f"{rtol * 10.0**k:.2e}")


def unknown(study: Study) -> Part:
    """An error of which nothing is known yet."""
    never = np.full(study.s.size, np.inf)
    return Part(Gap(never, never), ())


def _rounding(study: Study, rtol: float) -> Part:
    """No step could be forced at the tightest tolerance: its error is the tolerance's."""
    ones = np.ones(study.s.size)
    yardstick = study.yardstick
    return Part(Gap(rtol * yardstick.loss * ones, rtol * yardstick.outputs * ones), ())


def _shared(one: Array, other: Array) -> float:
    """The part of the way that two runs cover by the very same steps."""
    steps = set(pairwise(other.tolist()))
    same = [b - a for a, b in pairwise(one.tolist()) if (a, b) in steps]
    return float(sum(same) / one[-1])


def settle_depth(
    study: Study, points: Points, start: int, rtol: float, share: float, order: float
) -> tuple[int, Part]:
    """The fewest steps from ``start`` on whose error is within ``share``, and that error."""
    for steps in DEPTH_STEPS[DEPTH_STEPS.index(start) :]:
        study.announce(f"depth, {steps} steps", [Spec(points, steps, rtol)])
        found = depth_part(study, points, steps, rtol, order)
        if study.yardstick.size(found.gap) <= share:
            break
    return steps, found


def depth_part(study: Study, points: Points, steps: int, rtol: float, order: float) -> Part:
    """The error of ``steps`` from the two sizes below it, by the order that they show.

    Where the law has jumps or kinks, so that no high ``order`` is to be expected, errors jump
    about with where the nodes lie: both differences count, each by that order.
    """
    k = DEPTH_STEPS.index(steps)
    sizes = (steps, DEPTH_STEPS[k - 1], DEPTH_STEPS[k - 2])
    specs = [Spec(points, size, rtol) for size in sizes]
    if order < ORDER_HIGH:
        return part(study, [
            (specs[0], spec, 1.0 / ((steps / size) ** order - 1.0))
            for spec, size in zip(specs[1:], sizes[1:], strict=True)
        ])  # fmt: skip
    study.ahead(specs)
    near, far = (study.distance(specs[0], spec) for spec in specs[1:])
    return part(study, [(specs[0], specs[1], algebraic(sizes, near, far))])
