"""Particles at depth nodes: a first variation is its gradient at the particles."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import propagate
from mfpde.passes.interface import Array, Operator
from mfpde.passes.layered import LayeredCarried
from mfpde.passes.propagate import Layers
from mfpde.penalty import Penalty
from mfpde.problem import Problem


class ParticleOperator(Operator):
    """A problem on particles: depth and weights are fixed, θ (K, M, p) is the state."""

    rho: ParticleMeasure

    def __init__(self, problem: Problem, rho: ParticleMeasure) -> None:
        super().__init__(problem, rho)
        self.start = self.start.astype(rho.dtype)
        weights = rho.weights.astype(rho.dtype, copy=False)
        self._layers = Layers(problem.block, rho.depth, rho.theta, weights)
        depth_weights = rho.depth.weights[:, None].astype(rho.dtype)
        self.per_node = depth_weights[:, :, None]
        self.mass = (depth_weights * weights)[:, :, None]

    def layers(self, theta: Array) -> Layers:
        """What the passes read."""
        return self._layers._replace(theta=theta)

    def carry(
        self, state: Array, start: Array | None = None, *, keep: bool = True
    ) -> ParticlesCarried:
        return ParticlesCarried(self, state, self.layers(state), start, keep)

    def inner(self, left: Array, right: Array) -> float:
        """∫∫ ⟨left, right⟩ dρ of two fields (K, M, p), the COT inner product, in fixed order."""
        return float((self.mass * left * right).sum())


class ParticlesCarried(LayeredCarried):
    """Data carried through particles θ (K, M, p)."""

    operator: ParticleOperator
    averages = True

    @cached_property
    def variation(self) -> Array:
        """∇_θ V of the data's term at the particles, (K, M, p)."""
        return self._gradient(self.back.gradient)

    def potential(self) -> Array:
        return np.stack([self.potential_at(k, theta) for k, theta in enumerate(self.state)])

    def atoms(self, node: int) -> tuple[Array, Array]:
        return self.state[node], self.layers.weights[node]

    def penalty_mean(self, penalty: Penalty) -> float:
        return float((self.operator.mass * penalty.value(self.state)[:, :, None]).sum())

    def pull(self, v: Array) -> Array:
        """The gradient at the particles, (K, M, p)."""
        back = propagate.adjoint(self.layers, self.passed, self.terminal(v))
        return self._gradient(back.gradient)

    def velocity(self, pulled: Array) -> Array:
        return pulled

    def push(self, velocity: Array) -> Array:
        end = propagate.tangent(self.layers, self.passed, velocity)
        return end @ self.operator.problem.readout.T.astype(end.dtype)

    def inner(self, left: Array, right: Array) -> float:
        return self.operator.inner(left, right)

    @cached_property
    def kernel(self) -> Any:
        return propagate.tangent_kernel(self.layers, self.passed, self.operator.problem.readout)

    def mean_kernel(self, root: Array | None = None) -> Array:
        return propagate.mean_kernel(self.layers, self.passed, self.read(root))

    def _gradient(self, by_theta: Array) -> Array:
        """∂E_h/∂θ_kj over ω_k; the weight a_kj is left out of the block's sums already."""
        out: Array = by_theta / self.operator.per_node
        return out
