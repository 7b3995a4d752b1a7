"""The loop: propose a step, let the scheme take it, judge, record, checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mfpde.flows import accuracy, stability, switching
from mfpde.flows import control as steps
from mfpde.flows.flow import Flow
from mfpde.flows.schemes import Scheme, Step
from mfpde.kernels.pools import serial_blas
from mfpde.runs.checkpoint import Checkpoint
from mfpde.runs.control import Control
from mfpde.runs.interrupt import Interruptible
from mfpde.runs.progress import Progress
from mfpde.runs.solution import Solution
from mfpde.runs.status import Status

Callback = Callable[[Solution], bool | None]

# Steps between two looks at λ_max: one power iteration costs two gradients.
WATCH_EVERY = 20
# A run without s_end that gets this far has nowhere left to go.
REST = 1e15
# One without s_end is at rest where as much time again would lower the loss by this part of what
# is missing and the gradient has not grown for so many steps: it grows on the way off a saddle.
RESTING, STILL = 1e-15, 5
# Explicit steps hover at a distance that their tolerance sets: there it is at rest where the loss,
# too, has not fallen by this part (or rounding) of what is missing, for so many steps.
STALLED, LONG = 1e-12, 20
# A loss below this many squared roundings of the targets is zero: its changes are noise.
ROUNDING = 64 * np.finfo(np.float64).eps


class Driver:
    """Advances a ``Solution`` in place; everything that a resumed run needs is in the solution."""

    def __init__(
        self,
        solution: Solution,
        flow: Flow,
        *,
        point: Any = None,
        callback: Callback | None = None,
        checkpoint: Checkpoint | None = None,
        progress: bool | str = False,
    ) -> None:
        """``point``: the flow at the solution's control, where it has been passed already."""
        self.solution, self.flow = solution, flow
        self.options = solution.options
        self.scheme = self._scheme()
        self.callback = callback
        self.checkpoint = checkpoint or Checkpoint(None, 0.0)
        shown = progress if flow.first else False
        self.progress = Progress(shown, self.options.s_end, self.options.loss_below)
        here = self.control
        self.point = flow.at(flow.part(here.state), here.s) if point is None else point
        self.floor = float(ROUNDING**2 * (1.0 + np.mean(np.square(flow.problem.y))))
        self.interrupt = Interruptible()

    @property
    def control(self) -> Control:
        """What the next step depends on; it lives in the solution."""
        return self.solution.control

    def _scheme(self) -> Scheme:
        """The scheme at work: the run's own, or what "auto" works with at present."""
        options = self.options
        if options.method != "auto":
            return self.flow.scheme(options)
        return switching.scheme(self.flow, options, self.control.method)

    def run(self) -> None:
        """Advance until a status is reached; the solution then carries it."""
        with (
            np.errstate(over="ignore", invalid="ignore", divide="ignore"),
            self.flow.clock.compilation(),
            serial_blas(),
            self.interrupt,
            self.progress,
        ):
            if not self.solution.s.size:
                self._check_start()
                self._record(0.0)
            status = self._loop()
        if status.success and self.control.chosen and self.solution.fixed_error > accuracy.STATED:
            status = Status.INACCURATE
        self.solution.close(status, self.flow.clock.report())
        if not self._write(whole=True):
            self.solution.not_written(self.checkpoint.error)

    def _check_start(self) -> None:
        if not _finite(self.point):
            raise ValueError(
                "the energy of rho0, or its gradient, is not finite: scale the data or the initial "
                "law down"
            )

    def reach(self, s: float) -> Any:
        """The state at s: the run's own steps up to the one that passes s, then a shorter one."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"), serial_blas():
            while self.control.s < s:
                # "auto" may change its method after a step, which then is not the one that took it.
                before, scheme, solving = self.point, self.scheme, self.control.solving
                if (status := self._advance()) is not None:
                    raise RuntimeError(f"the run cannot be repeated to s = {s:g}: {status.text}")
            if self.control.s == s:
                return self.control.state
            self.flow.solving = solving
            return scheme.step(self.flow, before, s - before.s).point.state

    def _loop(self) -> Status:
        while (status := self._ended()) is None:
            if (status := self._advance()) is not None:
                return status
            if self._stopped():
                return Status.STOPPED
            if self.flow.agreed(self.checkpoint.due) and not self._write():
                return Status.NOT_WRITTEN
        return status

    def _stopped(self) -> bool:
        if self.callback is None:
            return False
        self._publish()
        return self.flow.agreed(bool(self.callback(self.solution)))

    def _ended(self) -> Status | None:
        options, control = self.options, self.control
        if not _finite(self.point):
            return Status.NON_FINITE
        if options.loss_below is not None and self.point.loss <= options.loss_below:
            return Status.LOSS_REACHED
        if control.s >= options.s_end:
            return Status.END_REACHED if options.loss_below is None else Status.GOAL_MISSED
        if not np.isfinite(options.s_end):
            if self.point.loss <= self.floor:
                return Status.STATIONARY
            if control.s > REST or self.point.norm2 == 0.0 or self._rests():
                return Status.AT_REST
        if self.flow.agreed(self.interrupt.asked):
            return Status.INTERRUPTED
        return Status.MAX_STEPS if control.steps >= options.max_steps else None

    def _rests(self) -> bool:
        """Whether nothing more happens, beside what the loss would still have to fall."""
        slopes = np.array(self.solution.latest("gradient_norm2", LONG + 1))
        losses = self.solution.latest("loss", LONG + 1)
        missing = self.point.loss - (self.options.loss_below or 0.0)
        ahead = slopes * self.control.s / missing  # what as much time again would bring
        if len(ahead) > STILL and ahead[-1] <= min(RESTING, ahead[-1 - STILL]):
            return True
        least = max(STALLED, 10 * float(np.finfo(self.control.state.dtype).eps))
        fell, half = losses[0] - losses[-1] > least * missing, LONG // 2
        grows = ahead[half + 1 :].max(initial=0.0) > ahead[: half + 1].max()
        return len(ahead) > LONG and not fell and not grows and bool(ahead.min() <= least)

    def _advance(self) -> Status | None:
        """One accepted step, or the status that forbids it."""
        if self.scheme.watched and (status := self._watch()) is not None:
            return status
        while True:
            longest = self._longest()
            h, target = steps.proposal(self.control, self.options, self.scheme, longest)
            self.flow.solving = self.control.solving
            step = self.scheme.step(self.flow, self.point, h)
            if not self.scheme.adaptive:
                status = self._judge_fixed(step)
                if status is None:
                    self._estimate(step, h)
                    return self._accept(step, h, target)
                return status
            if self._judge_adaptive(step, h, min(self.control.h, longest)):
                return self._accept(step, h, target)
            if steps.exhausted(self.control):
                return Status.STEP_TOO_SMALL if _finite(step.point) else Status.NON_FINITE

    def _longest(self) -> float:
        """What an adaptive scheme allows: its own limit and stability."""
        if not self.scheme.adaptive:
            return np.inf
        if self.scheme.longest is None:
            return steps.stable(self.control, self.scheme)
        limit = self.scheme.longest(self.flow, self.point)
        return min(limit, steps.stable(self.control, self.scheme))

    def _judge_fixed(self, step: Step) -> Status | None:
        if not step.point.finite:
            return Status.NON_FINITE
        return Status.LOSS_ROSE if self._rose(step.point) else None

    def _estimate(self, step: Step, h: float) -> None:
        """Add the error of a fixed step, now and then, to that of the run."""
        if count := accuracy.steps_answered(self.control.steps):
            found = accuracy.of_step(self.flow, self.scheme, self.point, step.point, h)
            self.control.drift += count * found.relative
            self.control.late += count * found.shift

    def _judge_adaptive(self, step: Step, h: float, wanted: float) -> bool:
        """Accept or not, and set the next proposal."""
        error = self._relative_error(step)
        rose = error <= 1.0 and self._rose(step.point)
        accepted, control = steps.judged(self.control, self.scheme, h, error, rose, wanted)
        if step.rate is not None and np.isfinite(step.rate):
            control = replace(control, rate=step.rate)
        if step.solving is not None:
            control = replace(control, solving=step.solving)
        self.solution.control = control
        self.flow.clock.counts["rejected"] += not accepted
        return accepted

    def _relative_error(self, step: Step) -> float:
        if step.refused or not _finite(step.point):
            return float("inf")
        if step.error is None:
            return 0.0
        size = max(self.flow.size(self.point), self.flow.size(step.point))
        allowed = self.scheme.share * (self.options.atol + self.options.rtol * size)
        error = self.flow.error(step) / allowed
        return float(error) if np.isfinite(error) else float("inf")

    def _rose(self, new: Any) -> bool:
        """Whether the energy is larger at the new point, where the flow does not allow it."""
        if not self.scheme.descends:
            return False
        before = self.point.energy
        rose = bool(new.energy > before + 1e-12 * abs(before) + self.floor)
        return rose and not self.flow.may_rise(self.point, new)

    def _watch(self) -> Status | None:
        control = self.control
        if control.steps % WATCH_EVERY:
            return None
        value, control.watch = stability.largest_eigenvalue(
            self.flow, self.point, control.watch, 8 if control.steps == 0 else 1
        )
        control.rate = value
        limit = self.scheme.stability or np.inf
        fixed = not self.scheme.adaptive
        return Status.UNSTABLE if fixed and control.h * value > limit else None

    def _accept(self, step: Step, h: float, target: float) -> Status | None:
        """Make the step's end the present point, unless a number of it is not finite."""
        point, control, start = step.point, self.control, self.control.s
        if point.s != target:  # the sum of the steps misses a stop by a rounding
            point = self.flow.at(point.state, target)
        if not _finite(point):
            return Status.NON_FINITE
        self._save_dense(step, start, h)
        self._observe(point)
        self.point = point
        control.s, control.state = target, point.state
        control.steps += 1
        self.flow.clock.counts["steps"] += 1
        self._note_rise()
        if self.options.method == "auto":
            self._reconsider(h)  # before the record, which keeps what the next step depends on
        self._record(h)
        return None

    def _note_rise(self) -> None:
        """Keep how far |grad E| has grown, which says what becomes of errors made before."""
        control, here = self.control, float(np.sqrt(self.point.norm2))
        control.lowest = min(control.lowest, here) if control.steps > 1 else here
        if control.lowest > 0.0:
            control.rise = max(control.rise, here / control.lowest)

    def _reconsider(self, h: float) -> None:
        """Let "auto" change its method."""
        before = self.control.method
        self.solution.control = switching.reconsidered(
            self.flow, self.point, self.scheme, self.control, h, self.options.served
        )
        changed = self.control.method != before
        self.flow.clock.counts["switches"] += changed
        if changed:
            self.scheme = self._scheme()
            self.solution.note = switching.told(self.solution.note, self.control)

    def _observe(self, new: Any) -> None:
        """Monitor what is guaranteed: the energy never rises, and what the flow adds."""
        rise = (new.energy - self.point.energy) / (abs(self.point.energy) + self.floor)
        self.flow.clock.worst("energy_rise", max(float(rise), 0.0))
        self.flow.observe(self.point, new)

    def _save_dense(self, step: Step, start: float, h: float) -> None:
        """Save times strictly inside a step of a scheme with dense output."""
        if step.dense is not None:
            for t in self.options.times:
                if start < t < start + h:
                    state = self.flow.whole(step.dense((t - start) / h))
                    self.solution.save_state(t, state)

    def _record(self, h: float) -> None:
        point, s = self.point, self.control.s
        point.norm2  # noqa: B018  a pass through depth: to be timed as kernels, not as recording
        with self.flow.clock.part("recording"):
            self.solution.record(s, point.loss, point.energy, point.norm2, h)
            self.solution.observe(lambda: self.flow.rho.with_state(self.flow.whole(point.state)))
            self.solution.mark(lambda: self.flow.whole(point.state))
            if s == 0.0 or self.options.every_step or s in self.options.times:
                self.solution.save_state(s, self.flow.whole(point.state))
        self.progress.update(s, point.loss)

    def _publish(self) -> None:
        """Show the whole state in the solution."""
        self.control.state = self.flow.whole(self.point.state)

    def _write(self, *, whole: bool = False) -> bool:
        self._publish()
        with self.flow.clock.part("recording"):
            failed = not self.checkpoint.write(self.solution.record_of_all, whole=whole)
        return not self.flow.agreed(failed)


def _finite(point: Any) -> bool:
    """Whether everything that is recorded of a point is a number."""
    return bool(point.finite and np.isfinite(point.energy) and np.isfinite(point.norm2))
