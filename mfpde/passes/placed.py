"""Blocks placed in depth, passed one after another in order of t.

The state is (θ_j, t_j), (n, p + 1), one row per block, in the numbering of the start; the metric is
(1/n) Σ_j (|dθ_j|² + β²|dt_j|²), |dθ|² with the rates of the problem. A first variation is its
gradient in this metric. A block that E
pushes out of [0, 1] stays at the end until it is pulled back: the reflecting (no-flux) boundary of
a flow without noise. How E depends on t is what the kinds of placed blocks differ in.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.kernels.pools import serial_blas
from mfpde.measures.joint import PlacedBlocks
from mfpde.passes.interface import Array, Carried, Operator, Trajectories
from mfpde.penalty import Penalty
from mfpde.problem import Problem

# The implicit step and the stability limit hold the Jacobian of the outputs: this many entries.
LARGEST_JACOBIAN = 1 << 28


class PlacedOperator(Operator):
    """A problem on n blocks: their number and the price of depth are fixed."""

    rho: PlacedBlocks

    def __init__(self, problem: Problem, rho: PlacedBlocks) -> None:
        super().__init__(problem, rho)
        self.count = rho.count
        self._place: Any = type(rho)  # what orders the blocks and steps them
        frozen = rho.beta == np.inf
        eta = np.ones(rho.dim) if self.rates is None else self.rates
        self.metric = np.append(problem.prices, 0.0 if frozen else rho.beta**2)
        self.mobility = np.append(eta, rho.beta**-2.0)

    @property
    def levels(self) -> int:
        return self.count

    def carry(
        self, state: Array, start: Array | None = None, *, keep: bool = True
    ) -> PlacedCarried:
        """Depths beyond [0, 1] are moved to its ends."""
        inside = state.copy()
        np.clip(state[:, -1], 0.0, 1.0, out=inside[:, -1])
        blocks = self._place.order(inside[:, :-1], inside[:, -1])
        begin = self.start if start is None else start
        self._check_memory(begin)
        return PlacedCarried(self, inside, blocks, begin)

    def _check_memory(self, begin: Array) -> None:
        """Raise ValueError where the hidden and adjoint states are more than is allowed."""
        needed = 2 * (self.count + 1) * begin.nbytes
        if needed > self.memory:
            raise ValueError(
                f"memory: the states of {len(begin)} data take {needed} bytes, {self.memory:g} are "
                "allowed: give more, or take fewer data; blocks placed in depth carry all at once"
            )

    def lifted(self, slope: Array) -> Array:
        found: Array = self.mobility * slope
        return found

    def inner(self, left: Array, right: Array) -> float:
        """(1/n) Σ_j ⟨dθ, η⁻¹∘dθ′⟩ + β² dt dt′, reduced in fixed order."""
        return float((self.metric * left * right).sum() / self.count)

    @abstractmethod
    def depth_slopes(self, t: Array, path: Array, back: Array, value: Array) -> Array:
        """N-fold terms of n ∂E/∂t, (n, N), linear in the terminal of the adjoint path.

        For blocks in order of depth: hidden states and adjoint ``back`` (n + 1, d, N), and
        ``value`` ⟨P^{l+1}, f⟩, (n, N).
        """


class PlacedCarried(Carried):
    """Data carried through blocks placed in depth."""

    operator: PlacedOperator

    def __init__(self, operator: PlacedOperator, state: Array, blocks: Any, start: Array) -> None:
        self.operator, self.state, self.blocks = operator, state, blocks
        begin = np.ascontiguousarray(start.T)
        self.path: Array = self._block.chain_forward(blocks.theta, blocks.steps, begin)

    @property
    def _block(self) -> Any:
        return self.operator.problem.block

    @property
    def end(self) -> Array:
        return self.path[-1].T

    @cached_property
    def back(self) -> tuple[Array, Array, Array]:
        """The adjoint path of the data's term, (n + 1, d, N), and what the blocks make of it."""
        return self._adjoint(self.slope / self.operator.problem.size)

    @serial_blas()
    def _adjoint(self, v: Array) -> tuple[Array, Array, Array]:
        terminal = np.ascontiguousarray((v @ self.operator.problem.readout).T)
        found: tuple[Array, Array, Array] = self._block.chain_adjoint(
            self.blocks.theta, self.blocks.steps, self.path, terminal
        )
        return found

    def trajectories(self) -> Trajectories:
        """X^{l+1} stands at the depth of block l, X^0 at 0."""
        t = np.concatenate([[0.0], self.blocks.t])
        hidden, adjoint = (path.transpose(0, 2, 1) for path in (self.path, self.back[0]))
        return Trajectories(t, hidden, len(self.end) * adjoint)

    def potential(self) -> Array:
        """V(t_j, θ_j) at the blocks, (n,), in their numbering."""
        out = np.empty(self.operator.count)
        out[self.blocks.order] = self.back[2].sum(axis=1)
        return out

    def potential_at(self, node: int, theta: Array) -> Array:
        """V at the depth of block ``node`` of the order in depth."""
        x, q = self.path[node].T, self.back[0][node + 1].T
        found: Array = self._block.potential(x, theta, q)
        return found

    def potential_slope(self, node: int, theta: Array) -> Array:
        x, q = self.path[node].T, self.back[0][node + 1].T
        found: Array = self._block.gradient(x, theta, q)
        return found

    def atoms(self, node: int) -> tuple[Array, Array]:
        return self.blocks.theta[node : node + 1], np.ones(1)

    def penalty_mean(self, penalty: Penalty) -> float:
        return float(penalty.value(self.state[:, :-1]).mean())

    @cached_property
    def _raw(self) -> Array:
        """n ∂E/∂(θ, t) in order of depth, (n, p + 1), ends and price of depth not yet applied."""
        return self._slopes(*self.back)

    def _slopes(self, back: Array, gradient: Array, value: Array) -> Array:
        operator, (_, _, t, steps) = self.operator, self.blocks
        depth = operator.depth_slopes(t, self.path, back, value).sum(axis=1)
        return np.column_stack([operator.count * steps[:, None] * gradient, depth])

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Blocks, in order of depth, that E pushes out of [0, 1], (n,)."""
        t, slope = self.blocks.t, self._raw[:, -1]
        return ((t <= 0.0) & (slope > 0.0)) | ((t >= 1.0) & (slope < 0.0))

    @cached_property
    def variation(self) -> Array:
        """Minus the velocity of every block by the data's term, (n, p + 1)."""
        return self._placed(self._raw)

    def pull(self, v: Array) -> Array:
        """The gradient of ⟨v, outputs⟩ in the metric, (n, p + 1); blocks held at an end stay."""
        return self._placed(self._slopes(*self._adjoint(v)))

    def _placed(self, slopes: Array) -> Array:
        """Slopes in order of depth as a gradient in the numbering of the blocks."""
        slopes = self.operator.mobility * slopes
        slopes[self.held, -1] = 0.0
        out = np.empty_like(slopes)
        out[self.blocks.order] = slopes
        return out

    def velocity(self, pulled: Array) -> Array:
        return pulled

    def push(self, velocity: Array) -> Array:
        return (self.jacobian @ velocity.ravel()).reshape(self.outputs.shape)

    def inner(self, left: Array, right: Array) -> float:
        return self.operator.inner(left, right)

    @cached_property
    def jacobian(self) -> Array:
        """Outputs by state, (N·k, n (p + 1)), depth as ``depth_slopes`` sees it."""
        operator, (order, theta, t, steps) = self.operator, self.blocks
        data, readout = len(self.end), operator.problem.readout
        if (entries := data * len(readout) * self.state.size) > LARGEST_JACOBIAN:
            raise ValueError(
                f"method: the Jacobian of the outputs would hold {entries:.2g} numbers; use "
                "method='rk45', or 'gd' with a step of your own, or fewer blocks"
            )
        out = np.empty((data, len(readout), *self.state.shape))
        for c, row in enumerate(readout):
            terminal = np.repeat(row[:, None], data, axis=1)
            back, _, value = self._block.chain_adjoint(theta, steps, self.path, terminal)
            by_theta = self._block.chain_rows(theta, self.path, back)
            out[:, c, order, :-1] = (steps[:, None, None] * by_theta).transpose(2, 0, 1)
            by_depth = operator.depth_slopes(t, self.path, back, value) / operator.count
            by_depth[self.held] = 0.0
            out[:, c, order, -1] = by_depth.T
        return out.reshape(data * len(readout), -1)

    @cached_property
    def kernel(self) -> Array:
        operator = self.operator
        weights = np.tile(operator.count * operator.mobility, operator.count)
        return (self.jacobian * weights) @ self.jacobian.T
