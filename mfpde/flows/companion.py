"""The error of a whole run, from a companion at ten times its tolerance.

A tolerance bounds the error of each step, and nothing bounds what the flow makes of these errors:
it magnifies some. A second run from ρ_0 at ``RATIO`` rtol, by the tables and changes of method that
serve rtol, makes errors that the flow magnifies alike. Were they in proportion to the tolerance,
1/9 of the difference would be the error of the run. They are not, and the run is said to err by
all of it: by the largest difference at a time and at its neighbours, since differences change sign.
Times between the saved ones, at which the run keeps a state anyway, are looked at too, saved ones
that lie close are not; and besides the steps at which the two losses seem furthest apart.

On 23 problems (eight blocks, five losses, weight decay, s = 60 to 1000) the estimate was 2 to 71
times the largest error of E along the run at rtol 1e-3, 9 in the median; at 1e-4 and 1e-5, 1.3 to
47 times, 12 in the median. It was too low in none of the 69. At 1e-2 errors are not even of the
tolerance's order: runs so loose are refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mfpde.flows.driver import Driver
from mfpde.flows.flow import Flow
from mfpde.flows.kinds import build
from mfpde.flows.particle_flow import StateFlow
from mfpde.runs.clock import Clock
from mfpde.runs.control import Errors
from mfpde.runs.options import Options
from mfpde.runs.solution import Solution
from mfpde.runs.step import Array

RATIO = 10.0
LOOSEST = 1e-3
# At so many times a run is compared with its companion, at most, and so many steps apart, at least.
BETWEEN, FREE = 24, 8
PEAKS = 12  # and at so many steps more, where the two losses seem furthest apart


def check(flow: Flow, options: Options) -> None:
    """Raise ValueError unless the run is one whose error a looser tolerance shows."""
    if not isinstance(flow, StateFlow):
        raise ValueError("global_error needs a measure of particles or blocks, not a grid")
    if options.method != "auto" and not flow.schemes[options.method].error_order:
        raise ValueError(
            f"global_error needs a method with error control ('auto', 'rk45', 'implicit'); "
            f"method={options.method!r} estimates the error of its fixed steps by itself, sol.error"
        )
    if options.rtol > LOOSEST:
        raise ValueError(f"global_error needs rtol <= {LOOSEST:g}; given {options.rtol!r}")


def errors(solution: Solution, comm: Any = None) -> Errors:
    """What the run is estimated to err by at its saved times, its end and times between."""
    compared = _compared(solution)
    companion = _run(solution, compared, comm)
    flow = build(solution.problem, solution.initial, solution.options, Clock(), comm)
    compared = np.union1d(compared, _peaks(solution, companion))
    gaps = np.array([_gap(flow, solution, companion, float(s)) for s in compared])
    times = np.union1d(solution.saved_s, compared)
    loss, state = (_around(times, compared, values) for values in gaps.T)
    return Errors(times, loss, state)


def _compared(solution: Solution) -> Array:
    """Times to compare at: saved ones, the end, and some that the run keeps a state of anyway.

    Between two of them lie ``FREE`` steps, or the companion, which lands on them too, would be made
    to take the same steps and to make the same errors.
    """
    marks = [mark.s for _, mark in solution._marks]
    wanted = np.union1d(solution.saved_s, marks)
    steps = np.searchsorted(solution.s, wanted)
    last = len(solution.s) - 1
    stride, kept, at = max(FREE, last // BETWEEN), [0.0], 0
    for s, step in zip(wanted, steps, strict=True):
        if step - at >= stride and last - step >= stride:
            kept, at = [*kept, float(s)], int(step)
    return np.array([*kept, solution.control.s]) if last else np.array(kept)


def _peaks(run: Solution, companion: Solution) -> Array:
    """Steps of the run at which the two losses seem furthest apart, one in each part of the run.

    Read off the companion's loss between its own steps (cubic Hermite in log E, whose slope
    −|grad E|²/E is known), which is good enough to choose times by, not to say an error by.
    """
    from scipy.interpolate import CubicHermiteSpline

    upto = int(np.searchsorted(run.s, companion.control.s, side="right"))
    if upto <= FREE or len(companion.s) < 2 or not (run.loss.min() > 0 < companion.loss.min()):
        return np.empty(0)
    slope = -companion.gradient_norm2 / companion.loss
    curve = CubicHermiteSpline(companion.s, np.log(companion.loss), slope)
    gap = np.abs(np.log(run.loss[:upto]) - curve(run.s[:upto]))
    parts = np.array_split(np.arange(FREE, upto), min(PEAKS, upto - FREE))
    return run.s[[part[gap[part].argmax()] for part in parts]]


def _gap(flow: Flow, run: Solution, companion: Solution, s: float) -> tuple[float, float]:
    """The differences of E, relative to the run's, and of θ."""
    if s > companion.control.s:
        return np.inf, np.inf  # the companion failed before
    mine, other = (flow.part(one.at(s).state) for one in (run, companion))
    point, apart = flow.at(mine, s), flow.norm(mine - other)
    loss = max(point.loss, np.finfo(float).tiny)
    gap, steps = abs(flow.at(other, s).loss - loss) / loss, int(np.searchsorted(run.s, s))
    if steps >= FREE:
        return gap, apart
    # So few steps may be the same ones, which shows nothing: each has erred by what is allowed.
    allowed = steps * (run.options.atol + run.options.rtol * flow.norm(mine))
    return gap + float(np.sqrt(point.norm2)) * allowed / loss, apart + allowed


def _around(times: Array, compared: Array, values: Array) -> Array:
    """At each time the largest value there and beside it; at ρ_0 nothing has been erred by yet."""
    places = np.searchsorted(compared, times)
    found = np.array([values[max(k - 1, 0) : k + 2].max() for k in places])
    found[0] = values[0]
    return found


def _run(solution: Solution, times: Any, comm: Any) -> Solution:
    """The companion, from the same start to where the run has got."""
    end, options = float(times[-1]), solution.options
    options = replace(
        options,
        s_end=end,
        rtol=RATIO * options.rtol,
        loosened=RATIO,
        atol=RATIO * options.atol,
        loss_below=None,
        every_step=False,
        times=tuple(times[times > 0].tolist()),
        coordinates=(),
    )
    flow = build(solution.problem, solution.initial, options, Clock(), comm)
    point = flow.at(flow.part(solution.initial.state))
    options, control, note = flow.start(point, options)
    control.state = flow.whole(control.state)
    companion = Solution(solution.problem, solution.initial, options, control, note)
    with flow.together():
        Driver(companion, flow, progress=False).run()
    return companion
