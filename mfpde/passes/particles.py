"""Particles at depth nodes: a first variation is its gradient at the particles."""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy as np

from mfpde import checks
from mfpde.blocks import SHL, Linear, computes
from mfpde.kernels.pools import serial_blas
from mfpde.kernels.totals import divided
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import propagate
from mfpde.passes.in_blocks import InBlocks
from mfpde.passes.interface import Array, Operator
from mfpde.passes.layered import LayeredCarried
from mfpde.passes.propagate import Layers
from mfpde.penalty import Penalty
from mfpde.problem import Problem

# Share of the memory for data that states in single precision may take beside the others.
BESIDE = 3 / 7


class ParticleOperator(Operator):
    """A problem on particles: depth and weights are fixed, θ (K, M, p) is the state."""

    rho: ParticleMeasure

    def __init__(self, problem: Problem, rho: ParticleMeasure) -> None:
        super().__init__(problem, rho)
        self.start = self.start.astype(rho.dtype)
        weights = rho.weights.astype(rho.dtype, copy=False)
        self._layers = Layers(problem.block, rho.depth, rho.theta, weights)
        depth_weights = rho.depth.weights[:, None].astype(rho.dtype)
        self.per_node = np.ascontiguousarray(depth_weights[:, 0])
        self.mass = (depth_weights * weights)[:, :, None]
        if self.rates is not None:
            self.rates = self.rates.astype(rho.dtype)
            self.prices = problem.prices.astype(rho.dtype)

    @cached_property
    def single(self) -> Self | None:
        block = self.problem.block
        if self.rho.dtype != np.float64 or not (computes(block, SHL) or computes(block, Linear)):
            return None
        found = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(found, name, value.astype(np.float32))
        theta, weights = (part.astype(np.float32) for part in self._layers[2:])
        found._layers = self._layers._replace(theta=theta, weights=weights)
        found.memory = BESIDE * self.memory
        return found

    def layers(self, theta: Array) -> Layers:
        """What the passes read."""
        return self._layers._replace(theta=theta)

    def carry(
        self, state: Array, start: Array | None = None, *, keep: bool = True
    ) -> ParticlesCarried:
        layers = self.layers(state)
        kind = ParticlesCarried if self.at_once(layers, start) else ParticlesInBlocks
        return kind(self, state, layers, start, keep)

    def inner(self, left: Array, right: Array) -> float:
        """∫∫ ⟨left, η⁻¹∘right⟩ dρ of two changes of the state (K, M, p), in fixed order."""
        lowered = left if self.rates is None else self.prices * left
        return float(self.total((self.mass * lowered * right).sum()))

    def total(self, part: Array) -> Array:
        """A sum over particles, of which this process has made its part."""
        return part


class ParticlesCarried(LayeredCarried):
    """Data carried through particles θ (K, M, p)."""

    operator: ParticleOperator
    mixes = True

    @cached_property
    def variation(self) -> Array:
        """∇_θ V of the data's term at the particles, (K, M, p)."""
        return self._gradient(self.back.gradient)

    def potential(self) -> Array:
        return self.potentials(self.state)

    def atoms(self, node: int) -> tuple[Array, Array]:
        return self.state[node], self.layers.weights[node]

    def penalty_mean(self, penalty: Penalty) -> float:
        part = (self.operator.mass * penalty.value(self.state)[:, :, None]).sum()
        return float(self.operator.total(part))

    def pull(self, v: Array) -> Array:
        """The gradient at the particles, (K, M, p)."""
        back = propagate.adjoint(self.layers, self.passed, self.terminal(v))
        return self._gradient(back.gradient)

    def velocity(self, pulled: Array) -> Array:
        return self.operator.lifted(pulled)

    @serial_blas()
    def push(self, velocity: Array) -> Array:
        end = propagate.tangent(self.layers, self.passed, velocity)
        return end @ self.operator.problem.readout.T.astype(end.dtype)

    def inner(self, left: Array, right: Array) -> float:
        lift = self.operator.lifted
        return self.operator.inner(lift(left), lift(right))

    @property
    def root(self) -> Array | None:
        """√η, None for 1."""
        rates = self.operator.rates
        return None if rates is None else np.sqrt(rates)

    @cached_property
    def kernel(self) -> Any:
        rows, itemsize = self.outputs.size, self.layers.theta.itemsize
        remedy = "take fewer data, or products with K"
        checks.memory(f"a tangent kernel of {rows} rows", float(itemsize * rows**2), remedy)
        readout = self.operator.problem.readout
        part = propagate.tangent_kernel(self.layers, self.passed, readout, self.root)
        return self.operator.total(part)

    def mixed_kernel(self, mixes: Array, root: Array | None = None) -> Array:
        part = propagate.mixed_kernel(self.layers, self.passed, self.read(mixes, root), self.root)
        return self.operator.total(part)

    def _add_gram(self, node: int, factor: Any, kernel: Array) -> None:
        scaled = factor if self.root is None else self.layers.block.scaled(factor, self.root)
        super()._add_gram(node, scaled, kernel)

    def _gradient(self, by_theta: Array) -> Array:
        """∂E_h/∂θ_kj over ω_k; the weight a_kj is left out of the block's sums already."""
        out: Array = divided(by_theta, self.operator.per_node)
        return out


class ParticlesInBlocks(InBlocks, ParticlesCarried):
    """The same, data in blocks."""

    one = ParticlesCarried
