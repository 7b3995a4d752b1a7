"""The conditional-OT gradient flow of particles: dθ_kj/ds = −η∘∇_θ V(t_k, θ_kj)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from mfpde.flows import start
from mfpde.flows.flow import Array, DescentPoint, Flow
from mfpde.flows.schemes import SCHEMES, Scheme, scheme
from mfpde.runs.control import Control
from mfpde.runs.options import Options


class StateFlow(Flow):
    """Flows whose state lies in a vector space with a metric that the flow leaves fixed."""

    schemes = SCHEMES

    def __init__(self, problem: Any, *parts: Any, **terms: Any) -> None:
        problem.refuse_entropy()
        super().__init__(problem, *parts, **terms)

    def at(self, state: Array, s: float = 0.0) -> Any:
        """The flow at a state and time s."""
        return StatePoint(self, state, s)

    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""
        return scheme(options.method, options.rtol, options.atol, options.served)

    def start(self, point: StatePoint, options: Options) -> tuple[Options, Control, str]:
        """Options with "auto" resolved, the first step, and a note on what was chosen."""
        return start.prepare(self, point, options)

    def curvature(self, point: StatePoint) -> float:
        """A bound of the eigenvalues of √η D²r √η over the particles."""
        bound: float = self.penalty(point.s).curvature(point.state)
        return self.fastest * bound

    def inner(self, left: Array, right: Array) -> float:
        """The metric of two changes of the state, reduced in fixed order."""
        return float(self.operator.inner(left, right))

    def norm(self, change: Array) -> float:
        """Size of a change of the state, for particles √∫∫ |η^−½∘change|² dρ."""
        return float(np.sqrt(self.inner(change, change)))

    def size(self, point: StatePoint) -> float:
        """The size of the state itself, which changes are compared with."""
        return self.norm(point.state)


class ParticleFlow(StateFlow):
    """A problem with what the flow of particles leaves fixed: depth and weights."""


class StatePoint(DescentPoint):
    """The flow at one state and s."""

    @cached_property
    def gradient(self) -> Array:
        """Minus the velocity of the state, the penalty included."""
        if penalty := self.flow.penalty(self.s):
            slope = self.flow.operator.lifted(penalty.gradient(self.state))
            return self.carried.velocity(self.variation) + slope
        return self.carried.velocity(self.variation)

    @cached_property
    def norm2(self) -> float:
        """|grad E|² in the metric; for particles ∫∫ |√η∘∇_θ V|² dρ."""
        return float(self.flow.inner(self.gradient, self.gradient))
