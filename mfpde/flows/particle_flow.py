"""The conditional-OT gradient flow of particles: dθ_kj/ds = −∇_θ V(t_k, θ_kj)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import layers, terminal_cotangent
from mfpde.flows import start
from mfpde.flows.base import ProblemFlow, ProblemPoint
from mfpde.flows.schemes import SCHEMES, Scheme, scheme
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import propagate
from mfpde.passes.propagate import Forward, Layers
from mfpde.penalty import Penalty
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.options import Options
from mfpde.runs.solution import Control

Array = NDArray[Any]


class ParticleFlow(ProblemFlow):
    """A problem with everything of a measure that the flow leaves fixed: depth and weights.

    ``vanishing_decay`` = c adds c e^{−s} ∫∫ |θ|² dρ to the energy (Ding et al. 2021).
    """

    schemes = SCHEMES

    def __init__(
        self,
        problem: Problem,
        rho: ParticleMeasure,
        clock: Clock | None = None,
        *,
        vanishing_decay: float = 0.0,
    ) -> None:
        problem.refuse_entropy()
        super().__init__(problem, clock, vanishing_decay)
        self._layers = layers(problem, rho)
        self._start = problem.start().astype(rho.dtype)
        depth_weights = rho.depth.weights[:, None].astype(rho.dtype)
        self._per_node = depth_weights[:, :, None]
        self._mass = (depth_weights * self._layers.weights)[:, :, None]

    def at(self, theta: Array, s: float = 0.0) -> Point:
        """The flow at θ (K, M, p) and time s; all beyond the forward pass is done on demand."""
        return Point(self, theta, s)

    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""
        return scheme(options.method, options.rtol, options.atol)

    def start(self, point: Point, options: Options) -> tuple[Options, Control, str]:
        """Options with "auto" resolved, the first step, and a note on what was chosen."""
        return start.prepare(self, point, options)

    def penalty(self, s: float) -> Penalty:
        """The confinement at time s, the vanishing part included."""
        return self.confinement(s)

    def may_rise(self, before: Point, after: Point) -> bool:
        """Never: E is smooth and the flow descends it."""
        return False

    def layers(self, theta: Array) -> Layers:
        return self._layers._replace(theta=theta)

    def forward(self, theta: Array) -> Forward:
        with self.clock.part("kernels"):
            return propagate.forward(self.layers(theta), self._start, keep=True)

    def pull(self, point: Point, terminal: Array) -> Array:
        """COT gradient of ⟨terminal, X(1)⟩ in θ, (K, M, p), for a terminal (N, d)."""
        self.clock.counts["gradients"] += 1
        with self.clock.part("kernels"):
            back = propagate.adjoint(self.layers(point.state), point.passed, terminal)
            return back.gradient / self._per_node

    def pull_outputs(self, point: Point, v: Array) -> Array:
        """COT gradient of ⟨v, outputs⟩ in θ, (K, M, p), for v (N, k)."""
        return self.pull(point, (v @ self.problem.readout).astype(point.state.dtype))

    def push(self, point: Point, change: Array) -> Array:
        """Change of the outputs, (N, k), to first order in a change of θ."""
        self.clock.counts["tangents"] += 1
        with self.clock.part("kernels"):
            end = propagate.tangent(self.layers(point.state), point.passed, change)
            return end @ self.problem.readout.T.astype(end.dtype)

    def kernel_product(self, point: Point, v: Array) -> Array:
        """K v for v (N, k)."""
        return self.push(point, self.pull_outputs(point, v))

    def curvature(self, point: Point) -> float:
        """The largest eigenvalue of D²r over the particles."""
        return self.penalty(point.s).curvature(point.state)

    def observe(self, before: Point, after: Point) -> None:
        """Nothing to monitor: weights do not move."""

    def inner(self, left: Array, right: Array) -> float:
        """∫∫ ⟨left, right⟩ dρ, the COT inner product, reduced in fixed order."""
        return float((self._mass * left * right).sum())

    def mean_penalty(self, penalty: Penalty, theta: Array) -> float:
        """∫∫ r dρ."""
        values = penalty.value(theta)[:, :, None]
        return float((self._mass * values).sum())

    def size(self, point: Point) -> float:
        """√∫∫ |θ|² dρ, which changes are compared with."""
        return self.norm(point.state)

    def norm(self, change: Array) -> float:
        """COT norm of a displacement field, √∫∫ |change|² dρ."""
        return float(np.sqrt(self.inner(change, change)))


class Point(ProblemPoint):
    """The flow at one θ and s: the forward pass is done, the rest follows when asked for.

    ``state`` is θ (K, M, p).
    """

    def __init__(self, flow: ParticleFlow, theta: Array, s: float) -> None:
        self.flow, self.state, self.s = flow, theta, s
        self.passed = flow.forward(theta)

    @property
    def end(self) -> Array:
        return self.passed.end

    def mean_penalty(self, penalty: Penalty) -> float:
        return self.flow.mean_penalty(penalty, self.state)

    @cached_property
    def gradient(self) -> Array:
        """∇_θ V at the particles, (K, M, p)."""
        back = self.flow.pull(self, terminal_cotangent(self.flow.problem, self.passed.end))
        if penalty := self.flow.penalty(self.s):
            back += penalty.gradient(self.state)
        return back

    @cached_property
    def norm2(self) -> float:
        """|grad E|²_COT = ∫∫ |∇_θ V|² dρ."""
        return self.flow.inner(self.gradient, self.gradient)

    @cached_property
    def kernel(self) -> Array:
        """The tangent kernel K = JJ* of the outputs, (N·k, N·k)."""
        flow = self.flow
        flow.clock.counts["kernels"] += 1
        with flow.clock.part("kernels"):
            return propagate.tangent_kernel(
                flow.layers(self.state), self.passed, flow.problem.readout
            )
