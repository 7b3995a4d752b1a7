"""What fixed steps err by, estimated beside them, and the default step that this allows.

A step of length h is compared with two of h/2 from the same point: the difference of E, times
2^p/(2^p − 1), is the error ΔE of E that the step makes, and so for the states, Δθ. A run reports
the larger of two sums. One is that of ΔE/E, which knows nothing of what becomes of errors. The
other takes each for a shift in time, |Δθ|/|grad E|, which a flow neither damps nor magnifies: at
any later s it is an error of E of |grad E|² times the shift, small on a plateau and large where the
flow leaves one. Errors across the path grow more there: at the exits of plateaus of five problems
the true error was .1 to 3.8 times this one, which counts up to three times (``Solution.error``).
The first steps are all looked at, later ones now and then, for a fifth of the work.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mfpde.flows.flow import Flow, Point
from mfpde.runs.step import Scheme

# The default step keeps the estimate below this; a run whose estimate is beyond says so.
STATED = 0.05
# Share of it that the first steps of methods of higher order aim at, for the flow magnifies errors:
# it costs them little.
SPARE = 0.1
# Steps at the start that are all looked at, and steps from one look to the next after them.
FIRST, EVERY = 40, 10
# Times E/|grad E|², the fall of E at its present rate, after which the first step says no more.
HORIZON = 5.0


def steps_answered(steps: int) -> int:
    """For how many steps a look at this one answers: 0 where none is taken."""
    if steps < FIRST:
        return 1
    return EVERY if steps % EVERY == 0 else 0


class Erred(NamedTuple):
    """An error of E, relative to it, and the shift in time that makes it."""

    relative: float
    shift: float


def of_step(flow: Flow, scheme: Scheme, point: Point, end: Any, h: float) -> Erred:
    """What E errs by at the end of one step."""
    middle = scheme.step(flow, point, 0.5 * h).point
    if not middle.finite:
        return Erred(np.inf, np.inf)
    fine = scheme.step(flow, middle, 0.5 * h).point
    scale = 2.0**scheme.order / (2.0**scheme.order - 1.0)
    if not fine.finite or not end.finite:
        return Erred(np.inf, np.inf)
    gap = float(scale * abs(end.energy - fine.energy))
    apart = scale * flow.norm(end.state - fine.state)
    return Erred(_over(gap, abs(fine.energy)), _over(apart, float(np.sqrt(end.norm2))))


def _over(gap: float, size: float) -> float:
    """The quotient, 0 where there is no gap, inf over nothing."""
    return 0.0 if gap == 0.0 else gap / size if size > 0.0 else np.inf


def longest_step(flow: Flow, scheme: Scheme, point: Point, h: float, s_end: float) -> float:
    """The step of at most h whose errors, as large as the first, add up to the stated accuracy."""
    falling = HORIZON * abs(point.energy) / point.norm2 if point.norm2 > 0.0 else s_end
    time = min(s_end, falling)
    for _ in range(8):
        found = of_step(flow, scheme, point, scheme.step(flow, point, h).point, h)
        error = max(found.relative, _over(found.shift * point.norm2, abs(point.energy)))
        beside = error * max(time / h, 1.0) / (STATED if scheme.order == 1 else SPARE * STATED)
        if beside <= 1.0:
            return h
        h *= min(max(0.8 * beside ** (-1.0 / scheme.order), 0.1), 0.7)
    return h
