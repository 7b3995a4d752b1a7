"""Runs of one problem at many sizes: each done once, counted, and stopped where it must be."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
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
    ) -> None:
        self.problem, self.law, self.s, self.method, self.seed = problem, law, s, method, seed
        self.optimizer = optimizer
        self.max_work, self.max_seconds = max_work, max_seconds
        self.display, self.interrupt = display, Interruptible()
        self.watch, self._memory = watch, memory
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
        """Wall time since the study began."""
        return time.monotonic() - self._began

    @property
    def yardstick(self) -> Yardstick:
        """The targets' RMS and E(ρ_0), which the first run tells."""
        first = next(iter(self.runs.values()))
        return Yardstick(self._scale, max(float(first.loss[0]), np.finfo(float).tiny))

    def run(self, spec: Spec) -> Run:
        """The run of these sizes, done now unless it has been done. Raises Stopped."""
        if self.interrupt.asked:
            raise Stopped(Status.INTERRUPTED)
        if spec not in self.runs:
            self.runs[spec] = self._recall(spec) or self._compute(spec)
        return self.runs[spec]

    def prepare(self, specs: Iterable[Spec]) -> None:
        """Do those runs that have not been done, each on a thread of its own. Raises Stopped."""
        ahead = [spec for spec in dict.fromkeys(specs) if spec not in self.runs]
        for spec in ahead:
            if spec.hurry:
                self._hurried_grid(spec)
        before, began = self.work, time.monotonic()
        deal(self.run, sorted(ahead, key=self._cost, reverse=True), numba.get_num_threads())
        self._paced(self.work - before, time.monotonic() - began)

    def cost(self, specs: Iterable[Spec]) -> float:
        """Work that the runs not yet done will take, by the gradients of the costliest in full."""
        return float(sum(self._cost(spec) for spec in specs if spec not in self.runs))

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
        found = self._memory.runs.get(spec) if self._memory else None
        if found is not None:
            self._check()
            self._count(spec, found)
        return found

    def _compute(self, spec: Spec) -> Run:
        # The times of a hurried run are those of a small one, which is a run of its own.
        grid = self._hurried_grid(spec) if spec.hurry else None
        self._check()
        if isinstance(spec.points, Scramble) and not spec.points.tied:
            with one_thread():  # whoever calls: results depend on how many there are
                found = self._of_scramble(spec, grid)
        else:
            found = self._in_full(spec, self.measure(spec))
        self._count(spec, found)
        with self._writing:
            if self._memory and not self._memory.keep(spec, found):
                raise Stopped(Status.NOT_WRITTEN)
        return found

    def _of_scramble(self, spec: Spec, grid: Array | None) -> Run:
        rho0 = self.measure(spec)
        if grid is None:
            found = self._in_full(spec, rho0)
        else:
            light = self._lightened(spec, rho0)
            found = hurried.run(self.problem, light, self.s, grid, self.watch, self._between)
        return replace(found, alone=self.lazy.alone(rho0)) if self.lazy else found

    def _in_full(self, spec: Spec, rho0: ParticleMeasure) -> Run:
        """With error control."""
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
        spent = solution.stats["seconds"]
        self._paced(self._levels(spec) * gradients, spent["total"] - spent["compilation"])
        return Run(outputs, penalty, watched, loss, measures[-1], solution.s, int(gradients))

    def _lightened(self, spec: Spec, rho0: ParticleMeasure) -> ParticleMeasure:
        """In single precision where that saves time and its 1e-6 are nothing to the tolerance."""
        own = isinstance(self.problem.block, SHL | Linear)
        if not own or self._levels(spec) < LARGE or spec.rtol < SINGLE:
            return rho0
        return ParticleMeasure(rho0.theta, rho0.depth, rho0.weights, dtype=np.float32)

    def _hurried_grid(self, spec: Spec) -> Array:
        small = Spec(Scramble(TRIAL.count, 0), spec.depth_steps, spec.rtol)
        return hurried.grid_of(self.run(small).grid, spec.hurry)

    def _count(self, spec: Spec, run: Run) -> None:
        """Work done, and gradients of the costliest run in full."""
        with self._writing:
            if not run.quick:
                self._gradients = max(run.gradients, self._gradients)
            self.work += self._levels(spec) * run.gradients

    def _paced(self, work: int, seconds: float) -> None:
        """What a unit of work takes, by the largest that was done (small runs are overhead)."""
        with self._writing:
            if work >= self._largest and seconds > 0.0:
                self._pace = seconds / max(work, 1)
                self._largest = work

    def _cost(self, spec: Spec) -> int:
        return self._levels(spec) * (2 * spec.hurry or self._gradients)

    def _levels(self, spec: Spec) -> int:
        """Particles × depth nodes of a run."""
        return spec.points.total * (2 * spec.depth_steps + 1)

    def _check(self) -> None:
        if self.work >= self.max_work or self.seconds >= self.max_seconds:
            raise Stopped(Status.BUDGET_SPENT)

    def _watch(self, solution: Solution) -> bool:
        """After each step of a run: has the time run out?"""
        self.display.beat(solution.control.s / float(self.s[-1]))
        return self.interrupt.asked or self.seconds >= self.max_seconds

    def _between(self, s: float) -> None:
        """The same before each step of a hurried run."""
        self.display.beat(s / float(self.s[-1]))
        if self.interrupt.asked:
            raise Stopped(Status.INTERRUPTED)
        if self.seconds >= self.max_seconds:
            raise Stopped(Status.BUDGET_SPENT)

    def _stop_if(self, solution: Solution) -> None:
        if solution.status is Status.INTERRUPTED or self.interrupt.asked:
            raise Stopped(Status.INTERRUPTED)
        if solution.status is Status.STOPPED:
            raise Stopped(Status.BUDGET_SPENT)
