"""Particles that carry averages of their gradients: the flow of an optimiser (mfpde.optimizers).

The state is (θ, m, …), (1 + slots, K, M, p), and it starts with averages 0. "gd" takes the
optimiser's own steps, those of a network; the other methods integrate its limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mfpde import optimizers
from mfpde.flows import start
from mfpde.flows.flow import Array
from mfpde.flows.particle_flow import StateFlow, StatePoint
from mfpde.flows.schemes import SCHEMES, Scheme, Step
from mfpde.measures.particles import ParticleMeasure
from mfpde.optimizers import Optimizer
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.control import Control
from mfpde.runs.options import Options


def own(flow: OptimisedFlow, point: OptimisedPoint, h: float) -> Step:
    """One step of the optimiser: the averages first, then θ by them."""
    theta, averages = point.state[0], flow.optimizer.step(point.slope_at, point.state[1:], h)
    speed = flow.optimizer.velocity(point.slope_at, averages, point.s + h)
    moved = theta - h * flow.operator.lifted(speed)
    return Step(flow.at(np.concatenate([moved[None], averages]), point.s + h))


def _fixed(scheme: Scheme) -> Scheme:
    """Without the gradient flow's stability interval; fixed steps may raise an energy."""
    return replace(scheme, stability=None, descends=scheme.adaptive)


class OptimisedFlow(StateFlow):
    """Particles moved by an optimiser; the size of a state and of its errors is that of θ."""

    schemes: ClassVar[dict[str, Scheme]] = {
        "gd": _fixed(replace(SCHEMES["gd"], step=own)),
        **{name: _fixed(SCHEMES[name]) for name in ("heun", "rk4", "rk45")},
    }
    rho: ParticleMeasure

    def __init__(
        self,
        problem: Problem,
        rho: ParticleMeasure,
        clock: Clock | None = None,
        *,
        optimizer: Optimizer,
        vanishing_decay: float = 0.0,
    ) -> None:
        super().__init__(problem, rho, clock, vanishing_decay=vanishing_decay)
        self.optimizer = optimizer

    @classmethod
    def of(cls, problem: Problem, rho: Any, options: Options, clock: Clock) -> OptimisedFlow:
        """The flow of a run.

        Raises TypeError or ValueError for what does not go together with an optimiser.
        """
        if type(rho) is not ParticleMeasure:
            raise TypeError(f"optimizer needs a ParticleMeasure; given {type(rho).__name__}")
        if options.reaction:
            raise ValueError("optimizer cannot be combined with reaction")
        if options.global_error:
            raise ValueError("global_error needs optimizer=None")
        if options.step is None and options.method not in ("auto", "rk45"):
            raise ValueError(
                f"step must be given for method={options.method!r} with an optimizer, whose "
                "stability is its own; 'rk45' chooses its steps"
            )
        if options.method == "gd" and options.step is not None:
            _on_steps(options.step, (*options.times, options.s_end))
        chosen = optimizers.named(options.optimizer or {})
        return cls(problem, rho, clock, optimizer=chosen, vanishing_decay=options.vanishing_decay)

    @property
    def start_state(self) -> Array:
        rest = np.zeros((self.optimizer.slots, *self.rho.theta.shape), self.rho.dtype)
        return np.concatenate([self.rho.theta[None], rest])

    def at(self, state: Array, s: float = 0.0) -> OptimisedPoint:
        return OptimisedPoint(self, state, s)

    def scheme(self, options: Options) -> Scheme:
        return self.schemes[options.method]

    def start(self, point: Any, options: Options) -> tuple[Options, Control, str]:
        note = ""
        if options.method == "auto":
            options, note = start.chosen(options, "rk45", f"the flow of {self.optimizer}")
        h = options.step
        if h is None:
            h = start.first_step(self, point, options, self.scheme(options))
            h = min(h, self.optimizer.memory)
        return options, Control(0.0, point.state, h), note

    def norm(self, change: Array) -> float:
        return super().norm(change[0])

    def error(self, step: Step) -> float:
        """Errors of averages count by how far they move θ within their memory."""
        found, point = step.error, step.point
        assert isinstance(found, np.ndarray)
        moved = self.optimizer.effect(found[1:], point.state[1:], point.s)
        whole = np.abs(found[0]) + np.abs(self.operator.lifted(moved))
        return super().norm(whole)

    def curvature(self, point: StatePoint) -> float:
        bound: float = self.penalty(point.s).curvature(point.state[0])
        return self.fastest * bound

    def observe(self, before: Any, after: Any) -> None:
        if self.may_rise(before, after):
            self.clock.extremes.pop("energy_rise", None)  # which breaks no promise

    def may_rise(self, before: Any, after: Any) -> bool:
        """No energy of Adam is known to fall."""
        return self.optimizer.kinetic(before.state[1:]) is None


def _on_steps(step: float, times: Iterable[float]) -> None:
    """Raises ValueError for a time between steps: a shorter one there would change what follows."""
    off = [s for s in times if np.isfinite(s) and abs(s / step - round(s / step)) > 1e-9 * s / step]
    if off:
        raise ValueError(
            f"save and s_end must be multiples of step={step:g} for the optimiser's own steps; "
            f"given {off[0]:g}. Other methods land anywhere"
        )


class OptimisedPoint(StatePoint):
    """The flow at (θ, averages) and s."""

    flow: OptimisedFlow

    def __init__(self, flow: OptimisedFlow, state: Array, s: float) -> None:
        super().__init__(flow, np.ascontiguousarray(state[0]), s)
        self.state = state

    @cached_property
    def slope_at(self) -> Array:
        """∇V at the particles, the penalty included, (K, M, p)."""
        if penalty := self.flow.penalty(self.s):
            confined: Array = self.variation + penalty.gradient(self.state[0])
            return confined
        return self.variation

    @cached_property
    def gradient(self) -> Array:
        """Minus the velocity of (θ, averages)."""
        optimizer, g, averages = self.flow.optimizer, self.slope_at, self.state[1:]
        speed = self.flow.operator.lifted(optimizer.velocity(g, averages, self.s))
        return np.concatenate([speed[None], -optimizer.motion(g, averages)])

    @cached_property
    def norm2(self) -> float:
        """|grad E|² of E itself at θ."""
        lifted = self.flow.operator.lifted(self.slope_at)
        return float(self.flow.inner(lifted, lifted))

    @cached_property
    def energy(self) -> float:
        """E with the vanishing decay, and the averages' own where an energy falls."""
        kinetic = self.flow.optimizer.kinetic(self.state[1:])
        if kinetic is None:
            return self.confined_energy
        operator = self.flow.operator
        return self.confined_energy + float((operator.mass * operator.lifted(kinetic)).sum())
