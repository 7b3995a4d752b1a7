"""The work of ``finite_size``, stage by stage: the limit, depth, random probes, adjoints."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.depth import Depth
from mfpde.flows.solve import solve
from mfpde.laws import DepthLaw, Law
from mfpde.measures.particles import ParticleMeasure
from mfpde.paths import Path
from mfpde.problem import Problem
from mfpde.response import expansion, trajectory
from mfpde.response.expansion import DEPTHS, FEW, Core, Fluctuations, Probes, Rows
from mfpde.response.finite_result import FiniteSize
from mfpde.response.trajectory import Trajectory
from mfpde.runs.interrupt import Interruptible
from mfpde.runs.progress import Stagewise
from mfpde.runs.status import Status

Array = NDArray[np.float64]

# Points beside ``particles``: of the limit, in two halves, of the bias of depth, and of the probes
# and adjoints, of the latter where these are too few.
OF_LIMIT, OF_DEPTH, OF_RESPONSE, MOST = 4.0, 0.25, 0.25, 1.0
# A run whose drift from the limit changes deviations by more is not pulled back: of so many draws
# the nearest, or more points.
ENOUGH, DRAWS = 0.08, 3
# Steps of a run whose derivatives are wanted may be as much less accurate: deviations err more.
LOOSER, LOOSEST = 10.0, 1e-2
# A product with the Hessian, of which each stage of an adjoint takes one, beside a gradient.
PRODUCT = 2.0


class Sizes(NamedTuple):
    """What everything is computed with."""

    particles: int
    depth_steps: int
    path_steps: int
    directions: int
    probes: int
    missed: float


class _Stopped(Exception):
    """Ctrl-C was pressed."""


class Stages:
    """One problem, law and coupling; all work is counted, in runs of the limit."""

    def __init__(
        self, problem: Problem, law: Law | DepthLaw, marks: list[float], rows: Rows,
        coupling: str | Path, sizes: Sizes, how: dict[str, Any], seed: int, display: Stagewise,
    ) -> None:  # fmt: skip
        self.problem, self.law, self.marks, self.rows = problem, law, marks, rows
        self.coupling, self.sizes, self.how, self.seed = coupling, sizes, how, seed
        self.shared = coupling != "independent"
        self._display, self._interrupt = display, Interruptible()
        self._work = {"runs": 0.0, "probes": 0.0, "adjoints": 0.0}
        self._began = time.process_time()
        self._unit = 1.0

    def result(self) -> FiniteSize:
        """Everything, in an order that leaves something to show from the probes on."""
        with self._interrupt:
            try:
                both = self._limit()
                of_depth, of_one, change = self._depth_terms()
                run, probes = self._probed(self._deep)
                few = [] if self.sizes.directions else [self._probed(d)[1] for d in self._few]
            except _Stopped:
                raise KeyboardInterrupt from None
            limit = both.mean(axis=0)
            status, combinations, influence, rho0 = Status.PREDICTED, None, None, None
            try:
                if few:
                    found = self._from_probes(probes, few)
                else:
                    found, combinations, influence, rho0 = self._by_adjoints(limit, run, probes)
            except _Stopped:
                found, status = self._from_probes(probes, [probes, probes]), Status.INTERRUPTED
        data = probes.second[:, :, : self.rows.data]
        deviation = float(max(each.error for each in found))
        return FiniteSize(
            problem=self.problem,
            coupling=self.coupling,
            s=np.array(self.marks),
            limit=limit,
            limit_error=self._root_mean_square(0.5 * (both[0] - both[1]), change),
            of_depth=of_depth,
            of_one=of_one,
            second=probes.second.mean(axis=1),
            bend=expansion.bend(probes.second),
            spread=np.sqrt(np.mean(np.square(data), axis=(1, 2))),
            fluctuations=tuple(found),
            combinations=combinations,
            influence=influence,
            rho0=rho0,
            errors={"deviation": deviation, "second": _standard_error(data)},
            cost=self._cost(),
            seconds=time.process_time() - self._began,
            seed=self.seed,
            interrupted=status is Status.INTERRUPTED,
        )

    # -- stages -----------------------------------------------------------------------------------

    def _limit(self) -> Array:
        """The rows of the limit by two draws, (2, T, rows)."""
        both = [self._rows_of(self._rk4, 0.5 * OF_LIMIT, "independent", key) for key in (1, 2)]
        self._unit = self._work["runs"]
        return np.stack(both)

    def _depth_terms(self) -> tuple[tuple[Array, Array], Array, Array]:
        """a and b, the shift of a single layer, and what twice the depth steps change.

        All from differences at one set of points.
        """
        fine = Depth(2 * self.sizes.depth_steps, "rk4")
        depths = (self._rk4, fine, *(Depth(n, "euler") for n in (1, *DEPTHS)))
        deep, best, one, *euler = (self._rows_of(depth, OF_DEPTH, "tied") for depth in depths)
        return expansion.depth_terms(best, euler), one - best, deep - best

    def _probed(self, depth: Depth) -> tuple[Trajectory, Probes]:
        run = self._run(depth, OF_RESPONSE)
        each, count = self._work_of(run, 2.0), self.sizes.probes
        at = [run.index(s) for s in self.marks]

        def tick() -> None:
            self._count("probes", each)

        return run, expansion.probe(run, self.rows, at, self.shared, count, self.seed, tick)

    def _from_probes(self, deep: Probes, few: list[Probes]) -> list[Fluctuations]:
        groups = zip(deep.first, *(each.first for each in few), strict=True)
        return [expansion.from_probes(first, low) for first, *low in groups]

    def _by_adjoints(
        self, limit: Array, probed: Trajectory, probes: Probes
    ) -> tuple[list[Fluctuations], tuple[Array, ...], tuple[Array, ...], ParticleMeasure]:
        """Covariances, the combinations that were pulled back, and their influence functions."""
        pairs = zip(probes.first, limit, strict=True)
        wanted = tuple(
            expansion.leading(first, self.rows.slope(z), self.sizes.directions, self.sizes.missed)
            for first, z in pairs
        )
        run, part, drift = self._near(limit, probed, probes)
        g, cores = self._pulled(run, wanted)
        few = [self._pulled(self._run(depth, part), wanted)[1] for depth in self._few]
        laws = []
        for first, v, core, low, off in zip(
            probes.first, wanted, cores, zip(*few, strict=True), drift, strict=True
        ):
            law = expansion.fluctuations(first, v, core, low)
            laws.append(law._replace(error=float(np.hypot(law.error, off))))
        return laws, wanted, tuple(g), run.rho0

    def _near(
        self, limit: Array, probed: Trajectory, probes: Probes
    ) -> tuple[Trajectory, float, Array]:
        """A run that is near enough to the limit to take its derivatives, its points, its drift."""
        run, part, key = probed, OF_RESPONSE, 0
        best = run, part, self._drift(run, limit, probes)
        while best[2].max() > ENOUGH and (part < MOST or key + 1 < DRAWS):
            part, key = (part, key + 1) if key + 1 < DRAWS else (2 * part, 0)
            run = self._run(self._deep, part, key)
            drift = self._drift(run, limit, probes)
            if drift.max() < best[2].max():
                best = run, part, drift
        return best

    def _pulled(
        self, run: Trajectory, combinations: tuple[Array, ...]
    ) -> tuple[list[Array], list[Core]]:
        """Influence functions of combinations of rows at the marks, and their covariances."""
        at = [run.index(s) for s in self.marks]
        found = expansion.influences(run, self.rows, at, combinations)
        sweeps = sum(len(v) * s for v, s in zip(combinations, self.marks, strict=True))
        each = run.repeated + PRODUCT * sweeps / self.marks[-1]
        self._count("adjoints", self._work_of(run, each))
        return found, [expansion.covariance(each, run.rho0, self.coupling) for each in found]

    def _drift(self, run: Trajectory, limit: Array, probes: Probes) -> Array:
        """Relative errors of deviations (T,) that come of a run beside the limit's.

        Few points err like a network of n blocks whose deviation is √(C/n) = |F − limit|; to first
        order influence functions change by twice the second-order term over the first at that n.
        """
        data = slice(0, self.rows.data)
        rows = expansion.along(run, self.rows, [run.index(s) for s in self.marks])
        off = self._root_mean_square(rows - limit)
        squares = np.mean(np.square(probes.first[:, :, data]), axis=(1, 2))
        spread = np.sqrt(np.mean(np.square(probes.second[:, :, data]), axis=(1, 2)))
        change: Array = 2.0 * spread * off / np.maximum(squares, np.finfo(float).tiny)
        return change

    def _root_mean_square(self, *errors: Array) -> Array:
        """Of the outputs at the data, all errors together, (T,)."""
        squares = sum(np.square(each[:, : self.rows.data]) for each in errors)
        return np.sqrt(np.mean(squares, axis=1))

    # -- runs and their work ----------------------------------------------------------------------

    @property
    def _rk4(self) -> Depth:
        return Depth(self.sizes.depth_steps, "rk4")

    @property
    def _deep(self) -> Depth:
        """Where paths matter, which the limit does not know."""
        return Depth(max(self.sizes.depth_steps, self.sizes.path_steps), "rk4")

    @property
    def _few(self) -> list[Depth]:
        return [Depth(layers, "euler") for layers in FEW]

    def _measure(self, depth: Depth, part: float, coupling: str | Path, key: int) -> Any:
        return ParticleMeasure.from_law(
            self.law,
            depth,
            count=max(int(part * self.sizes.particles), 16),
            coupling=coupling,
            seed=self.seed + key,
        )

    def _rows_of(self, depth: Depth, part: float, coupling: str, key: int = 0) -> Array:
        """The rows of a run at the marks, (T, rows)."""
        rho0, step = self._measure(depth, part, coupling, key), self.how["step"]
        if step is not None:
            run = self._descended(rho0, step)
            return expansion.along(run, self.rows, [run.index(s) for s in self.marks])
        sol = solve(
            self.problem, rho0, s_end=self.marks[-1], save=self.marks, progress=False, **self.how
        )
        if sol.status is Status.INTERRUPTED:
            raise _Stopped
        self._count("runs", sol.stats["gradients"] * _size(rho0))
        return np.stack([self.rows.values(sol.at(s)) for s in self.marks])

    def _descended(self, rho0: ParticleMeasure, step: float) -> Trajectory:
        """Gradient steps as networks take them. Raises ValueError where they diverge."""
        run = trajectory.descended(self.problem, rho0, self.marks, step)
        if not np.all(np.isfinite(run.final)):
            raise ValueError(f"step = {step:g} makes gradient descent diverge: take a smaller one")
        self._count("runs", self._work_of(run, 1.0))
        return run

    def _run(self, depth: Depth, part: float, key: int = 0) -> Trajectory:
        """A run whose derivatives are wanted.

        Where depths have points of their own, each averages over its own errors; perturbations that
        depths share need shared points.
        """
        coupling = self.coupling if isinstance(self.coupling, Path) else "tied"
        if not self.shared:
            coupling = "independent"
        rho0, step = self._measure(depth, part, coupling, key), self.how["step"]
        if step is not None:
            return self._descended(rho0, step)
        rtol = max(self.how["rtol"], min(LOOSER * self.how["rtol"], LOOSEST))
        try:
            run = trajectory.record(self.problem, rho0, self.marks, **self.how | {"rtol": rtol})
        except KeyboardInterrupt:
            raise _Stopped from None
        self._count("runs", self._work_of(run, 2.0))  # once to choose the steps
        return run

    def _work_of(self, run: Trajectory, times: float) -> float:
        """Of a run and its steps, so many times."""
        return times * run.gradients * _size(run.rho0)

    def _count(self, what: str, work: float) -> None:
        """Note work that is done. Raises _Stopped after Ctrl-C."""
        self._work[what] += work
        self._display.show(what, {name: each / self._unit for name, each in self._work.items()})
        if self._interrupt.asked:
            raise _Stopped

    def _cost(self) -> dict[str, float]:
        """In runs of the limit as it was computed, with 4·``particles`` points."""
        return {what: work / self._unit for what, work in self._work.items()}


def _size(rho0: ParticleMeasure) -> int:
    """Blocks that one gradient evaluates."""
    return rho0.depth.stage_nodes.size * rho0.count


def _standard_error(second: Array) -> float:
    """Of c (T, R, rows), beside its size."""
    scatter = np.sqrt(np.mean(second.var(axis=1, ddof=1) / second.shape[1], axis=1))
    size = np.sqrt(np.mean(np.square(second.mean(axis=1)), axis=1))
    return float(np.max(scatter / np.maximum(size, 1e-300)))
