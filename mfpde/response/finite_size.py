"""The verb: finite networks predicted from the limit, without training one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.laws import DepthLaw, Law
from mfpde.paths import Path, Smooth
from mfpde.problem import Problem
from mfpde.response.expansion import MISSED, Rows
from mfpde.response.finite_result import FiniteSize
from mfpde.response.stages import Sizes, Stages
from mfpde.runs.progress import Stagewise

Array = NDArray[np.float64]

# Depth steps that resolve paths of this scale: a tenth of a percent of the double integral.
MOST_STEPS = 16
# Probes where nothing else tells the covariance: their number alone decides how well.
MORE_PROBES = 96


@checks.typed
def finite_size(
    problem: Problem,
    law: Law | DepthLaw,
    *,
    s_end: float,
    coupling: str | Path = "independent",
    times: int | Sequence[float] = 3,
    x_new: ArrayLike | None = None,
    rtol: float = 1e-4,
    step: float | None = None,
    particles: int = 1024,
    depth_steps: int = 3,
    directions: int | None = None,
    probes: int | None = None,
    seed: int = 0,
    progress: bool | str = "auto",
) -> FiniteSize:
    """The law of trained networks (L, M), outputs and losses, from the limit alone.

    ``law`` is that of the initial parameters; ``coupling`` "independent" (fresh draws in every
    layer: fluctuations of order 1/√(LM)), "tied" (one draw for all depths, the start of Ding et
    al. 2021: 1/√M) or a law of paths of ``mfpde.paths`` (1/√M). ``times``: that many times s_end,
    s_end/2, …, or the times themselves. ``step``: the networks take gradient steps of that length;
    without it training time is continuous (rk45, ``rtol``). ``x_new`` (n, d_in): further points
    whose outputs are wanted.

    Two runs with 2·``particles`` points each, rk4 in depth, give the limit; they, and twice the
    ``depth_steps``, its error; runs of 1, 4 and 16 Euler layers the bias of depth. The covariance
    of the *rows* (outputs at data and new points, and the penalty) needs fewer points. Symmetric
    differences along ``probes`` random perturbations of the weights (twice the directions, 16 at
    least) give the bias of width and the ``directions`` (as many as leave 8 % of their squares, at
    most 6, or 16 for many rows) in which the rows fluctuate most; the adjoint of a run, linearised,
    gives in one sweep their influence functions G_s(t, θ_0), how they move at time s with mass
    added to ρ_0 at (t, θ_0); and Var F = (1/LM) ∫ Var G(t, ·) dt, or (1/M) Var ∫ G dt. What the
    directions leave of the rows is taken from the probes; with ``directions`` >= rows nothing is
    left. For relu, which has no second derivative, 96 probes tell all.

    It is an expansion in 1/L, but for one layer, and in 1/√n: where it is strained
    ``trusted(L, M)`` is False, and numbers asked for come with a warning. Ctrl-C ends the work: the
    result then rests on the probes alone (status INTERRUPTED), or KeyboardInterrupt is raised where
    there are none yet.

    Raises ValueError for bad arguments; SolveError where a run fails.
    Source: the fluctuations of an empirical measure, to first order through influence functions
    (von Mises 1947); leading directions from random ones: Halko, Martinsson, Tropp 2011; the limit
    and its rates: Chizat 2025, Ding et al. 2021.
    """
    problem.refuse_rates("finite_size")
    step = None if step is None else whole_step(s_end, step)
    marks = _marks(s_end, times, step)
    new = None if x_new is None else checks.array("x_new", x_new, ("n", problem.x.shape[1]))
    rows = Rows(problem, new)
    wanted = _directions(rows.count) if directions is None else directions
    wanted = checks.count("directions", wanted, most=10**6)
    sizes = Sizes(
        checks.count("particles", particles, least=32, most=10**9),
        checks.count("depth_steps", depth_steps, most=10**6),
        _path_steps(coupling),
        wanted if problem.block.smooth else 0,
        _probes(probes, wanted, rows.count, problem.block.smooth),
        MISSED if directions is None else 0.0,
    )
    how = {"method": "rk45" if step is None else "gd", "rtol": rtol, "step": step}
    with Stagewise("finite sizes", progress) as display:
        return Stages(
            problem, law, marks, rows, _coupling(coupling), sizes, how, seed, display
        ).result()


def whole_step(s_end: float, step: float) -> float:
    """The longest step up to ``step`` of which ``s_end`` is a whole number, as networks take it."""
    end, step = checks.positive("s_end", s_end), checks.positive("step", step)
    if step > end:
        raise ValueError(f"step must be <= s_end = {end:g}; given {step:g}")
    return end / float(np.ceil(end / step * (1 - 1e-12)))


def _marks(s_end: float, times: int | Sequence[float], step: float | None) -> list[float]:
    end = checks.positive("s_end", s_end)
    if isinstance(times, (int, np.integer)) and not isinstance(times, bool):
        given = end / 2.0 ** np.arange(checks.count("times", times, most=10**4))
    else:
        given = np.unique(checks.array("times", times, ("T",)))
        if not given.size or given[0] <= 0 or given[-1] > end:
            raise ValueError(f"times must lie in (0, s_end={end:g}]; given {times!r}")
    if step is not None:
        given = np.maximum(np.round(given / step), 1.0) * step
    found = [float(s) for s in np.unique(given) if s < end * (1 - 1e-12)]
    return [*found, end]


def _directions(rows: int) -> int:
    """More where there are many outputs: their fluctuations have more sides."""
    return min(6 + rows // 16, 16)


def _probes(given: int | None, directions: int, rows: int, smooth: bool) -> int:
    if not smooth:
        return checks.count("probes", given or MORE_PROBES, least=2, most=10**6)
    least = 2 if rows <= directions else directions + 4
    usual = 16 if rows <= directions else max(16, 2 * directions)
    return checks.count("probes", given or usual, least=least, most=10**6)


def _coupling(coupling: str | Path) -> str | Path:
    """Checked, and paths that are one of the two ends by their names."""
    if not isinstance(coupling, Path):
        return checks.choice("coupling", coupling, ("independent", "tied"))
    if coupling.scale == np.inf:
        return "tied"
    if 2.0 * MOST_STEPS * np.sqrt(0.06 * coupling.scale) < 1.0:
        raise ValueError(
            f"coupling={coupling!r} changes over a depth of {coupling.scale:g}, which the limit's "
            f"{MOST_STEPS} steps do not resolve; layers that far apart are coupling='independent'"
        )
    return coupling


def _path_steps(coupling: str | Path) -> int:
    """Steps of rk4 that integrate the covariance of paths to about a percent.

    A kink where t = t′ (``expansion``) takes more: at length .4 four steps, at .2 eight.
    """
    if not isinstance(coupling, Path) or coupling.scale == np.inf:
        return 1
    scale = max(coupling.scale, 1e-9)
    smooth = 1.0 / np.sqrt(0.06 * scale)
    finest = 0.5 * smooth if isinstance(coupling, Smooth) else min(1.5 / scale, smooth)
    return int(np.ceil(finest))
