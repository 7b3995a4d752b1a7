"""Runs of one problem at many sizes: each done once, counted, and stopped where it must be."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from mfpde.blocks import SHL, Linear
from mfpde.depth import Depth
from mfpde.evaluate import predict
from mfpde.flows.solve import solve
from mfpde.kernels.pools import deal, one_thread
from mfpde.laws import DepthLaw, Law
from mfpde.limits import hurried, lazy
from mfpde.limits.gaps import Gap, Yardstick
from mfpde.limits.memory import Memory
from mfpde.limits.progress import Display
from mfpde.limits.run import Run, loss_of, penalty_of
from mfpde.limits.sizes import TRIAL, Scramble, Spec, Tensor
from mfpde.limits.watch import Watch
from mfpde.measures import quadrature
from mfpde.measures.particles import ParticleMeasure
from mfpde.optimizers import AdamFlow, Optimizer
from mfpde.passes.ranks import Ranks
from mfpde.problem import Problem
from mfpde.runs.interrupt import Interruptible
from mfpde.runs.solution import Solution
from mfpde.runs.status import Status

Array = NDArray[np.float64]


# Hurried runs of so many particles at all depths, to no tighter a tolerance in time, are made in
# single precision.
LARGE, SINGLE = 10_000, 1e-5


class Stopped(Exception):
    """The study must end here; ``status`` says why."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.text)
        self.status = status


class Study:
    """All that a limit computes: ``run(spec)`` at the times ``s`` (n,), ``work`` so far."""

    def __init__(
        self,
        problem: Problem,
        law: Law | DepthLaw,
        s: Array,
        *,
        method: str,
        optimizer: Optimizer | None,
        seed: int,
        max_work: float,
        max_seconds: float,
        display: Display,
        watch: Watch,
        memory: Memory | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.problem, self.law, self.s, self.method, self.seed = problem, law, s, method, seed
        self.optimizer = optimizer
        self.max_work, self.max_seconds = max_work, max_seconds
        self.display, self.interrupt = display, Interruptible()
        self.watch, self._memory, self._ranks = watch, memory, ranks
        self._made: dict[Spec, tuple[Run, float]] = {}  # done by some rank, not asked for yet
        others = {name: data.x for name, data in watch.data.items()}
        self.lazy = lazy.of(problem, law, s, others) if optimizer is None else None
        self.work = 0
        self.runs: dict[Spec, Run] = {}
        self._began = time.monotonic()
        self._scale = float(np.sqrt(np.mean(np.square(problem.y)))) or 1.0
        self._gradients = 0
        self._pace = self._largest = 0.0
        self._writing = threading.Lock()

    @property
    def kinked(self) -> bool:
        """Whether the flow of a particle has kinks in its start: relu's, or Adam's where ∇V = 0."""
        return not self.problem.block.smooth or isinstance(self.optimizer, AdamFlow)

    @property
    def seconds(self) -> float:
        """Wall time since the study began, the longest of the ranks."""
        return self._spent() if self._ranks is None else self._ranks.largest(self._spent())

    def _spent(self) -> float:
        return time.monotonic() - self._began

    @property
    def yardstick(self) -> Yardstick:
        """The targets' RMS and E(ρ_0), which the first run tells."""
        first = next(iter(self.runs.values()))
        return Yardstick(self._scale, max(float(first.loss[0]), np.finfo(float).tiny))

    def run(self, spec: Spec) -> Run:
        """The run of these sizes, done now unless it has been done. Raises Stopped."""
        if self._agreed(self.interrupt.asked):
            raise Stopped(Status.INTERRUPTED)
        if spec not in self.runs:
            self.runs[spec] = self._recall(spec) or self._compute(spec)
        return self.runs[spec]

    def ahead(self, specs: Iterable[Spec]) -> None:
        """Let the ranks, or threads, do runs that will be asked for, one each at a time.

        They are those that would be done when asked for: the same numbers. Raises Stopped.
        """
        wanted = list(dict.fromkeys(specs))
        for some in ([self._small(spec) for spec in wanted if spec.hurry], wanted):
            missing = [spec for spec in dict.fromkeys(some) if self._found(spec) is None]
            missing.sort(key=self._levels, reverse=True)
            if self._ranks is None:
                self._on_threads([spec for spec in missing if spec.fresh])
                continue
            for k in range(0, len(missing), self._ranks.size):
                self._deal(self._ranks, missing[k : k + self._ranks.size])

    def _on_threads(self, specs: list[Spec]) -> None:
        threads = min(numba.get_num_threads(), len(specs))

        def make(spec: Spec) -> None:
            if self.interrupt.asked:
                raise Stopped(Status.INTERRUPTED)
            self._check()
            found, spent = self._make(spec)
            with self._writing:
                self._made[spec] = found, spent / threads
                self._keep(spec, found)

        if threads > 1:
            deal(make, specs, threads)

    def _deal(self, ranks: Ranks, specs: list[Spec]) -> None:
        """One run for each rank, which all get."""
        own: tuple[Run, float] | Status | None = None
        try:
            if ranks.rank < len(specs):
                own = self._make(specs[ranks.rank])
        except Stopped as stop:
            own = stop.status
        found = ranks.gathered(own)[: len(specs)]
        if ended := [one for one in found if isinstance(one, Status)]:
            raise Stopped(ended[0])
        for spec, one in zip(specs, found, strict=True):
            self._made[spec] = one
            self._keep(spec, one[0])

    def _found(self, spec: Spec) -> Run | None:
        """A run that has been done, whether it has been asked for or not."""
        if spec in self._made:
            return self._made[spec][0]
        return self.runs.get(spec) or (self._memory.runs.get(spec) if self._memory else None)

    def _agreed(self, wish: bool) -> bool:
        return wish if self._ranks is None else self._ranks.agreed(wish)

    def cost(self, specs: Iterable[Spec]) -> float:
        """Work that the runs not yet done will take, by the gradients of the last one in full."""
        ahead = [spec for spec in specs if spec not in self.runs]
        return float(sum(self._levels(s) * (2 * s.hurry or self._gradients) for s in ahead))

    def affords(self, specs: Iterable[Spec]) -> bool:
        """Whether the runs not yet done fit into what is left of the budgets."""
        cost = self.cost(specs)
        in_time = self.seconds + self._pace * cost <= self.max_seconds
        return in_time and self.work + cost <= self.max_work

    def announce(self, part: str, specs: Iterable[Spec] = ()) -> None:
        """Tell the display what is refined now, and how long the runs named will take."""
        self.display.show(part, self.cost(specs) * self._pace)

    def gap(self, one: Run, other: Run) -> Gap:
        """Absolute differences of two runs along s."""
        outputs = np.sqrt(np.mean(np.square(one.outputs - other.outputs), axis=(1, 2)))
        return Gap(np.abs(one.loss - other.loss), outputs)

    def distance(self, one: Spec, other: Spec) -> float:
        """The largest relative difference of two runs."""
        return self.yardstick.size(self.gap(self.run(one), self.run(other)))

    def measure(self, spec: Spec) -> ParticleMeasure:
        """ρ_0 of a run."""
        depth, points = Depth(spec.depth_steps, "rk4"), spec.points
        if isinstance(points, Tensor):
            sets = quadrature.over_depth(
                self.law,
                depth.nodes,
                points.orders,
                points.rules,
                "tied",
                np.random.SeedSequence(self.seed),
            )
        else:
            sets = quadrature.over_depth(
                self.law,
                depth.nodes,
                points.count,
                "sobol",
                "tied" if points.tied else "independent",
                np.random.SeedSequence(self.seed, spawn_key=(points.number,)),
            )
        return ParticleMeasure(sets[0], depth, sets[1])

    def _recall(self, spec: Spec) -> Run | None:
        """A run that an earlier search has done; its work counts."""
        found = self._memory.runs.get(spec) if self._memory and spec not in self._made else None
        if found is not None:
            self._check()
            self._count(spec, found, 0.0)
        return found

    def _compute(self, spec: Spec) -> Run:
        if spec.hurry:
            self.run(self._small(spec))
        self._check()
        if spec not in self._made:
            self.ahead([spec])
        found, spent = self._made.pop(spec) if spec in self._made else self._make(spec)
        self._count(spec, found, spent)
        self._keep(spec, found)
        return found

    def _keep(self, spec: Spec, run: Run) -> None:
        """Write a run to the file, once."""
        if self._memory is None or spec in self._memory.runs:
            return
        if self._agreed(not self._memory.keep(spec, run)):
            raise Stopped(Status.NOT_WRITTEN)

    def _make(self, spec: Spec) -> tuple[Run, float]:
        """The run itself, and its seconds."""
        # Of scrambles on one thread, whoever calls: sums depend on how many there are.
        with one_thread() if spec.fresh else nullcontext():
            began, rho0 = time.monotonic(), self.measure(spec)
            if not spec.hurry:
                found, spent = self._in_full(spec, rho0)
            else:
                light, grid = self._lightened(spec, rho0), self._hurried_grid(spec)
                found = hurried.run(self.problem, light, self.s, grid, self.watch, self._between)
                spent = time.monotonic() - began
            if spec.fresh and self.lazy:
                found = replace(found, alone=self.lazy.alone(rho0))
        return found, spent

    def _in_full(self, spec: Spec, rho0: ParticleMeasure) -> tuple[Run, float]:
        """With error control, and the seconds without compilation."""
        solution = solve(
            self.problem,
            rho0,
            s_end=float(self.s[-1]),
            method=self.method,
            optimizer=self.optimizer,
            rtol=spec.rtol,
            save=self.s[1:].tolist(),
            callback=self._watch,
            progress=False,
        )
        self._stop_if(solution)
        measures = [solution.at(float(s)) for s in self.s]
        outputs = np.array([predict(self.problem, rho) for rho in measures])
        penalty = np.array([penalty_of(self.problem, rho) for rho in measures])
        read = [self.watch.read(rho) for rho in measures]
        watched = {name: np.array([one[name] for one in read]) for name in read[0]}
        loss, gradients = loss_of(self.problem, outputs, penalty), solution.stats["gradients"]
        run = Run(outputs, penalty, watched, loss, measures[-1], solution.s, int(gradients))
        spent = solution.stats["seconds"]
        return run, spent["total"] - spent["compilation"]

    def _lightened(self, spec: Spec, rho0: ParticleMeasure) -> ParticleMeasure:
        """In single precision where that saves time and its 1e-6 are nothing to the tolerance."""
        own = isinstance(self.problem.block, SHL | Linear)
        if not own or self._levels(spec) < LARGE or spec.rtol < SINGLE:
            return rho0
        return ParticleMeasure(rho0.theta, rho0.depth, rho0.weights, dtype=np.float32)

    def _small(self, spec: Spec) -> Spec:
        """The run whose times those of a hurried one are taken from."""
        return Spec(Scramble(TRIAL.count, 0), spec.depth_steps, spec.rtol)

    def _hurried_grid(self, spec: Spec) -> Array:
        small = self._found(self._small(spec))
        assert small is not None
        return hurried.grid_of(small.grid, spec.hurry)

    def _count(self, spec: Spec, run: Run, seconds: float) -> None:
        """Work done, and what a unit of it takes in the largest runs (small ones are overhead)."""
        if not run.quick:
            self._gradients = run.gradients
        work = self._levels(spec) * run.gradients
        self.work += work
        if work >= self._largest and seconds > 0.0:
            self._pace = seconds / max(work, 1)
            self._largest = work

    def _levels(self, spec: Spec) -> int:
        """Particles × depth nodes of a run."""
        return spec.points.total * (2 * spec.depth_steps + 1)

    def _check(self) -> None:
        if self.work >= self.max_work or self.seconds >= self.max_seconds:
            raise Stopped(Status.BUDGET_SPENT)

    def _watch(self, solution: Solution) -> bool:
        """After each step of a run: has the time run out?"""
        self.display.beat(solution.control.s / float(self.s[-1]))
        return self.interrupt.asked or self._spent() >= self.max_seconds

    def _between(self, s: float) -> None:
        """The same before each step of a hurried run."""
        self.display.beat(s / float(self.s[-1]))
        if self.interrupt.asked:
            raise Stopped(Status.INTERRUPTED)
        if self._spent() >= self.max_seconds:
            raise Stopped(Status.BUDGET_SPENT)

    def _stop_if(self, solution: Solution) -> None:
        if solution.status is Status.INTERRUPTED or self.interrupt.asked:
            raise Stopped(Status.INTERRUPTED)
        if solution.status is Status.STOPPED:
            raise Stopped(Status.BUDGET_SPENT)
