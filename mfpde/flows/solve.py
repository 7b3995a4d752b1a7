"""The verb: solve the gradient-flow PDE from ρ_0, or go on from a run file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mfpde import checks
from mfpde.evaluate import OnGrid
from mfpde.flows import companion
from mfpde.flows.driver import Callback, Driver
from mfpde.flows.flow import Flow
from mfpde.flows.kinds import build, schemes_of
from mfpde.measures import Measure
from mfpde.optimizers import Optimizer
from mfpde.problem import Problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.checkpoint import Checkpoint
from mfpde.runs.clock import Clock
from mfpde.runs.control import Control
from mfpde.runs.observers import Observe, Observers
from mfpde.runs.options import Options, Save, until
from mfpde.runs.progress import Compiling
from mfpde.runs.solution import Solution
from mfpde.runs.status import SolveError, Status


@checks.typed
def solve(
    problem: Problem,
    rho0: Measure,
    *,
    s_end: float,
    method: str = "auto",
    rtol: float = 1e-4,
    atol: float = 1e-8,
    step: float | None = None,
    loss_below: float | None = None,
    reaction: float = 0.0,
    vanishing_decay: float = 0.0,
    rates: ArrayLike | None = None,
    optimizer: Optimizer | Mapping[str, Any] | None = None,
    save: Save = None,
    coordinates: str | Sequence[str] | None = None,
    observe: Observe | None = None,
    callback: Callback | None = None,
    checkpoint: PathLike | None = None,
    checkpoint_every: float = 30.0,
    max_steps: int = 1_000_000,
    global_error: bool = False,
    progress: bool | str = "auto",
    raise_on_failure: bool = True,
    comm: Any = None,
) -> Solution:
    """Solve the conditional-OT gradient flow ∂_s ρ_t = ∇_θ·(ρ_t ∇_θ V(t, θ)) from ρ_0.

    ``method``: "gd" (explicit Euler = gradient descent), "heun", "rk4" with a fixed ``step``
    (default: half the stability limit at ρ_0, shorter where errors of E would add up to 5 %; their
    estimate is ``sol.error``, and a run by the default step that ends beyond 5 % has the status
    INACCURATE); "rk45" (Tsitouras 5(4), error control, dense output,
    steps that never leave the stability interval); "implicit" (extrapolated linearly implicit Euler
    in the COT metric: no stability limit, error control, order 2 to 4 from rtol; solves systems of
    size N·k, factorised or by conjugate gradients, as costs less); "auto" begins with
    "rk45", at a twentieth of the tolerance, and goes over to "implicit" and back as stiffness comes
    and goes, judged by counts of operations: ``message`` says where, ``stats["switches"]`` how
    often, and where |grad E| grew so much that errors made before may be far above rtol.
    Local errors are kept below atol + rtol·|θ| in the COT norm, and adaptive methods never accept
    a step in which the energy rises.

    A ``GridMeasure`` has methods of its own, all of which keep the mass of every depth and masses
    >= 0: "upwind" (order 1), "muscl" (van Leer's limiter; "muscl_minmod", "muscl_mc"), "koren" and
    "third_order" (order 3 along one axis), explicit, with steps from CFL, the tangent kernel and
    the fall of the energy; "implicit" (order 2, no limit from the tangent kernel, steps from
    ``rtol``, temperature 0); "scharfetter_gummel" (implicit, order 1, steps from ``rtol``, exact
    at Gibbs states). With temperature > 0 the explicit ones are split from an exact heat flow: the
    free energy then falls until the state is within the grid's accuracy of equilibrium.
    ``stats`` reports the worst "mass_drift", "negative_mass" and "energy_rise" (relative).

    The run ends at ``s_end`` (``inf`` is allowed with ``loss_below``) or when the loss is at most
    ``loss_below``; one that reaches ``s_end`` first has the status GOAL_MISSED and is returned.
    With ``s_end=inf`` it also ends where the loss has come to rest (AT_REST). ``save``: None (ρ_0),
    a number of equal intervals, an array of times, or "steps": the states in ``states``;
    ``Solution.at`` reaches any other s. ``coordinates``, names out of ``block.coordinates``, are
    those that saved states hold, all by default; resuming and ``at`` do not need the others, since
    a run keeps some whole states to start from again.

    ``observe`` names what else is recorded at every step, in ``sol.observed``: other data
    ``{"test": (x, y)}``, whose series "test_loss" and "test_accuracy" or "test_rmse" are those of
    ``mfpde.evaluate``, or functions of (problem, measure), which return
    a number or an array; a run file holds series and data, not functions.
    ``callback(solution)`` runs after each accepted step and stops the run by returning True.
    ``checkpoint`` is a run file brought up to date every
    ``checkpoint_every`` seconds and at the end, from which ``mfpde.resume`` goes on; where it
    cannot be written (a full disk) the run ends with the status NOT_WRITTEN and is returned. Ctrl-C
    ends the run after the step under way and returns what there is.

    ``global_error=True`` estimates what the whole run errs by, which no control of single steps
    bounds where the flow magnifies errors: a companion from ρ_0 at ten times the tolerance follows
    a successful run, for about as much work again, and ``sol.errors`` holds times (the saved
    ones and the last), relative errors of E and errors of θ in the COT norm; ``sol.error`` is that
    of the last E. For particles and blocks, by methods with error control, rtol <= 1e-3.

    ``reaction`` = β > 0 adds birth–death within each depth, −β ρ_t (V − ∫V dρ_t), to the transport
    (the Wasserstein–Fisher–Rao flow, see ``mfpde.flows.birth_death``): the weights move as well,
    the state is (θ, a), and ``gradient_norm2`` is the transport's part of −dE/ds.

    ``vanishing_decay`` = c > 0 adds c e^{−s} ∫∫ |θ|² dρ to what is descended (c = 1 in Ding et al.
    2021): ``sol.energy`` holds the sum, which never rises; ``sol.loss``, E alone, may.

    ``rates`` replace those of the problem for this run and all that is read of it: ``sol.problem``
    is ``problem.under(rates)``. The flow is then ∂_s ρ_t = ∇_θ·(ρ_t η∘∇_θ V).

    ``optimizer``, a ``HeavyBall`` or an ``AdamFlow`` of ``mfpde.optimizers``, moves particles by
    averages of their gradients: the limit of networks trained by it. Methods are "gd" (its own
    steps, those of a network), "heun", "rk4" (with ``step``) and "rk45" ("auto"); the state is
    (θ, averages), (1 + slots, K, M, p), ``gradient_norm2`` is |grad E|² as ever, and ``sol.energy``
    what falls, if anything is known to: E + (τ/2)∫∫ |√η∘m|² dρ of the heavy ball, while E may rise.

    ``comm``, a communicator of mpi4py such as ``MPI.COMM_WORLD``, runs on several processes: each
    calls ``solve`` with the same arguments, particles are dealt to the ranks, and all get the same
    solution; the first one writes files and shows progress (docs/mpi.md).

    Raises SolveError (its ``solution`` keeps the last good state) when the run fails, unless
    ``raise_on_failure=False``; ValueError or TypeError for bad arguments; OSError, before the
    first step, for a ``checkpoint`` that cannot be written.
    Source: Ding et al. 2021; Barboni et al. 2024.
    """
    problem = problem.under(rates)
    options = Options.check(
        schemes_of(rho0, optimizer),
        s_end=s_end,
        method=method,
        rtol=rtol,
        atol=atol,
        step=step,
        loss_below=loss_below,
        save=save,
        coordinates=coordinates,
        known=problem.block.coordinates,
        vanishing_decay=vanishing_decay,
        reaction=reaction,
        max_steps=max_steps,
        global_error=global_error,
        optimizer=optimizer,
    )
    if options.coordinates and isinstance(rho0, OnGrid):
        raise ValueError(
            "coordinates must be None on a grid, whose states are masses: observe functions such "
            "as lambda problem, rho: rho.marginal(0).masses"
        )
    if global_error and options.reaction:
        raise ValueError("global_error needs reaction=0")
    observers = Observers(problem, observe)
    clock = Clock(Compiling(progress))
    with clock.compilation():
        flow = build(problem, rho0, options, clock, comm)
        writer = Checkpoint(checkpoint if flow.first else None, checkpoint_every)
        if global_error:
            companion.check(flow, options)
        point = flow.at(flow.part(flow.start_state))
        if not (point.finite and np.isfinite(point.norm2)):
            raise ValueError(
                "the loss of rho0, or its gradient, is not finite: scale the data or the initial "
                "law down"
            )
        options, control, note = flow.start(point, options)
    control.state = flow.whole(control.state)
    kept = (8 + len(options.times)) * float(control.state.nbytes)  # a step holds eight at once
    checks.memory("a run from rho0", kept, "take fewer particles or cells, or save fewer states")
    solution = Solution(problem, rho0, options, control, note, observers)
    return _run(solution, flow, point, callback, writer, progress, raise_on_failure, comm)


@checks.typed
def resume(
    path: PathLike,
    *,
    s_end: float | None = None,
    loss_below: float | None = None,
    observe: Observe | None = None,
    callback: Callback | None = None,
    checkpoint: PathLike | None = None,
    checkpoint_every: float = 30.0,
    progress: bool | str = "auto",
    raise_on_failure: bool = True,
    block: object = None,
    comm: Any = None,
) -> Solution:
    """Go on from a run file, to its own goal or to a later ``s_end`` / lower ``loss_below``.

    An interrupted run that is resumed equals the uninterrupted one bit for bit (at the same
    thread count and number of ranks, see ``comm`` of ``solve``; any other goes on as well).
    ``checkpoint`` defaults to ``path``; ``block`` hands over a block that the package does not
    know, ``observe`` the functions that the run observes: their code is not in the file.

    Raises FileNotFoundError for a missing file, ValueError for one that is torn, damaged, foreign
    or at odds with itself, and for a block that is not the run's.
    """
    solution = Solution.load(path, block=block)
    solution.observers.take(observe)
    options = solution.options
    if s_end is not None:
        s_end = until(s_end)
        if s_end < solution.control.s:
            raise ValueError(f"s_end must be >= {solution.control.s:g}, where the run stands")
    solution.options = replace(
        options,
        s_end=options.s_end if s_end is None else s_end,
        loss_below=(
            options.loss_below if loss_below is None else checks.positive("loss_below", loss_below)
        ),
    )
    solution.status, solution.errors = Status.RUNNING, None
    clock = Clock(Compiling(progress))
    flow = build(solution.problem, solution.final, solution.options, clock, comm)
    target = path if checkpoint is None else checkpoint
    writer = Checkpoint(target if flow.first else None, checkpoint_every)
    return _run(solution, flow, None, callback, writer, progress, raise_on_failure, comm)


def _run(
    solution: Solution,
    flow: Flow,
    point: Any,
    callback: Callback | None,
    checkpoint: Checkpoint,
    progress: bool | str,
    raise_on_failure: bool,
    comm: Any,
) -> Solution:
    with flow.together():
        Driver(
            solution, flow, point=point, callback=callback, checkpoint=checkpoint, progress=progress
        ).run()
    if solution.options.global_error and solution.success:
        solution.errors = companion.errors(solution, comm)
        if not checkpoint.write(solution.record_of_all, whole=True):
            solution.not_written(checkpoint.error)
    if solution.status.raises and raise_on_failure:
        raise SolveError(solution, solution.message)
    return solution


def _replay(solution: Solution, mark: Control, s: float) -> Any:
    """The state at s, from an earlier control of the run."""
    again = Solution(solution.problem, solution.final, solution.options, replace(mark), "")
    flow = build(again.problem, again.final, again.options, Clock())
    return Driver(again, flow).reach(s)


Solution.replay = staticmethod(_replay)
