"""A layer whose parameters lie on a grid, as a block whose one parameter is the vector of masses.

    F(x) = Σ_c m_c f(x, θ_c)

is linear in the masses m, so that the passes through depth apply as they are, with the masses in
place of θ and one particle of weight 1: the gradient that the adjoint returns is ∂E_h/∂m_kc =
ω_k V(t_k, θ_c) exactly. Where F needs less than all masses (f = u σ(w·x + b) needs their u-moments
only) the parameter is that smaller vector μ = R m, and V = Rᵀg with g = (∂E_h/∂μ_k)/ω_k.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.blocks.base import Block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.shl import SHL
from mfpde.depth import Depth
from mfpde.kernels import activate, grid_sums
from mfpde.kernels.lending import lent
from mfpde.kernels.pools import serial_blas
from mfpde.measures.axes import Axis, Grid
from mfpde.passes.propagate import Layers
from mfpde.penalty import Penalty
from mfpde.volumes.faces import Potential

Array = NDArray[np.float64]

CELLS_AT_ONCE = 1 << 18  # values of f held at a time on the general path


def on_grid(block: Block, grid: Grid) -> GridSums:
    """The sums of a block over the cells of a grid, by the fastest way that the block allows.

    Raises ValueError where the grid has not one axis for each parameter.
    """
    if grid.dim != block.size:
        raise ValueError(
            f"rho must hold parameters of {block!r}, p = {block.size}; given p = {grid.dim}"
        )
    if computes(block, SHL) and block.activation.compiled:
        return SeparableSums(block, grid)
    return CellSums(block, grid)


class GridSums(Block):
    """Sums of ``block`` over ``grid`` as a block whose parameter is a vector of coefficients μ.

    ``coefficients`` is R, ``expand`` is Rᵀ; ``layers`` is what ``mfpde.passes.propagate`` reads.
    A subclass writes ``_field``, ``_pull`` and ``_features`` for one vector μ (C,). Cells may be
    dealt to ranks along the axis ``dealt``, of which μ has the cells ``repeats`` times.
    """

    dealt, repeats = 0, 1

    def __init__(self, block: Block, grid: Grid) -> None:
        self.block, self.grid, self.dim = block, grid, block.dim

    @property
    def coordinates(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"mu{c}" for c in range(self.size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.block!r}, {self.grid!r})"

    @property
    @abstractmethod
    def size(self) -> int:
        """C, the number of coefficients of one layer."""

    @abstractmethod
    def coefficients(self, masses: Array) -> Array:
        """μ = R m for masses (K, n1, ..., np), shape (K, C)."""

    @abstractmethod
    def expand(self, g: Array) -> Array:
        """Rᵀg for g (K, C), shape (K, n1, ..., np): the potential at the centres."""

    def face_potential(self, g: Array, penalty: Penalty) -> Potential:
        """Rᵀg + r at the centres, in the form that the fluxes read."""
        full = self.expand(g)
        if penalty:
            full = full + penalty.value(self.grid.points)
        rows = self.grid.shape[0] if self.grid.dim > 1 else 1
        return Potential.of(full.reshape(len(g), rows, -1))

    @abstractmethod
    def _field(self, x: Array, mu: Array) -> Array:
        """F(x_i), shape (N, d)."""

    @abstractmethod
    def _pull(self, x: Array, mu: Array, q: Array) -> tuple[Array, Array]:
        """D_xF(x_i)ᵀ q_i, shape (N, d), and Σ_i Φ(x_i)ᵀ q_i, shape (C,)."""

    @abstractmethod
    def _features(self, x: Array, q: Array) -> Array:
        """Φ(x_i)ᵀ q_i, shape (N, C)."""

    def layers(self, depth: Depth, masses: Array) -> Layers:
        """A measure with these masses, as the passes read it."""
        mu = self.coefficients(masses)[:, None, :]
        return Layers(self, depth, mu, np.ones(mu.shape[:2]))

    # -- the protocol of a block, for vectors μ_j (M, C) ------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        return np.stack([self._field(x, mu) for mu in theta], axis=1)

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        return np.stack([self._pull(x, mu, q)[0] for mu in theta], axis=1)

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        features = self._features(x, q)[:, None, :]
        return np.broadcast_to(features, (len(x), len(theta), self.size))

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        return self._field(x, a @ theta)

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        state, g = self._pull(x, a @ theta, q)
        return state, np.broadcast_to(g, theta.shape)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        out = self._field(x, a @ dtheta)
        for c, unit in enumerate(np.eye(self.dim)):
            q = np.ascontiguousarray(np.broadcast_to(unit, x.shape))
            out[:, c] += (self._pull(x, a @ theta, q)[0] * dx).sum(axis=1)
        return out


class CellSums(GridSums):
    """Any block: the cells are weighted particles, taken a few thousand at a time; R = 1."""

    def __init__(self, block: Block, grid: Grid) -> None:
        super().__init__(block, grid)
        self._centres = grid.points.reshape(-1, grid.dim)

    @property
    def size(self) -> int:
        return self.grid.size

    def coefficients(self, masses: Array) -> Array:
        return masses.reshape(len(masses), -1)

    def expand(self, g: Array) -> Array:
        return g.reshape(len(g), *self.grid.shape)

    def _field(self, x: Array, mu: Array) -> Array:
        parts = (self.block.field(x, self._centres[part], mu[part]) for part in self._parts(x))
        return np.sum(list(parts), axis=0)

    def _pull(self, x: Array, mu: Array, q: Array) -> tuple[Array, Array]:
        state, g = np.zeros_like(x), np.empty(self.size)
        for part in self._parts(x):
            theta = self._centres[part]
            state += self.block.backward(x, theta, mu[part], q)[0]
            g[part] = self.block.potential(x, theta, q)
        return state, g

    def _features(self, x: Array, q: Array) -> Array:
        return np.einsum("ncd,nd->nc", self.block.value(x, self._centres), q)

    def _parts(self, x: Array) -> Iterator[slice]:
        step = max(1, CELLS_AT_ONCE // (len(x) * max(self.dim, self.block.size)))
        return (slice(at, at + step) for at in range(0, self.size, step))


class SeparableSums(GridSums):
    """f = u σ(w·x + b): μ = Σ_u u m (d, W) over the W cells of (w, b), and V = u·g(w, b)."""

    def __init__(self, block: SHL, grid: Grid) -> None:
        super().__init__(block, grid)
        d, shape = block.dim, grid.shape
        self.dealt = self.repeats = d
        self._code, self._bias = block.activation.code, block.bias
        self._values = np.concatenate([axis.centres for axis in grid.axes[d:]])
        self._ends = np.cumsum([0, *shape[d:]])
        self._u = _centres(grid.axes[:d])
        self._w = np.ascontiguousarray(_centres(grid.axes[d:])[:d])

    @property
    def size(self) -> int:
        return self.dim * self._w.shape[1]

    def coefficients(self, masses: Array) -> Array:
        k, (count, inner) = len(masses), (self._u.shape[1], self._w.shape[1])
        out = np.empty((k, self.dim, inner))
        grid_sums.gather(self._u, np.ascontiguousarray(masses).reshape(k, count, inner), out)
        return out.reshape(k, -1)

    def expand(self, g: Array) -> Array:
        out = lent((len(g), self._u.shape[1], self._w.shape[1]), np.float64)
        grid_sums.expand(self._u, np.ascontiguousarray(self._by_axis(g)), out)
        return out.reshape(len(g), *self.grid.shape)

    def face_potential(self, g: Array, penalty: Penalty) -> Potential:
        """u_1 g_1 + Σ_{i>1} u_i g_i, and (λ/2)|θ|² split between rows and plane."""
        if penalty.quartic:
            return super().face_potential(g, penalty)
        first, levels = self.grid.axes[0].centres, len(g)
        g = g.reshape(levels, self.dim, -1)
        others = _centres(self.grid.axes[1 : self.dim]) if self.dim > 1 else np.zeros((0, 1))
        shape = (levels, others.shape[1], g.shape[2])
        slope = np.broadcast_to(g[:, :1], shape).reshape(levels, -1)
        base = np.einsum("ij,kix->kjx", others, g[:, 1:]).reshape(levels, -1)
        row = np.zeros(len(first))
        if penalty:
            rest = self.grid.points[0, ..., 1:].reshape(-1, self.grid.dim - 1)
            base = base + penalty.value(rest)
            row = penalty.value(first[:, None])
        return Potential(first, np.ascontiguousarray(slope), base, row, np.empty((0, 0, 0)))

    def forward_pass(
        self, depth: Depth, theta: Array, weights: Array, start: Array, keep: bool
    ) -> tuple[Array, Array, Any] | None:
        if theta.shape[1] > 1:
            return None
        mu = self._by_axis(theta * weights[:, :, None])
        stages, path = grid_sums.forward(*self._setting, *depth.compiled, mu, start)
        return stages, path, None

    def adjoint_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, terminal: Array, kept: Any
    ) -> tuple[Array, Array, Array] | None:
        if theta.shape[1] > 1:
            return None
        mu, terminal = self._by_axis(theta * weights[:, :, None]), np.ascontiguousarray(terminal)
        setting = (*self._setting, *depth.compiled)
        cotangents, path, g = grid_sums.adjoint(*setting, mu, self._tilted(mu), stages, terminal)
        return cotangents, path, g.reshape(theta.shape) * weights[:, :, None]

    def tangent_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, change: Array, kept: Any
    ) -> Array | None:
        if theta.shape[1] > 1:
            return None
        tilted = self._tilted(self._by_axis(theta * weights[:, :, None]))
        change = self._by_axis(change * weights[:, :, None])
        return grid_sums.tangent(*self._setting, *depth.compiled, tilted, change, stages)

    def _tilted(self, mu: Array) -> Array:
        """μ_c w_e, (K, d, d, W), for μ (K, d, W)."""
        return mu[:, :, None, :] * self._w

    def _field(self, x: Array, mu: Array) -> Array:
        out = np.empty(x.shape)
        grid_sums.field(*self._setting, self._by_axis(mu), np.ascontiguousarray(x), out)
        return out

    def _pull(self, x: Array, mu: Array, q: Array) -> tuple[Array, Array]:
        mu = self._by_axis(mu)
        state, g = np.empty(x.shape), np.zeros(mu.shape)
        x, q = np.ascontiguousarray(x), np.ascontiguousarray(q)
        grid_sums.backward(*self._setting, mu[:, None, :] * self._w, x, q, state, g)
        return state, g.ravel()

    @serial_blas()
    def _features(self, x: Array, q: Array) -> Array:
        z = x @ self._w
        if self._bias:
            z += np.tile(self.grid.axes[-1].centres, z.shape[1] // len(self.grid.axes[-1]))
        sigma = activate.values(self._code, z.ravel()).reshape(z.shape)
        return (q[:, :, None] * sigma[:, None, :]).reshape(len(x), -1)

    @property
    def _setting(self) -> tuple[int, bool, Array, NDArray[np.int64]]:
        return self._code, self._bias, self._values, self._ends

    def _by_axis(self, mu: Array) -> Array:
        """μ (..., C) as (..., d, W); a particle axis of length 1 is dropped."""
        lead = mu.shape[:1] if mu.ndim > 1 else ()
        return mu.reshape(*lead, self.dim, -1)


def _centres(axes: tuple[Axis, ...]) -> Array:
    """The tensor product of some axes as columns, (number of axes, number of cells)."""
    return np.stack([x.ravel() for x in np.meshgrid(*(a.centres for a in axes), indexing="ij")])
