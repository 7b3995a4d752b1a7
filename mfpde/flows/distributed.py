"""The flow of particles that are dealt to the ranks of an MPI communicator.

Every rank runs the driver on its own particles and takes the same decisions, since all that they
rest on (losses, norms, outputs) are sums over ranks with the same bits everywhere.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from mfpde.flows.flow import Array
from mfpde.flows.particle_flow import ParticleFlow, StatePoint
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes.distributed import DistributedOperator
from mfpde.passes.ranks import Ranks
from mfpde.problem import Problem
from mfpde.runs.clock import Clock


class DistributedFlow(ParticleFlow):
    """The flow of this rank's particles."""

    operator: DistributedOperator

    def __init__(
        self, problem: Problem, rho: ParticleMeasure, clock: Clock, ranks: Ranks, **terms: Any
    ) -> None:
        super().__init__(problem, rho, clock, **terms)
        self.operator = DistributedOperator(problem, rho, ranks)
        self.ranks, self.first = ranks, ranks.rank == 0

    def curvature(self, point: StatePoint) -> float:
        return self.ranks.largest(super().curvature(point))

    def part(self, state: Array) -> Array:
        return self.operator.part(state)

    def whole(self, part: Array) -> Array:
        return self.operator.whole(part)

    def agreed(self, wish: bool) -> bool:
        return self.ranks.agreed(wish)

    def together(self) -> AbstractContextManager[None]:
        return self.ranks.together()
