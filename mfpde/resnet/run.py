"""The loop of a training run: gradient, record, step."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.flows.status import Status
from mfpde.kernels import serial_blas
from mfpde.problem import Problem
from mfpde.progress import Progress
from mfpde.resnet import randomness
from mfpde.resnet.engines import Engine
from mfpde.resnet.observables import Observables, Snapshot, observe
from mfpde.resnet.plan import Plan
from mfpde.resnet.result import Training

Array = NDArray[Any]


@dataclass
class State:
    """Everything the next step depends on: θ, the optimiser's slots, and the steps taken."""

    theta: Any
    slots: tuple[Any, ...]
    n: int = 0


@dataclass
class Records:
    """What has been recorded, one entry for each recorded step."""

    s: list[float] = field(default_factory=list)
    loss: list[Array] = field(default_factory=list)
    observed: dict[str, list[Array]] = field(default_factory=dict)
    saved_s: list[float] = field(default_factory=list)
    saved: list[Array] = field(default_factory=list)
    last: int = -1  # the step recorded last


class Run:
    """S networks on their way; what a resumed run needs is in ``state`` and ``records``."""

    def __init__(
        self,
        problem: Problem,
        engine: Engine,
        plan: Plan,
        seeds: tuple[int, ...],
        initial: Array,
        observables: Observables,
    ) -> None:
        self.problem, self.engine, self.plan, self.seeds = problem, engine, plan, seeds
        self.initial, self.observables = initial, observables
        theta = engine.array(initial)
        self.state = State(theta, tuple(0.0 * theta for _ in range(plan.optimizer.slots)))
        self.good = self.state
        self.records = Records(observed={name: [] for name in observables})
        self._rates = engine.array(np.array(plan.rates))

    def advance(self, bar: Progress) -> Status:
        """Train until a status is reached."""
        guard = serial_blas() if self.engine.backend == "particles" else nullcontext()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"), guard:
            while (status := self._step(bar)) is None:
                pass
        return status

    def _step(self, bar: Progress) -> Status | None:
        """Record where the run stands, then go one step; or the status that forbids it."""
        state, plan = self.state, self.plan
        last, stochastic = state.n >= plan.count, plan.optimizer.batch is not None
        passed = None if last or stochastic else self.engine.gradient(state.theta)
        if state.n > self.records.last and (plan.records(state.n) or state.n in plan.saves):
            found = self.engine.evaluate(state.theta) if passed is None else passed[:2]
            if not self._record(*found):
                return Status.NON_FINITE
            bar.update(plan.time(state.n), float(self.records.loss[-1].mean()))
        if last:
            return Status.END_REACHED
        if passed is None:
            passed = self.engine.gradient(state.theta, self._rows())
        self._move(passed.slope)
        return None

    def _rows(self) -> NDArray[np.int64]:
        """The minibatch of every network at this step, (S, n)."""
        size, data = self.plan.optimizer.batch or 0, self.problem.size
        n = self.state.n
        return np.stack([randomness.minibatch(seed, n, size, data) for seed in self.seeds])

    def _move(self, slope: Any) -> None:
        plan, state = self.plan, self.state
        decay = self.problem.weight_decay
        if plan.vanishing_decay:
            decay += 2.0 * plan.vanishing_decay * float(np.exp(-plan.time(state.n)))
        g = slope + decay * state.theta if decay else slope
        theta, slots = plan.optimizer.step(
            state.theta, g, state.slots, self._noise(), state.n + 1, plan.h, self._rates
        )
        self.state = State(theta, slots, state.n + 1)

    def _noise(self) -> Any:
        if not self.plan.optimizer.noisy:
            return None
        shape = self.initial.shape[1:]
        draws = [randomness.noise(seed, self.state.n, shape) for seed in self.seeds]
        return self.engine.array(np.stack(draws))

    def _record(self, loss: Any, outputs: Any) -> bool:
        """Keep loss, observables and θ where they are due; False where a loss is not finite."""
        state, records, plan = self.state, self.records, self.plan
        value = np.asarray(self.engine.numpy(loss), np.float64)
        decay = self.problem.weight_decay
        if decay:
            square = (state.theta * state.theta).sum(-1).mean((1, 2))
            value = value + 0.5 * decay * np.asarray(self.engine.numpy(square), np.float64)
        if not np.all(np.isfinite(value)):
            self.state = self.good
            return False
        self.good, records.last = state, state.n
        s = plan.time(state.n)
        if plan.records(state.n):
            snapshot = Snapshot(
                self.problem,
                s,
                value,
                lambda: self.engine.numpy(outputs),
                lambda: self.engine.numpy(state.theta),
                self.initial,
            )
            records.s.append(s)
            records.loss.append(value)
            for name, found in observe(self.observables, snapshot).items():
                records.observed[name].append(found)
        if state.n in (0, plan.count) or state.n in plan.saves:
            records.saved_s.append(s)
            records.saved.append(self.engine.numpy(state.theta).copy())
        return True

    def result(self, status: Status) -> Training:
        """What there is, as the user gets it."""
        records, theta = self.records, self.state.theta
        outputs = self.engine.evaluate(theta)[1]
        return Training(
            s=np.array(records.s),
            loss=_stack(records.loss),
            outputs=self.engine.numpy(outputs),
            theta=self.engine.numpy(theta),
            seeds=self.seeds,
            backend=self.engine.backend,
            engine=self.engine.name,
            status=status,
            observed={name: _stack(values) for name, values in records.observed.items()},
            saved_s=np.array(records.saved_s),
            saved=_stack(records.saved),
        )


def _stack(values: Iterable[Array]) -> Array:
    """Recorded values (S, …) as one array (S, n, …)."""
    return np.stack(list(values), axis=1)
