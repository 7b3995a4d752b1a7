"""Masses of cells: a first variation is its values, by coefficient of the layer (``cell_sums``)."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mfpde.kernels.pools import serial_blas
from mfpde.measures.axes import Axis
from mfpde.measures.grid import GridMeasure
from mfpde.passes import mobility, propagate
from mfpde.passes.cell_sums import on_grid
from mfpde.passes.in_blocks import InBlocks
from mfpde.passes.interface import Array, Carried, Operator
from mfpde.passes.layered import LayeredCarried
from mfpde.passes.mobility import Mobility
from mfpde.passes.propagate import Layers
from mfpde.penalty import Penalty
from mfpde.problem import Problem


class GridOperator(Operator):
    """A problem on a grid: depth and cells are fixed, the masses (K, n1, ..., np) are the state."""

    rho: GridMeasure

    def __init__(self, problem: Problem, rho: GridMeasure) -> None:
        super().__init__(problem, rho)
        self.sums = on_grid(problem.block, rho.grid)
        self.axes: tuple[Axis, ...] = self._measured(rho.grid.axes)

    def _measured(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        """The axes of θ in the metric of the flow, coordinates in units of √η.

        Raises ValueError for a rate of 0: cells infinitely far apart.
        """
        if self.rates is None:
            return axes
        if not np.all(self.rates > 0.0):
            raise ValueError("rates must be > 0 on a grid; use a ParticleMeasure for rates of 0")
        pairs = zip(axes, np.sqrt(self.rates), strict=True)
        return tuple(Axis(axis.edges / root) for axis, root in pairs)

    def layers(self, masses: Array) -> Layers:
        """What the passes read."""
        return self.sums.layers(self.rho.depth, masses)

    def carry(self, state: Array, start: Array | None = None, *, keep: bool = True) -> GridCarried:
        layers = self.layers(state)
        kind = GridCarried if self.at_once(layers, start) else GridInBlocks
        return kind(self, state, layers, start, keep)


class GridCarried(LayeredCarried):
    """Data carried through cells; a first variation is g (K, C), V = Rᵀg at the centres."""

    operator: GridOperator
    mixes = True

    @cached_property
    def variation(self) -> Array:
        """g (K, C) of the data's term."""
        return self._by_node(self.back.gradient)

    def potential(self) -> Array:
        """V of the data's term at the centres, (K, n1, ..., np): (∂E_h/∂m_kc)/ω_k."""
        return self.operator.sums.expand(self.variation)

    def atoms(self, node: int) -> tuple[Array, Array]:
        rho = self.operator.rho
        masses = self.state[node].ravel()
        return rho.grid.points.reshape(-1, rho.dim), masses / (masses.sum() or 1.0)

    def penalty_mean(self, penalty: Penalty) -> float:
        rho = self.operator.rho
        return rho.with_state(self.state).integrate(penalty.value(rho.grid.points))

    def pull(self, v: Array) -> Array:
        """The first variation by coefficient, (K, C)."""
        back = propagate.adjoint(self.layers, self.passed, self.terminal(v))
        return self._by_node(back.gradient)

    def velocity(self, pulled: Array) -> Array:
        """−∇·(ρ η∘∇φ) by coefficient, (K, C)."""
        return self.mobility.apply(pulled)

    @serial_blas()
    def push(self, velocity: Array) -> Array:
        """Change of the outputs, (N, k), to first order in a change of the coefficients (K, C)."""
        end = propagate.tangent(self.layers, self.passed, velocity[:, None, :])
        return end @ self.operator.problem.readout.T

    def inner(self, left: Array, right: Array) -> float:
        rows = (left * self.velocity(right)).sum(axis=1)
        return float(self.depth.weights @ rows)

    @cached_property
    def mobility(self) -> Mobility:
        """−∇·(ρ_t ∇ ·) in terms of coefficients."""
        return mobility.mobility(self.operator.sums, self.state, self.operator.axes)

    @cached_property
    def kernel(self) -> Array:
        """K in the metric of the faces."""
        readout = self.operator.problem.readout
        return mobility.tangent_kernel(self.layers, self.passed, readout, self.mobility)

    def mixed_kernel(self, mixes: Array, root: Array | None = None) -> Array:
        readout = self.read(mixes, root)
        return mobility.mixed_kernel(self.layers, self.passed, readout, self.mobility)

    def _by_node(self, gradient: Array) -> Array:
        out: Array = gradient[:, 0] / self.depth.weights[:, None]
        return out

    def _add_gram(self, node: int, factor: Array, kernel: Array) -> None:
        kernel += factor @ self.mobility.apply(factor, slice(node, node + 1)).T


class GridInBlocks(InBlocks, GridCarried):
    """The same, data in blocks."""

    one = GridCarried


class JointGridOperator(GridOperator):
    """A problem on cells in (t, θ): masses carry the measure of depth."""

    def __init__(self, problem: Problem, rho: GridMeasure) -> None:
        super().__init__(problem, rho)
        self.cells = rho.levels
        depth, *_ = rho.joint_axes  # type: ignore[attr-defined]
        self.axes = (depth, *self.axes)

    def layers(self, masses: Array) -> Layers:
        return self.sums.layers(self.rho.depth, self.cells * masses)

    def carry(
        self, state: Array, start: Array | None = None, *, keep: bool = True
    ) -> JointGridCarried:
        layers = self.layers(state)
        kind = JointGridCarried if self.at_once(layers, start) else JointGridInBlocks
        return kind(self, state, layers, start, keep)


class JointGridCarried(GridCarried):
    """Data carried through cells in (t, θ), in the metric |dθ|² + β²|dt|², rates included."""

    operator: JointGridOperator
    mixes = False

    def velocity(self, pulled: Array) -> Array:
        sums = self.operator.sums
        change = mobility.moved(self.operator.axes, self.state[None], sums.expand(pulled)[None])
        return sums.coefficients(change[0])

    @serial_blas()
    def push(self, velocity: Array) -> Array:
        return super().push(self.operator.cells * velocity)

    def inner(self, left: Array, right: Array) -> float:
        return float((left * self.velocity(right)).sum())

    @cached_property
    def kernel(self) -> Array:
        """K column by column: mass that moves in depth couples the nodes."""
        shape = self.outputs.shape
        columns = [self.kernel_product(v.reshape(shape)).ravel() for v in np.eye(self.outputs.size)]
        found = np.stack(columns)
        return 0.5 * (found + found.T)

    mixed_kernel = Carried.mixed_kernel  # mass that moves in depth couples the nodes


class JointGridInBlocks(InBlocks, JointGridCarried):
    """The same, data in blocks."""

    one = JointGridCarried
