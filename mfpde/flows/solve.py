"""The verb: solve the gradient-flow PDE from ρ_0, or go on from a run file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from mfpde import checks
from mfpde.flows import birth_death, dual, stability
from mfpde.flows.birth_death import BirthDeathDriver, BirthDeathSolution
from mfpde.flows.clock import Clock
from mfpde.flows.driver import Callback, Driver
from mfpde.flows.options import Options, Save
from mfpde.flows.particle_flow import ParticleFlow, Point
from mfpde.flows.schemes import SCHEMES, scheme
from mfpde.flows.status import SolveError, Status
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.solution import Control, Solution

PathLike = str | os.PathLike[str]

# Explicit methods win while the whole run is this many multiples of the fastest time scale.
NOT_STIFF = 50.0


def solve(
    problem: Problem,
    rho0: ParticleMeasure,
    *,
    s_end: float,
    method: str = "auto",
    rtol: float = 1e-4,
    atol: float = 1e-8,
    step: float | None = None,
    loss_below: float | None = None,
    reaction: float = 0.0,
    save: Save = None,
    callback: Callback | None = None,
    checkpoint: PathLike | None = None,
    checkpoint_every: float = 30.0,
    max_steps: int = 1_000_000,
    progress: bool | str = "auto",
    raise_on_failure: bool = True,
) -> Solution:
    """Solve the conditional-OT gradient flow ∂_s ρ_t = ∇_θ·(ρ_t ∇_θ V(t, θ)) from ρ_0.

    ``method``: "gd" (explicit Euler = gradient descent), "heun", "rk4" with a fixed ``step``
    (default: half the stability limit at ρ_0); "rk45" (Dormand–Prince, error control, dense
    output); "implicit" (extrapolated linearly implicit Euler in the COT metric: no stability
    limit, error control, order 2 to 4 from rtol; solves systems of size N·k, factorised or, where
    they are large, by conjugate gradients); "auto" chooses; ``message`` says what was chosen.
    Local errors are kept below atol + rtol·|θ| in the COT norm, and adaptive methods never accept
    a step in which the loss rises.

    The run ends at ``s_end`` (``inf`` is allowed with ``loss_below``) or when the loss is at most
    ``loss_below``. ``save``: None (first and last state), a number of equal intervals, an array
    of times, or "steps". ``callback(solution)`` runs after each accepted step and stops the run by
    returning True. ``checkpoint`` is a run file rewritten every ``checkpoint_every`` seconds
    and at the end, from which ``mfpde.resume`` goes on. Ctrl-C ends the run after the step under
    way and returns what there is.

    ``reaction`` = β > 0 adds birth–death within each depth, −β ρ_t (V − ∫V dρ_t), to the transport
    (the Wasserstein–Fisher–Rao flow, see ``mfpde.flows.birth_death``): the weights move as well,
    ``gradient_norm2`` is the transport's part of −dE/ds, and there are no run files.

    Raises SolveError (its ``solution`` keeps the last good state) when the run fails, unless
    ``raise_on_failure=False``; ValueError or TypeError for bad arguments.
    Source: Ding et al. 2021 (9); Barboni et al. 2024, Def. 6.
    """
    options = Options.check(
        s_end=s_end,
        method=method,
        rtol=rtol,
        atol=atol,
        step=step,
        loss_below=loss_below,
        save=save,
        max_steps=max_steps,
    )
    if rate := checks.positive("reaction", reaction, zero=True):
        birth_death.check(options.method, checkpoint)
    flow = ParticleFlow(problem, rho0, Clock())
    point = flow.at(rho0.theta)
    options, control, note = _prepare(flow, point, options)
    kind = BirthDeathSolution if rate else Solution
    return _run(
        kind(problem, rho0, options, control, note),
        flow,
        callback,
        checkpoint,
        checkpoint_every,
        progress,
        raise_on_failure,
        make=partial(BirthDeathDriver, reaction=rate) if rate else Driver,
    )


def resume(
    path: PathLike,
    *,
    s_end: float | None = None,
    loss_below: float | None = None,
    callback: Callback | None = None,
    checkpoint: PathLike | None = None,
    checkpoint_every: float = 30.0,
    progress: bool | str = "auto",
    raise_on_failure: bool = True,
    block: object = None,
) -> Solution:
    """Go on from a run file, to its own goal or to a later ``s_end`` / lower ``loss_below``.

    An interrupted run that is resumed equals the uninterrupted one bit for bit (at the same
    thread count). ``checkpoint`` defaults to ``path``; ``block`` hands over a block that the
    package does not know.

    Raises FileNotFoundError or ValueError for a missing, torn or foreign file.
    """
    solution = Solution.load(path, block=block)
    options = solution.options
    if s_end is not None:
        s_end = checks.positive("s_end", s_end)
        if s_end < solution.control.s:
            raise ValueError(f"s_end must be >= {solution.control.s:g}, where the run stands")
    solution.options = replace(
        options,
        s_end=options.s_end if s_end is None else s_end,
        loss_below=(
            options.loss_below if loss_below is None else checks.positive("loss_below", loss_below)
        ),
    )
    solution.status = Status.RUNNING
    flow = ParticleFlow(solution.problem, solution.final, Clock())
    target = path if checkpoint is None else checkpoint
    return _run(solution, flow, callback, target, checkpoint_every, progress, raise_on_failure)


def _run(
    solution: Solution,
    flow: ParticleFlow,
    callback: Callback | None,
    checkpoint: PathLike | None,
    checkpoint_every: float,
    progress: bool | str,
    raise_on_failure: bool,
    make: Callable[..., Driver] = Driver,
) -> Solution:
    make(
        solution,
        flow,
        callback=callback,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        checkpoint_every=checks.positive("checkpoint_every", checkpoint_every, zero=True),
        progress=progress,
    ).run()
    failed = not solution.success and solution.status is not Status.INTERRUPTED
    if failed and raise_on_failure:
        raise SolveError(solution, solution.message)
    return solution


def _prepare(flow: ParticleFlow, point: Point, options: Options) -> tuple[Options, Control, str]:
    """Resolve "auto" and the first step."""
    watch, note = stability.start_vector(flow), ""
    if not point.finite:
        raise ValueError("the loss of rho0 is not finite: scale the data or the initial law down")
    if options.method == "auto":
        options, note = _choose(flow, point, options)
    if options.method == "implicit" and not dual.is_dense(flow.problem):
        how = f"Dual systems of size N k = {flow.rows} are solved by conjugate gradients."
        note = f"{note} {how}".strip()
    if SCHEMES[options.method].adaptive:
        h = _first_step(flow, point, options)
    elif options.step is None:
        value, watch = stability.largest_eigenvalue(flow, point, watch, 12)
        h = 0.5 * (SCHEMES[options.method].stability or 1.0) / value if value else options.s_end
        note = f"Step {h:.4g}: half the stability limit at rho0."
    else:
        h = options.step
    options = replace(options, step=h if not SCHEMES[options.method].adaptive else None)
    return options, Control(0.0, point.theta, h, watch=watch), note


def _choose(flow: ParticleFlow, point: Point, options: Options) -> tuple[Options, str]:
    value, _ = stability.largest_eigenvalue(flow, point, stability.start_vector(flow), 8)
    scales = options.s_end * value
    if scales <= NOT_STIFF:
        method, why = "rk45", f"s_end spans {scales:.1f} of its fastest time scales"
    elif np.isfinite(scales):
        method, why = "implicit", f"s_end spans {scales:.3g} of its fastest time scales: stiff"
    else:
        method, why = "implicit", "the run ends by its loss alone, and late training is stiff"
    return replace(options, method=method), f"method='auto' chose {method!r}: {why}."


def _first_step(flow: ParticleFlow, point: Point, options: Options) -> float:
    """A step whose first-order displacement is small beside the allowed error's root."""
    order = scheme(options.method, options.rtol, options.atol).error_order or 1
    size = options.atol + options.rtol * max(flow.norm(point.theta), 1e-3)
    speed = float(np.sqrt(point.norm2))
    longest = options.s_end if np.isfinite(options.s_end) else 1.0
    if speed == 0.0:
        return longest
    return min(longest, 0.5 * size ** (1.0 / order) / speed)
