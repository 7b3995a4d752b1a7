"""Flows of measures that are dealt to the ranks of an MPI communicator.

Every rank runs the driver on its own particles, or its own depth nodes of a grid, and takes the
same decisions, since all that they rest on (losses, norms, outputs) are sums over ranks with the
same bits everywhere.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from mfpde.flows.flow import Array, Flow
from mfpde.flows.grid_flow import GridFlow, GridPoint
from mfpde.flows.particle_flow import ParticleFlow, StatePoint
from mfpde.measures.grid import GridMeasure
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes.distributed import DistributedOperator
from mfpde.passes.grid_on_ranks import DistributedGridOperator
from mfpde.passes.ranks import Ranks
from mfpde.problem import Problem
from mfpde.runs.clock import Clock


class OnRanks(Flow):
    """What flows on several processes answer the driver."""

    ranks: Ranks
    operator: Any

    def part(self, state: Array) -> Array:
        found: Array = self.operator.part(state)
        return found

    def whole(self, part: Array) -> Array:
        found: Array = self.operator.whole(part)
        return found

    def agreed(self, wish: bool) -> bool:
        return self.ranks.agreed(wish)

    def together(self) -> AbstractContextManager[None]:
        return self.ranks.together()


class DistributedFlow(OnRanks, ParticleFlow):
    """The flow of this rank's particles."""

    def __init__(
        self, problem: Problem, rho: ParticleMeasure, clock: Clock, ranks: Ranks, **terms: Any
    ) -> None:
        super().__init__(problem, rho, clock, **terms)
        self.operator = DistributedOperator(problem, rho, ranks)
        self.ranks, self.first = ranks, ranks.rank == 0

    def curvature(self, point: StatePoint) -> float:
        return self.ranks.largest(super().curvature(point))


class DistributedGridFlow(OnRanks, GridFlow):
    """The flow of the masses at this rank's depth nodes.

    Raises ValueError for a temperature.
    """

    def __init__(
        self, problem: Problem, rho: GridMeasure, clock: Clock, ranks: Ranks, **terms: Any
    ) -> None:
        if problem.temperature:
            raise ValueError("comm needs temperature=0 on a grid: start one process")
        super().__init__(problem, rho, clock, **terms)
        self.operator = DistributedGridOperator(problem, rho, ranks)
        self.ranks, self.first = ranks, ranks.rank == 0

    def largest(self, value: float) -> float:
        return self.ranks.largest(value)

    def over_depth(self, values: Array) -> float:
        return self.operator.over_depth(values)

    def size(self, point: GridPoint) -> float:
        rows = (point.state * self._square).reshape(len(point.state), -1).sum(axis=1)
        return float(self.over_depth(rows) ** 0.5)
