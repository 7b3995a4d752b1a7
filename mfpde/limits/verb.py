"""The verb: the limit of infinitely wide and deep networks to a tolerance."""

from __future__ import annotations

import numpy as np

from mfpde import checks
from mfpde.laws import DepthLaw, Law
from mfpde.limits.law_in_depth import LawInDepth
from mfpde.limits.progress import Display
from mfpde.limits.result import Limit
from mfpde.limits.search import Candidate, candidates
from mfpde.limits.study import Stopped, Study
from mfpde.problem import Problem
from mfpde.runs.status import Status


@checks.typed
def limit(
    problem: Problem,
    law: Law | DepthLaw,
    *,
    s_end: float,
    rtol: float = 1e-4,
    times: int = 16,
    method: str = "auto",
    max_seconds: float | None = None,
    max_work: float | None = None,
    progress: bool | str = "auto",
    seed: int = 0,
) -> Limit:
    """E(s) and outputs of the infinitely wide and deep flow started at ``law``, to ``rtol``.

    Three discretisations stand between a run and the limit, each refined by itself. *Width*: up
    to 3 random coordinates (5 where the other way takes more points) a tensor rule, its orders
    and rules ("gauss" or "spectral") chosen by runs along each coordinate; else, and for
    activations without a bounded second derivative (relu), scrambled Sobol points, fresh at every
    depth, averaged over scrambles, whose spread is the error. *Depth*: rk4, its
    order measured on three coprime numbers of steps, once the law itself, looked at on 513
    depths, is resolved. *Training time*: error control, the change when rtol is ten times larger
    times what the change at a hundred times leaves of it.

    The result's ``error`` is relative to the targets' root mean square and to E(ρ_0). Ctrl-C, and
    ``max_seconds`` or ``max_work`` (particles × depth nodes × gradients), end the search with the
    best result so far. A ``progress`` line names the part under refinement, the error so far and
    what is left.

    A callable law must be continuous in t but for a few jumps, without features narrower than
    1/500. A block of your own is taken to be smooth.
    Raises ValueError for bad arguments, for a law that depth cannot resolve, and where a budget
    ends before there is a result; SolveError where a run fails.
    Sources: Chizat 2025 and Ding et al. 2021 for the limit.
    """
    checks.positive("s_end", s_end)
    if not 1e-10 <= checks.positive("rtol", rtol) <= 0.1:
        raise ValueError(f"rtol must be in [1e-10, 0.1]; given {rtol!r}")
    problem.refuse_entropy()
    view = LawInDepth(law, problem.block.size)
    display = Display(progress, rtol)
    study = Study(
        problem,
        law,
        np.linspace(0.0, s_end, checks.count("times", times, most=10**6) + 1),
        method=method,
        seed=seed,
        max_work=_budget("max_work", max_work),
        max_seconds=_budget("max_seconds", max_seconds),
        display=display,
    )
    with display, study.interrupt:
        best, status = _search(study, view, rtol)
    if best is None:
        raise ValueError(f"max_seconds or max_work: no result yet when the search ended. {status}")
    return _result(study, best, status, rtol)


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
        best.outputs,
        rtol,
        best.sizes,
        status,
        study.work,
        study.seconds,
        tuple(run.final for run in best.runs),
        best.parts,
    )
