"""The verb: the limit of infinitely wide and deep networks to a tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.flows.solve import solve
from mfpde.laws import DepthLaw, Law
from mfpde.limits.law_in_depth import LawInDepth
from mfpde.limits.memory import Memory, about
from mfpde.limits.progress import Display
from mfpde.limits.result import Limit
from mfpde.limits.search import Candidate, candidates
from mfpde.limits.study import Stopped, Study
from mfpde.limits.watch import Watch
from mfpde.measures.particles import ParticleMeasure
from mfpde.optimizers import Optimizer, named, spec_of
from mfpde.passes.ranks import Ranks
from mfpde.problem import Problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.observers import Observe
from mfpde.runs.status import Status

Array = NDArray[np.float64]

# Particles of the run that looks for where a loss is reached.
FEW = 256


@checks.typed
def limit(
    problem: Problem,
    law: Law | DepthLaw,
    *,
    s_end: float,
    rtol: float = 1e-4,
    times: int = 16,
    method: str = "auto",
    loss_below: float | None = None,
    rates: ArrayLike | None = None,
    optimizer: Optimizer | Mapping[str, Any] | None = None,
    max_seconds: float | None = None,
    max_work: float | None = None,
    observe: Observe | None = None,
    checkpoint: PathLike | None = None,
    resume: bool = False,
    progress: bool | str = "auto",
    seed: int = 0,
    comm: Any = None,
) -> Limit:
    """E(s) and outputs of the infinitely wide and deep flow started at ``law``, to ``rtol``.

    Three discretisations stand between a run and the limit, each refined by itself. *Width*: up
    to 3 random coordinates (5 where the other way takes more points) a tensor rule, its orders
    and rules ("gauss" or "spectral") chosen by runs along each coordinate, of each piece of a
    law that is ``Correlated``, ``Mixture``, ``Empirical`` or a product with such; else, and for
    activations without a bounded second derivative (relu), scrambled Sobol points, fresh at every
    depth, averaged over scrambles, whose spread is the error. Wide runs take few steps in time,
    which small pairs of runs make good, and for SHL blocks with u = 0 and Gaussian (w, b) the
    flow of u alone, known exactly, is a control variate. *Depth*: rk4, its
    order measured on three coprime numbers of steps, once the law itself, looked at on 513
    depths, is resolved. *Training time*: error control, the change when rtol is ten times larger
    times what the change at a hundred times leaves of it.

    ``observe={"test": (x, y), "name": function of (problem, measure)}`` reads held-out data and own
    functions at the same times, ``found.observed``, with errors of their own, which ``rtol`` does
    not bound. ``checkpoint=path`` writes every run as soon as it is done; the same call with
    ``resume=True`` begins with these (a tighter ``rtol`` and larger budgets may be given) and ends
    with the same numbers, to the last bit, as one that nothing stopped.

    The result's ``error`` is relative to the targets' root mean square and to E(ρ_0). Ctrl-C, and
    ``max_seconds`` or ``max_work`` (particles × depth nodes × gradients), end the search with the
    best result so far. ``loss_below`` ends the flow where a run of few particles falls below half
    of it, before ``s_end`` (``inf`` is allowed: times are then spaced by ratios); ``status`` is
    LOSS_REACHED where loss and error together are below it. A ``progress`` line names the part
    under refinement, the error so far and what is left.

    ``comm``, a communicator of mpi4py: every rank calls ``limit`` with the same arguments, does
    runs that no other does, and gets the same result, that of one process to the last bit. The
    first rank writes the file and shows progress (docs/mpi.md).

    ``rates`` replace those of the problem: ``result.problem`` is ``problem.under(rates)``.

    ``optimizer`` as in ``solve``: the limit of networks trained by it.

    A callable law must be continuous in t but for a few jumps, without features narrower than
    1/500; near jumps and kinks depth is of low order, and its bar says so. A block of your own is
    taken to be smooth.
    Raises ValueError for bad arguments, for a law that depth cannot resolve, and where a budget
    ends before there is a result; SolveError where a run fails.
    Sources: Chizat 2025 and Ding et al. 2021 for the limit.
    """
    if loss_below is None or s_end != np.inf:
        checks.positive("s_end", s_end)
    if not 1e-10 <= checks.positive("rtol", rtol) <= 0.1:
        raise ValueError(f"rtol must be in [1e-10, 0.1]; given {rtol!r}")
    problem.refuse_entropy()
    problem = problem.under(rates)
    optimizer = None if optimizer is None else named(optimizer)
    view = LawInDepth(law, problem.block.size)
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint, the file of the search to go on with")
    ranks = Ranks.of(comm)
    first = ranks is None or ranks.rank == 0
    display, watch = Display(progress if first else False, rtol), Watch(problem, observe)
    s = _times(problem, view, method, optimizer, s_end, loss_below, times)
    memory = None
    if checkpoint is not None:
        moved_by = (method, None if optimizer is None else spec_of(optimizer))
        known = about(problem, law, s, moved_by, seed, watch)
        memory = Memory(checkpoint, resume, known, first=first)
    study = Study(
        problem,
        law,
        s,
        method=method,
        optimizer=optimizer,
        seed=seed,
        max_work=_budget("max_work", max_work),
        max_seconds=_budget("max_seconds", max_seconds),
        display=display,
        watch=watch,
        memory=memory,
        ranks=ranks,
    )
    with nullcontext() if ranks is None else ranks.together():
        with display, study.interrupt:
            best, status = _search(study, view, rtol)
        found = None if best is None else _result(study, best, status, rtol)
    if found is None:
        raise ValueError(
            f"max_seconds or max_work: no result yet when the search ended ({status.name}); its "
            "first one takes two runs: allow more, or a shorter s_end"
        )
    reached = loss_below is not None and found.loss[-1] + found.loss_error[-1] <= loss_below
    return replace(found, status=Status.LOSS_REACHED) if reached and found.success else found


def _times(
    problem: Problem,
    view: LawInDepth,
    method: str,
    optimizer: Optimizer | None,
    s_end: float,
    loss_below: float | None,
    times: int,
) -> Array:
    """The times of the result, to where a run of few particles reaches half of ``loss_below``."""
    count = checks.count("times", times, most=10**6)
    if loss_below is None:
        return np.linspace(0.0, s_end, count + 1)
    rho0 = ParticleMeasure.from_law(
        view.law, Depth(view.least_steps(), "rk4"), count=FEW, coupling="independent"
    )
    goal, rtol = 0.5 * checks.positive("loss_below", loss_below), 1e-3
    run = solve(problem, rho0, s_end=s_end, method=method, rtol=rtol, loss_below=goal,
                optimizer=optimizer, progress=False, raise_on_failure=False)  # fmt: skip
    if run.s[-1] == 0.0:
        raise ValueError(
            f"loss_below must be below twice the loss at s = 0, {run.loss[0]:.6g}; given "
            f"{loss_below:g}"
        )
    if np.isfinite(s_end):
        return np.linspace(0.0, float(run.s[-1]) if run.loss[-1] <= goal else s_end, count + 1)
    if run.loss[-1] > goal:
        raise ValueError(
            f"loss_below={loss_below:g} needs a finite s_end: a run of {FEW} particles stays at "
            f"{run.loss[-1]:.3g}. {run.message}"
        )
    return np.append(0.0, np.geomspace(1.0 / count, 1.0, count) ** 3 * run.s[-1])


def _budget(name: str, value: float | None) -> float:
    return np.inf if value is None else checks.positive(name, value)


def _search(study: Study, view: LawInDepth, rtol: float) -> tuple[Candidate | None, Status]:
    """The best candidate, and how the search ended."""
    best: Candidate | None = None
    try:
        for best in candidates(study, view, rtol):
            study.display.reached(best.error(study))
    except Stopped as stop:
        return best, stop.status
    met = best is not None and best.error(study) <= rtol
    return best, Status.TOLERANCE_MET if met else Status.TOLERANCE_MISSED


def _result(study: Study, best: Candidate, status: Status, rtol: float) -> Limit:
    return Limit(
        study.problem,
        study.s,
        best.loss,
        best.series.outputs,
        rtol,
        best.sizes,
        status,
        study.work,
        study.seconds,
        best.terms,
        best.parts,
        study.yardstick,
        study.watch.told(best.series),
        _observed_errors(study.watch, best),
        study.optimizer,
    )


def _observed_errors(watch: Watch, best: Candidate) -> dict[str, Array]:
    """Of what is observed: the sum over width, depth and time."""
    if not watch:
        return {}
    told = [part.told(watch.told) for part in best.parts.values()]
    raw = [part.told(watch.outputs) for part in best.parts.values()]
    errors = {name: np.asarray(np.sum([one[name] for one in raw if name in one], axis=0))
              for name in watch.data}  # fmt: skip
    doubts = watch.doubts(best.series, errors)
    return {
        name: np.maximum(
            np.sum([np.zeros_like(value), *(one[name] for one in told if name in one)], axis=0),
            doubts.get(name, 0.0),
        )
        for name, value in watch.told(best.series).items()
    }
