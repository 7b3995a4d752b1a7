"""The conditional-OT gradient flow of particles: dθ_kj/ds = −∇_θ V(t_k, θ_kj)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import propagate
from mfpde.evaluate import layers, terminal_cotangent
from mfpde.flows.clock import Clock
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.propagate import Forward, Layers

Array = NDArray[Any]


class ParticleFlow:
    """A problem with everything of a measure that the flow leaves fixed: depth and weights."""

    def __init__(self, problem: Problem, rho: ParticleMeasure, clock: Clock | None = None) -> None:
        self.problem = problem
        self.clock = clock or Clock()
        self._layers = layers(problem, rho)
        self._start = problem.start().astype(rho.dtype)
        depth_weights = rho.depth.weights[:, None].astype(rho.dtype)
        self._per_node = depth_weights[:, :, None]
        self._mass = (depth_weights * self._layers.weights)[:, :, None]

    @property
    def rows(self) -> int:
        """N·k, the size of the tangent kernel."""
        return self.problem.size * self.problem.outputs

    def at(self, theta: Array) -> Point:
        """The flow at θ (K, M, p); everything beyond the forward pass is computed on demand."""
        return Point(self, theta)

    def layers(self, theta: Array) -> Layers:
        return self._layers._replace(theta=theta)

    def forward(self, theta: Array) -> Forward:
        with self.clock.part("kernels"):
            return propagate.forward(self.layers(theta), self._start, keep=True)

    def pull(self, point: Point, terminal: Array) -> Array:
        """COT gradient of ⟨terminal, X(1)⟩ in θ, (K, M, p), for a terminal (N, d)."""
        self.clock.counts["gradients"] += 1
        with self.clock.part("kernels"):
            back = propagate.adjoint(self.layers(point.theta), point.passed, terminal)
            return back.gradient / self._per_node

    def pull_outputs(self, point: Point, v: Array) -> Array:
        """COT gradient of ⟨v, outputs⟩ in θ, (K, M, p), for v (N, k)."""
        return self.pull(point, (v @ self.problem.readout).astype(point.theta.dtype))

    def push(self, point: Point, change: Array) -> Array:
        """Change of the outputs, (N, k), to first order in a change of θ."""
        self.clock.counts["tangents"] += 1
        with self.clock.part("kernels"):
            end = propagate.tangent(self.layers(point.theta), point.passed, change)
            return end @ self.problem.readout.T.astype(end.dtype)

    def inner(self, left: Array, right: Array) -> float:
        """∫∫ ⟨left, right⟩ dρ, the COT inner product, reduced in fixed order."""
        return float((self._mass * left * right).sum())

    def norm(self, change: Array) -> float:
        """COT norm of a displacement field, √∫∫ |change|² dρ."""
        return float(np.sqrt(self.inner(change, change)))


class Point:
    """The flow at one θ: the forward pass is done, the rest is computed once when asked for."""

    def __init__(self, flow: ParticleFlow, theta: Array) -> None:
        self.flow, self.theta = flow, theta
        self.passed = flow.forward(theta)

    @cached_property
    def outputs(self) -> Array:
        """B X_i(1) in float64, (N, k)."""
        return self.passed.end @ self.flow.problem.readout.T

    @cached_property
    def loss(self) -> float:
        """E, weight decay included; NaN or inf where the state is not finite."""
        problem = self.flow.problem
        with np.errstate(all="ignore"):
            data = float(np.mean(problem.loss.value(self.outputs, problem.y)))
            if problem.weight_decay == 0.0:
                return data
            return data + 0.5 * problem.weight_decay * self.flow.inner(self.theta, self.theta)

    @cached_property
    def slope(self) -> Array:
        """∂ℓ/∂z at the outputs, (N, k)."""
        return self.flow.problem.loss.gradient(self.outputs, self.flow.problem.y)

    @cached_property
    def hessian(self) -> Array | None:
        """∂²ℓ/∂z² at the outputs, (N, k, k), or None for the identity."""
        return self.flow.problem.loss.hessian(self.outputs, self.flow.problem.y)

    @cached_property
    def gradient(self) -> Array:
        """∇_θ V at the particles, (K, M, p)."""
        problem = self.flow.problem
        back = self.flow.pull(self, terminal_cotangent(problem, self.passed.end))
        if problem.weight_decay:
            back += problem.weight_decay * self.theta
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
                flow.layers(self.theta), self.passed, flow.problem.readout
            )

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.loss))
