"""What fixed steps err by, estimated beside them, and the default step that this allows.

A step of length h is compared with two of h/2 from the same point: the difference of E, times
2^p/(2^p − 1), is the error of E that the step makes. Its sum along the run, relative to E, is what
a run reports; that the flow damps some early errors and magnifies others is left out. The first
steps are all looked at, later ones now and then, for a fifth of the work.
"""

from __future__ import annotations

from typing import Any

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


def of_step(flow: Flow, scheme: Scheme, point: Point, end: Any, h: float) -> float:
    """The error of E at the end of one step, relative to E there."""
    middle = scheme.step(flow, point, 0.5 * h).point
    if not middle.finite:
        return float("inf")
    fine = scheme.step(flow, middle, 0.5 * h).point
    scale = 2.0**scheme.order / (2.0**scheme.order - 1.0)
    gap = abs(end.energy - fine.energy)
    if not fine.finite or not end.finite:
        return float("inf")
    return float(scale * gap / abs(fine.energy)) if gap > 0.0 else 0.0


def longest_step(flow: Flow, scheme: Scheme, point: Point, h: float, s_end: float) -> float:
    """The step of at most h whose errors, as large as the first, add up to the stated accuracy."""
    falling = HORIZON * abs(point.energy) / point.norm2 if point.norm2 > 0.0 else s_end
    time = min(s_end, falling)
    for _ in range(8):
        found = of_step(flow, scheme, point, scheme.step(flow, point, h).point, h)
        beside = found * max(time / h, 1.0) / (STATED if scheme.order == 1 else SPARE * STATED)
        if beside <= 1.0:
            return h
        h *= min(max(0.8 * beside ** (-1.0 / scheme.order), 0.1), 0.7)
    return h
