"""Cells dealt to ranks: masses by depth node, sums over them by cells of one axis.

What moves masses never looks at another depth, so that a rank holds and moves the masses of some
depth nodes. The data must pass them one after another: there a rank sums over some cells of every
node. Between the two go the coefficients of a layer (``cell_sums``), which for SHL are far fewer
than its cells: μ before a pass, g after one, K·C numbers, beside a field (N, d) for each stage.
"""

from __future__ import annotations

import numpy as np

from mfpde.measures.axes import FEWEST, Axis, Grid
from mfpde.measures.grid import GridMeasure
from mfpde.passes.cell_sums import on_grid
from mfpde.passes.distributed import SharedBlock
from mfpde.passes.grid import GridCarried, GridOperator, JointGridCarried
from mfpde.passes.in_blocks import InBlocks
from mfpde.passes.interface import Array
from mfpde.passes.propagate import Layers
from mfpde.passes.ranks import Ranks
from mfpde.penalty import Penalty
from mfpde.problem import Problem


class DistributedGridOperator(GridOperator):
    """A problem on this rank's depth nodes of a grid; first variations are of these nodes.

    Raises ValueError where there are too few depth nodes, or cells, for the ranks.
    """

    def __init__(self, problem: Problem, rho: GridMeasure, ranks: Ranks) -> None:
        super().__init__(problem, rho)
        self.ranks, self.own = ranks, ranks.share(rho.levels)
        lead, axis = self.sums.dealt, len(rho.grid.axes[self.sums.dealt])
        if min(rho.levels, axis // FEWEST) < ranks.size:
            raise ValueError(
                f"comm: {rho.levels} depth nodes and {axis} cells of axis {lead} cannot be dealt "
                f"to {ranks.size} ranks, one node and {FEWEST} cells for each; start fewer"
            )
        self._cells = axis
        axes = list(rho.grid.axes)
        mine = ranks.share(axis)
        axes[lead] = Axis(axes[lead].edges[mine.start : mine.stop + 1])
        self._some = on_grid(problem.block, Grid(tuple(axes)))
        self._shared, self._mine = SharedBlock(self._some, ranks), mine
        if problem.memory is None:
            self.memory /= ranks.here
        self.block_bytes = np.inf  # each block of data costs messages
        self.memory = -ranks.largest(-self.memory)  # all ranks must cut the data alike

    def layers(self, masses: Array) -> Layers:
        return self.dealt(self.sums.coefficients(masses))

    def dealt(self, mu: Array) -> Layers:
        """This rank's cells of all nodes, from the coefficients (K_r, C) of its own nodes."""
        whole = self.ranks.joined(mu[None], self.rho.levels)[0]
        part = whole.reshape(*self._split(self._cells))[:, :, self._mine].reshape(len(whole), 1, -1)
        mine = np.ascontiguousarray(part)
        return Layers(self._shared, self.rho.depth, mine, np.ones(mine.shape[:2]))

    def gathered(self, g: Array) -> Array:
        """g (K_r, C) of this rank's nodes, from that of its cells of all nodes (K, C_r)."""
        levels, outer, _, rest = self._split(self._mine.stop - self._mine.start)
        parts = g.reshape(levels * outer, -1, rest)
        return self.ranks.joined(parts, self._cells).reshape(levels, -1)[self.own]

    def _split(self, cells: int) -> tuple[int, int, int, int]:
        """Coefficients (K, C) by (nodes, before the axis that is dealt, its cells, after it)."""
        rest = self.sums.size // (self.sums.repeats * self._cells)
        return self.rho.levels, self.sums.repeats, cells, rest

    def carry(
        self, state: Array, start: Array | None = None, *, keep: bool = True
    ) -> DistributedGridCarried:
        layers = self.layers(state)
        kind = DistributedGridCarried if self.at_once(layers, start) else DistributedGridInBlocks
        return kind(self, state, layers, start, keep)

    def over_depth(self, values: Array) -> float:
        """∫ dt of values at this rank's nodes, (K_r,), over all nodes in their order."""
        whole = self.ranks.joined(values[None, :, None], self.rho.levels)[0, :, 0]
        return float(self.rho.depth.weights @ whole)

    def part(self, state: Array) -> Array:
        """This rank's nodes of a whole state (K, n1, ..., np)."""
        return state[self.own].copy()

    def whole(self, part: Array) -> Array:
        """The state of all ranks, on each of them."""
        flat = part.reshape(1, len(part), -1)
        return self.ranks.joined(flat, self.rho.levels).reshape(-1, *part.shape[1:])


class DistributedGridCarried(GridCarried):
    """Data carried through the cells of all ranks."""

    operator: DistributedGridOperator
    mixes = forms = False

    def push(self, velocity: Array) -> Array:
        found: Array = super().push(self.operator.dealt(velocity).theta[:, 0])
        return found

    kernel = JointGridCarried.kernel  # column by column

    def penalty_mean(self, penalty: Penalty) -> float:
        values = self.state * penalty.value(self.operator.rho.grid.points)
        return self.operator.over_depth(values.reshape(len(values), -1).sum(axis=1))

    def inner(self, left: Array, right: Array) -> float:
        return self.operator.over_depth((left * self.velocity(right)).sum(axis=1))

    def _by_node(self, gradient: Array) -> Array:
        weights = self.depth.weights[self.operator.own, None]
        return self.operator.gathered(gradient[:, 0]) / weights


class DistributedGridInBlocks(InBlocks, DistributedGridCarried):
    """The same, data in blocks."""

    one = DistributedGridCarried
