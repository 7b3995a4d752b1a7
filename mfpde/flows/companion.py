"""The error of a whole run, from a companion at ten times its tolerance.

A tolerance bounds the error of each step, and nothing bounds what the flow makes of these errors:
it magnifies some. A second run from ρ_0 at ``RATIO`` rtol makes errors that the flow magnifies
alike and is about ``RATIO`` times as wrong, so that 1/9 of the difference would be the error of the
run were errors in proportion to the tolerance; the run is said to err by 1/``PRUDENT`` of it.

On eight random problems (four activations, s = 5 to 200, references at rtol 1e-10) the estimate was
1.3 to 10 times the true error of E and 1.3 to 18 times that of θ at rtol 1e-3 and 1e-4. At 1e-2 it
fell short in four of eight, by up to 16 times: runs so loose are refused.
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

RATIO, PRUDENT = 10.0, 6.0
LOOSEST = 1e-3


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
    """What the run is estimated to err by at its saved times and at its end."""
    times = np.unique(np.append(solution.saved_s, solution.control.s))
    companion = _run(solution, times, comm)
    flow = build(solution.problem, solution.initial, solution.options, Clock(), comm)
    found = []
    for s in times:
        if s > companion.control.s:
            found.append((np.inf, np.inf))  # the companion failed before
            continue
        mine, other = (flow.part(run.at(float(s)).state) for run in (solution, companion))
        ends = flow.at(mine, s).loss, flow.at(other, s).loss
        gap = abs(ends[1] - ends[0]) / max(ends[0], np.finfo(float).tiny)
        found.append((gap / PRUDENT, flow.norm(mine - other) / PRUDENT))
    loss, state = np.array(found).T
    return Errors(times, loss, state)


def _run(solution: Solution, times: Any, comm: Any) -> Solution:
    """The companion, from the same start to where the run has got."""
    end, options = float(times[-1]), solution.options
    options = replace(
        options,
        s_end=end,
        rtol=RATIO * options.rtol,
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
