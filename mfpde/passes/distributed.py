"""Particles dealt to ranks: each rank sums over its own, and the sums of a layer are added up.

Rank r owns some particles of every depth node; all ranks hold the data and their states. A field
∫ f(X_i, θ) ρ_t(dθ), its pull D_xFᵀQ and its tangent are sums over particles: one reduction of
(N, d) numbers at each stage of depth. Gradients and velocities belong to a particle and stay where
it is; the tangent kernel is a sum over particles, reduced once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfpde.blocks.base import Block
from mfpde.depth import Depth
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes.interface import Array
from mfpde.passes.particles import ParticleOperator
from mfpde.passes.ranks import Ranks
from mfpde.problem import Problem

LAYER = Depth(1, "euler")


class SharedBlock(Block):
    """A block whose sums over particles are those of all ranks, its sums over data one's own."""

    def __init__(self, block: Block, ranks: Ranks) -> None:
        self.block, self.ranks = block, ranks
        self.dim, self.coordinates = block.dim, block.coordinates

    def value(self, x: Array, theta: Array) -> Array:
        return self.block.value(x, theta)

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.pull_state(x, theta, q)

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.pull_parameter(x, theta, q)

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        return self.ranks.sum(self._field(x, theta, a))

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        pull, gradient = self._backward(x, theta, a, q)
        return self.ranks.sum(pull), gradient

    def _field(self, x: Array, theta: Array, a: Array) -> Array:
        """By the compiled pass of a block that has one, through one layer: X(1) − X(0)."""
        whole = self.block.forward_pass(LAYER, theta[None], a[None], x, False)
        return self.block.field(x, theta, a) if whole is None else whole[1][1] - x

    def _backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        whole = self.block.adjoint_pass(LAYER, theta[None], a[None], x[None, None], q, None)
        if whole is None:
            return self.block.backward(x, theta, a, q)
        _, path, gradient = whole
        return path[0] - q, gradient[0]

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.potential(x, theta, q)

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.gradient(x, theta, q)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        return self.ranks.sum(self.block.tangent(x, theta, a, dx, dtheta))

    def sensitivity(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Any]:
        pull, factor = self.block.sensitivity(x, theta, a, q)
        return self.ranks.sum(pull), factor

    def scaled(self, factor: Any, root: Array) -> Any:
        return self.block.scaled(factor, root)

    def merged(self, factors: list[Any]) -> list[Any]:
        return self.block.merged(factors)

    def gram(self, factors: list[Any], a: Array, scale: float, out: Array) -> None:
        """This rank's part: ``ParticleOperator.total`` adds up the kernel."""
        self.block.gram(factors, a, scale, out)


class DistributedOperator(ParticleOperator):
    """A problem on this rank's particles of a measure; states and first variations are its own.

    Raises ValueError where there are fewer particles than ranks.
    """

    def __init__(self, problem: Problem, rho: ParticleMeasure, ranks: Ranks) -> None:
        super().__init__(problem, rho)
        if rho.count < ranks.size:
            raise ValueError(
                f"comm: {rho.count} particles at a depth cannot be dealt to {ranks.size} ranks; "
                "start fewer"
            )
        self.ranks, self.own = ranks, ranks.share(rho.count)
        block, depth, theta, weights = self._layers
        shared = SharedBlock(block, ranks)
        self._layers = type(self._layers)(
            shared, depth, theta[:, self.own].copy(), weights[:, self.own].copy()
        )
        self.mass = self.mass[:, self.own]
        if problem.memory is None:
            self.memory /= ranks.here
        self.block_bytes = np.inf  # each block of data costs messages
        self.memory = -ranks.largest(-self.memory)  # all ranks must cut the data alike

    def total(self, part: Array) -> Array:
        return self.ranks.sum(part)

    def part(self, state: Array) -> Array:
        """This rank's particles of a whole state (K, M, p)."""
        return state[:, self.own].copy()

    def whole(self, part: Array) -> Array:
        """The state of all ranks, on each of them."""
        return self.ranks.joined(part, self.rho.count)
