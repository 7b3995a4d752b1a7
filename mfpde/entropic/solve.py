"""The verb: the stationary state of the entropic problem, solved for directly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfpde import checks
from mfpde.depth import Depth
from mfpde.entropic import levels
from mfpde.entropic.anderson import Anderson
from mfpde.entropic.free_energy import FreeEnergy
from mfpde.entropic.levels import Run
from mfpde.entropic.newton import Newton
from mfpde.entropic.picard import Picard
from mfpde.entropic.result import Iterate, Stationary
from mfpde.measures.axes import Axis, Grid
from mfpde.measures.grid import GridMeasure
from mfpde.problem import Problem
from mfpde.runs.observers import Observe, Observers
from mfpde.runs.status import SolveError

METHODS = ("newton", "anderson", "picard")


@checks.typed
def stationary(
    problem: Problem,
    rho0: GridMeasure,
    *,
    method: str = "newton",
    tol: float = 1e-5,
    continuation: bool = False,
    damping: float = 0.25,
    window: int = 6,
    max_steps: int = 200,
    observe: Observe | None = None,
    progress: bool | str = "auto",
    raise_on_failure: bool = True,
) -> Stationary:
    """The stationary state ρ_t ∝ exp(−(r + V(t, ·))/τ) of E(ρ) + τ ∫ Ent(ρ_t) dt, from ρ_0.

    V is the first variation of the data's term, so that this is a fixed point (Gibbs) and the rest
    point of the entropic flow. ``rho0`` gives grid, depth and start; ``mfpde.entropic.prior`` is
    the cold start. It has converged when the total variation between ρ_t and its Gibbs state is at
    most ``tol``, in [1e-13, 1), at every depth.

    ``method``: "newton" (Newton–Krylov with a line search), "anderson" (``window`` >= 1 remembered
    differences, guarded), or "picard" (fixed ``damping`` in (0, 1], unguarded: the published
    iteration, which diverges where τ is small). The guarded methods never raise the free energy.
    ``continuation`` starts at a multiple of τ and r at which the data hardly count and follows the
    state down, which leads to the branch connected with ν ∝ e^{−r/τ} where there are several.
    ``observe``, as in ``mfpde.solve``, is recorded at every iterate, in ``found.observed``.

    Raises SolveError (its ``solution`` holds the last good state) where it does not converge,
    unless ``raise_on_failure=False``; ValueError or TypeError for bad arguments, such as a problem
    without ``temperature``. Source: Daudin, Delarue 2025 (optimality).
    """
    tol = _tolerance(tol)
    free = _free_energy(problem, rho0)
    most = checks.count("max_steps", max_steps)
    observers = Observers(problem, observe, (*Iterate._fields, "iterate", "kl", "mass", "t"))
    run = Run(_maker(method, damping, window), tol, most, progress, observers)
    start = free.at_measure(rho0)
    if not np.isfinite(start.objective):
        raise ValueError("the loss of rho0 is not finite: scale the data or the initial law down")
    point, status = levels.follow(run, start) if continuation else run.level(start, tol, most)
    found = run.result(point, status)
    if raise_on_failure and not found.success:
        raise SolveError(found, found.message)
    return found


@checks.typed
def prior(problem: Problem, depth: Depth, axes: Sequence[Axis] | Grid) -> GridMeasure:
    """ν ∝ e^{−r/τ} at every depth: the stationary state without data, and the cold start.

    Raises ValueError for a problem without ``temperature``.
    """
    grid = axes if isinstance(axes, Grid) else Grid(tuple(axes))
    flat = grid.volumes / grid.volumes.sum()
    rho = GridMeasure(np.tile(flat, (len(depth.nodes), *(1,) * grid.dim)), depth, grid)
    free = _free_energy(problem, rho)
    masses = np.exp(free.gibbs(np.zeros((len(depth.nodes), grid.size))))
    return GridMeasure(masses.reshape(rho.masses.shape), depth, grid)


def _free_energy(problem: Problem, rho: GridMeasure) -> FreeEnergy:
    if not isinstance(rho, GridMeasure):
        raise TypeError(f"rho0 must be a GridMeasure; given {type(rho).__name__}")
    if problem.temperature == 0.0:
        raise ValueError(
            "problem must have temperature > 0: without entropy a stationary state has no density"
        )
    return FreeEnergy(problem, rho)


def _tolerance(tol: float) -> float:
    value = checks.positive("tol", tol)
    if not 1e-13 <= value < 1.0:
        raise ValueError(f"tol must be in [1e-13, 1); given {tol!r}")
    return value


def _maker(method: str, damping: float, window: int) -> levels.Maker:
    checks.choice("method", method, METHODS)
    damping = checks.positive("damping", damping)
    if damping > 1.0:
        raise ValueError(f"damping must be in (0, 1]; given {damping!r}")
    window = checks.count("window", window)
    makers: dict[str, levels.Maker] = {
        "newton": Newton,
        "anderson": lambda: Anderson(window),
        "picard": lambda: Picard(damping),
    }
    return makers[method]
