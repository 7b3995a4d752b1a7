"""The loop of a training run: gradient, record, step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mfpde.passes.ranks import Ranks
from mfpde.penalty import Penalty
from mfpde.problem import Problem
from mfpde.resnet import randomness
from mfpde.resnet.engines import Descent, Engine, Pass
from mfpde.resnet.observables import Observables, Snapshot, observe
from mfpde.resnet.plan import Plan
from mfpde.resnet.result import Training
from mfpde.runs.checkpoint import Checkpoint
from mfpde.runs.interrupt import Interruptible
from mfpde.runs.progress import Progress
from mfpde.runs.run_file import Record
from mfpde.runs.status import Status

Array = NDArray[Any]

# A loss so many times that of the start, or of no network at all, is no training.
DIVERGED = 10.0


@dataclass
class State:
    """Everything the next step depends on: θ, the optimiser's slots, and the steps taken."""

    theta: Any
    slots: tuple[Any, ...]
    n: int = 0


@dataclass
class Records:
    """What has been recorded; ``last`` is the step that was looked at last."""

    s: list[float] = field(default_factory=list)
    loss: list[Array] = field(default_factory=list)
    observed: dict[str, list[Array]] = field(default_factory=dict)
    saved_s: list[float] = field(default_factory=list)
    saved: list[Array] = field(default_factory=list)
    last: int = -1


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
        ranks: Ranks | None = None,
    ) -> None:
        self.ranks = ranks
        self.problem, self.engine, self.plan, self.seeds = problem, engine, plan, seeds
        self.initial, self.observables = initial, observables
        theta = engine.load(initial)
        self.state = State(theta, tuple(0.0 * theta for _ in range(plan.optimizer.slots)))
        self.good = self.state
        self.records = Records(observed={name: [] for name in observables})
        self.status = Status.RUNNING
        self.interrupt = Interruptible()
        ones = np.ones(problem.block.size)
        self._rates = engine.rates(ones if problem.rates is None else problem.rates)
        plain = plan.optimizer.name in ("gd", "sgd") and not self._penalty()
        self._descend: Any = getattr(engine, "descend", None) if plain else None
        self._buffers: list[Any] = []

    def advance(
        self, bar: Progress, checkpoint: Checkpoint, record: Callable[[], Record]
    ) -> Status:
        """Train until a status is reached; ``record`` says what a run file holds of it."""
        # BLAS on one thread: its pool and the kernels' own would take the cores from each other.
        particles = self.engine.backend == "particles"
        guard = threadpool_limits(1, user_api="blas") if particles else nullcontext()
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        self.status = Status.RUNNING
        with quiet, guard, self.interrupt:
            while (status := self._step(bar)) is None:
                if self._any(checkpoint.due) and not self._written(checkpoint, record):
                    break
        self.status = status or Status.NOT_WRITTEN
        if not self._written(checkpoint, record, whole=True):
            self.status = Status.NOT_WRITTEN
        return self.status

    def _any(self, wish: bool) -> bool:
        """Whether it is so for the networks of any process."""
        return wish if self.ranks is None else self.ranks.agreed(wish)

    def _written(
        self, checkpoint: Checkpoint, record: Callable[[], Record], *, whole: bool = False
    ) -> bool:
        """Write what all processes have, if there is a file; False where the system refuses."""
        if self.ranks is None:
            return checkpoint.write(record, whole=whole)
        if not self.ranks.agreed(checkpoint.kept):
            return True
        found = record()
        return not self.ranks.agreed(not checkpoint.write(lambda: found, whole=whole))

    def _step(self, bar: Progress) -> Status | None:
        """Record where the run stands, then go one step; or the status that forbids it."""
        state, plan = self.state, self.plan
        last, stochastic = state.n >= plan.count, plan.optimizer.batch is not None
        passed = None if last or stochastic else self._pass(None)
        if state.n > self.records.last and (plan.records(state.n) or state.n in plan.saves):
            found = self.engine.evaluate(state.theta) if passed is None else passed[:2]
            if not self._record(*found, self.records, plan.records(state.n)):
                self.state = self.good
                return Status.NON_FINITE
            self.good = state
            bar.update(plan.time(state.n), float(self.records.loss[-1].mean()))
        if last:
            return Status.DIVERGED if self._diverged() else Status.END_REACHED
        if self._any(self.interrupt.asked):
            return Status.INTERRUPTED
        if passed is None:
            passed = self._pass(self._rows())
        self._move(passed)
        return None

    def _diverged(self) -> bool:
        """Whether a network ends far above its start and above outputs that are zero.

        Noise of its own may well take one there.
        """
        if self.plan.optimizer.noisy:
            return False
        loss, problem = self.records.loss, self.problem
        silent = problem.fit(np.zeros_like(problem.y))
        return self._any(bool(np.any(loss[-1] > DIVERGED * np.maximum(loss[0], silent))))

    def _pass(self, rows: NDArray[np.int64] | None) -> Pass | Descent:
        """Loss, outputs and the gradient here, or at once what gradient descent makes of it."""
        theta = self.state.theta
        if self._descend is None:
            return self.engine.gradient(theta, rows)
        taken = (theta, self.good.theta)
        out = next((b for b in self._buffers if all(b is not t for t in taken)), None)
        if out is None:
            out = 0.0 * theta
            self._buffers.append(out)
        found: Descent = self._descend(theta, self.plan.h * self._rates, rows, out)
        return found

    def _rows(self) -> NDArray[np.int64]:
        """The minibatch of every network at this step, (S, n)."""
        size, n = self.plan.optimizer.batch or 0, self.state.n
        return np.stack(
            [randomness.minibatch(seed, n, size, self.problem.size) for seed in self.seeds]
        )

    def _move(self, passed: Pass | Descent) -> None:
        plan, state, penalty = self.plan, self.state, self._penalty()
        if isinstance(passed, Descent):
            self.state = State(passed.theta, (), state.n + 1)
            return
        slope = passed.slope
        if penalty:
            slope = slope + self._swap(penalty.gradient(self._swap(state.theta)))
        theta, slots = plan.optimizer.step(
            state.theta, slope, state.slots, self._noise(), state.n + 1, plan.h, self._rates
        )
        self.state = State(theta, slots, state.n + 1)

    def _penalty(self) -> Penalty:
        """What is descended beside the data's part, the vanishing part included."""
        penalty, plan = self.problem.penalty, self.plan
        if not plan.vanishing_decay:
            return penalty
        vanishing = 2.0 * plan.vanishing_decay * float(np.exp(-plan.time(self.state.n)))
        return replace(penalty, quadratic=penalty.quadratic + vanishing)

    def _swap(self, theta: Any) -> Any:
        """θ with its coordinates last, and back."""
        return theta if self.engine.coordinates == -1 else theta.mT

    def _noise(self) -> Any:
        if not self.plan.optimizer.noisy:
            return None
        shape = self.initial.shape[1:]
        draws = [randomness.noise(seed, self.state.n, shape) for seed in self.seeds]
        return self.engine.load(np.stack(draws))

    def _record(self, loss: Any, outputs: Any, records: Records, due: bool) -> bool:
        """Keep what is due of the present state; False where a loss is not finite."""
        state, plan, engine = self.state, self.plan, self.engine
        value = np.asarray(engine.numpy(loss), np.float64)
        if self.problem.penalty:
            mean = self.problem.penalty.value(self._swap(state.theta)).mean((1, 2))
            value = value + np.asarray(engine.numpy(mean), np.float64)
        if self._any(not np.all(np.isfinite(value))):
            return False
        records.last, s = state.n, plan.time(state.n)
        if due:
            snapshot = Snapshot(
                self.problem,
                s,
                value,
                lambda: engine.numpy(outputs),
                lambda: engine.unload(state.theta),
                self.initial,
            )
            records.s.append(s)
            records.loss.append(value)
            for name, found in observe(self.observables, snapshot).items():
                records.observed[name].append(found)
        if state.n in (0, plan.count) or state.n in plan.saves:
            records.saved_s.append(s)
            records.saved.append(engine.unload(state.theta).copy())
        return True

    def result(self) -> Training:
        """What there is, the present state recorded, as the user gets it.

        Raises ValueError where not even the start had a finite loss.
        """
        if not self.records.s:
            raise ValueError(
                "the loss of a network is not finite at the start: scale the data or the law down"
            )
        records, theta = self.records, self.state.theta
        loss, outputs = self.engine.evaluate(theta)
        if self.plan.time(self.state.n) != records.s[-1]:  # interrupted between two records
            records = copy.deepcopy(records)
            self._record(loss, outputs, records, True)
        return Training(
            s=np.array(records.s),
            loss=_stack(records.loss),
            outputs=self.engine.numpy(outputs),
            theta=self.engine.unload(theta),
            seeds=self.seeds,
            backend=self.engine.backend,
            engine=self.engine.name,
            status=self.status,
            observed={name: _stack(values) for name, values in records.observed.items()},
            saved_s=np.array(records.saved_s),
            saved=_stack(records.saved),
        )


def _stack(values: list[Array]) -> Array:
    """Recorded values (S, …) as one array (S, n, …)."""
    return np.stack(values, axis=1)
