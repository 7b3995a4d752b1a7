"""The verb: finite networks predicted from the limit, without training one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law
from mfpde.measures.particles import ParticleMeasure
from mfpde.paths import Path
from mfpde.problem import Problem
from mfpde.response import expansion, trajectory
from mfpde.response.expansion import DEPTHS, Covariance, Rows
from mfpde.response.finite_result import FiniteSize
from mfpde.response.trajectory import Trajectory

Array = NDArray[np.float64]

# So many rows are differentiated one by one; more are probed at random.
MOST_ROWS = 96
PROBES = 48
# Points of the two runs that give the mean, and of the probes, beside ``particles``.
OF_MEAN, OF_PROBES = 4.0, 0.25
# Depth steps that resolve paths of this scale: a tenth of a percent of the double integral.
MOST_STEPS = 16
# A product with the Hessian, of which each stage of an adjoint takes one, beside a gradient.
PRODUCT = 3.0


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
    probes: int | None = None,
    seed: int = 0,
) -> FiniteSize:
    """The law of trained networks (L, M), outputs and losses, from the limit alone.

    ``law`` is that of the initial parameters; ``coupling`` "independent" (fresh draws in every
    layer: fluctuations of order 1/√(LM)), "tied" (one draw for all depths, the start of Ding et
    al. 2021: 1/√M) or a law of paths of ``mfpde.paths`` (1/√M). ``times``: that many times s_end,
    s_end/2, …, or the times themselves. ``step``: the networks take gradient steps of that length;
    without it training time is continuous (rk45, ``rtol``). ``x_new`` (n, d_in): further points
    whose outputs are wanted.

    Two runs with 4·``particles`` points each, rk4 in depth, give the limit and its error. The
    adjoint of a run with ``particles`` points, linearised, gives in one sweep for all outputs the
    influence functions G_s(t, θ_0): how an output at time s moves with mass added to ρ_0 at
    (t, θ_0); and Var F = (1/LM) ∫ Var G(t, ·) dt, or (1/M) Var ∫ G dt. With more than 96 rows
    (outputs at data and new points), for relu, which has no second derivative, or where ``probes``
    are given, random perturbations of the weights take their place. Runs of 4 and 16 Euler layers
    give the bias of depth, symmetric differences along ``probes`` (48) perturbations, on a quarter
    of the points, that of width.

    It is an expansion in 1/L and 1/√n: where it is strained ``trusted(L, M)`` is False.

    Raises ValueError for bad arguments; SolveError where a run fails.
    Source: the fluctuations of an empirical measure, to first order through influence functions
    (von Mises 1947); the limit and its rates: Chizat 2025, Ding et al. 2021.
    """
    problem.refuse_rates("finite_size")
    step = None if step is None else whole_step(s_end, step)
    marks = _marks(s_end, times, step)
    new = None if x_new is None else checks.array("x_new", x_new, ("n", problem.x.shape[1]))
    count = checks.count("particles", particles, least=32, most=10**9)
    study = _Study(problem, law, marks, Rows(problem, new), new, _coupling(coupling), count, seed)
    study.how = {"method": "rk45" if step is None else "gd", "rtol": rtol, "step": step}
    study.depth_steps = _depth_steps(coupling, checks.count("depth_steps", depth_steps, most=10**6))
    few = study.rows.count <= MOST_ROWS and problem.block.smooth
    by_rows = probes is None and few
    return study.result(by_rows, checks.count("probes", probes or PROBES, least=2, most=10**6))


class _Width(NamedTuple):
    """What random probes or influence functions say of the fluctuations."""

    deep: list[Covariance]
    shallow: list[Covariance] | None
    influence: Array | None
    rho0: ParticleMeasure


class _Study:
    """One problem, law and coupling; every run is counted in ``work``."""

    how: dict[str, Any]
    depth_steps: int

    def __init__(
        self, problem: Problem, law: Law | DepthLaw, marks: list[float], rows: Rows,
        new: Array | None, coupling: str | Path, count: int, seed: int,
    ) -> None:  # fmt: skip
        self.problem, self.law, self.marks, self.rows = problem, law, marks, rows
        self.new, self.coupling, self.count, self.seed = new, coupling, count, seed
        self.shared = coupling != "independent"
        self.work = {"runs": 0.0, "probes": 0.0, "adjoints": 0.0}

    def result(self, by_rows: bool, probes: int) -> FiniteSize:
        """Everything, in the order of its cost."""
        limit, limit_error = self._limit()
        depth = self._depth_terms()
        found = self._probes(probes)
        width = self._influences() if by_rows else self._by_probes(found)
        second = found.second[:, :, : self.rows.data]
        return FiniteSize(
            problem=self.problem,
            coupling=self.coupling,
            s=np.array(self.marks),
            limit=limit,
            limit_error=limit_error,
            of_depth=depth,
            second=found.second.mean(axis=1),
            spread=np.sqrt(np.mean(np.square(second), axis=(1, 2))),
            factors=tuple(c.factor for c in width.deep),
            shallow=None if width.shallow is None else tuple(c.factor for c in width.shallow),
            influence=width.influence,
            rho0=width.rho0,
            errors={
                "deviation": max(c.error for c in width.deep),
                "second": _standard_error(second),
            },
            cost=self._cost(),
            seed=self.seed,
        )

    def _limit(self) -> tuple[Array, Array]:
        """The rows of the limit (T, rows), and the error of the outputs (T,): two draws' mean."""
        depth = Depth(self.depth_steps, "rk4")
        both = []
        for key in (1, 2):
            run = self._run(depth, OF_MEAN, "independent", key)
            self._steps = run.steps
            both.append(self._along(run))
        apart = np.square(both[0] - both[1])[:, : self.rows.data]
        return 0.5 * (both[0] + both[1]), 0.5 * np.sqrt(apart.mean(axis=1))

    def _depth_terms(self) -> tuple[Array, Array]:
        """a and b, from differences at one set of points."""
        depths = (Depth(self.depth_steps, "rk4"), *(Depth(n, "euler") for n in DEPTHS))
        deep, *euler = (self._along(self._run(depth, 1.0, "tied")) for depth in depths)
        return expansion.depth_terms(deep, euler)

    def _probes(self, count: int) -> expansion.Probes:
        run = self._run(Depth(self.depth_steps, "rk4"), OF_PROBES, self._drawn)
        self._count("probes", run, 2.0 * count)
        at = [run.index(s) for s in self.marks]
        return expansion.probe(run, self.rows, self.new, at, self.shared, count, self.seed)

    def _influences(self) -> _Width:
        deep, shallow = Depth(self.depth_steps, "rk4"), Depth(DEPTHS[0], "euler")
        (g, rho0), (low, other) = (self._pulled(depth, self.rows) for depth in (deep, shallow))
        return _Width(
            [expansion.covariance(one, rho0, self.shared) for one in g],
            [expansion.covariance(one, other, self.shared) for one in low],
            np.stack(g),
            rho0,
        )

    def _by_probes(self, found: expansion.Probes) -> _Width:
        """From ⟨g, ζ⟩, with the variance of the loss to first order set right by its adjoint."""
        if not self.problem.block.smooth:
            rough = [expansion.from_probes(first) for first in found.first]
            return _Width(rough, None, None, found.rho0)
        g, rho0 = self._pulled(Depth(self.depth_steps, "rk4"), None)
        exact = [expansion.covariance(e, rho0, self.shared).trace for e in g]
        rough = [expansion.from_probes(first) for first in found.first]
        return _Width(
            [
                c._replace(factor=expansion.with_variance(c.factor, slope, v))
                for c, slope, v in zip(rough, self._slopes(), exact, strict=True)
            ],
            None,
            None,
            rho0,
        )

    def _slopes(self) -> list[Array]:
        """∂E/∂rows at the limit, one vector (rows,) a time."""
        problem, out = self.problem, []
        for z in self._last:
            slope = np.zeros(self.rows.count)
            outputs = z[: self.rows.data].reshape(problem.y.shape)
            slope[: self.rows.data] = (problem.loss_gradient(outputs) / problem.size).ravel()
            if problem.penalty:
                slope[-1] = 1.0
            out.append(slope)
        return out

    def _pulled(self, depth: Depth, rows: Rows | None) -> tuple[list[Array], ParticleMeasure]:
        """Influence functions of all rows, or (None) of the loss, T arrays (rows, K, M)."""
        run = self._run(depth, 1.0, self._drawn)
        at = [run.index(s) for s in self.marks]
        if rows is None:
            self._last = self._along(run)
        sweeps = (1 if rows is None else rows.count) * sum(self.marks) / self.marks[-1]
        self._count("adjoints", run, PRODUCT * sweeps)
        return expansion.influences(run, rows, at), run.rho0

    @property
    def _drawn(self) -> str | Path:
        """How points are drawn over depth where their perturbations matter."""
        return self.coupling if isinstance(self.coupling, Path) else "tied"

    def _run(self, depth: Depth, part: float, coupling: str | Path, key: int = 0) -> Trajectory:
        rho0 = ParticleMeasure.from_law(
            self.law, depth, count=int(part * self.count), coupling=coupling, seed=self.seed + key
        )
        run = trajectory.record(self.problem, rho0, self.marks, **self.how)
        self._count("runs", run, 2.0)  # once to choose the steps, once to keep states
        return run

    def _along(self, run: Trajectory) -> Array:
        at = [run.index(s) for s in self.marks]
        return expansion.along(run, self.rows, self.new, at)

    def _count(self, what: str, run: Trajectory, times: float) -> None:
        rho0 = run.rho0
        self.work[what] += times * run.steps * rho0.depth.stage_nodes.size * rho0.count

    def _cost(self) -> dict[str, float]:
        """In runs of the limit as it was computed, with 4·``particles`` points."""
        evaluations = Depth(self.depth_steps, "rk4").stage_nodes.size
        unit = self._steps * evaluations * int(OF_MEAN * self.count)
        return {what: work / unit for what, work in self.work.items()}


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


def _depth_steps(coupling: str | Path, given: int) -> int:
    """Steps that integrate the kink of a path's covariance to about a percent."""
    if not isinstance(coupling, Path) or coupling.scale == np.inf:
        return given
    return max(given, int(np.ceil(0.5 / np.sqrt(0.06 * coupling.scale))))


def _standard_error(second: Array) -> float:
    """Of c (T, R, rows), beside its size."""
    scatter = np.sqrt(np.mean(second.var(axis=1, ddof=1) / second.shape[1], axis=1))
    size = np.sqrt(np.mean(np.square(second.mean(axis=1)), axis=1))
    return float(np.max(scatter / np.maximum(size, 1e-300)))
