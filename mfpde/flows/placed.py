"""The flow of blocks placed in depth: they move in θ and in t, and change order."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from mfpde.flows.flow import Array
from mfpde.flows.particle_flow import StateFlow, StatePoint
from mfpde.flows.schemes import SCHEMES, Scheme, scheme
from mfpde.kernels.depth_average import inversions
from mfpde.penalty import Penalty
from mfpde.runs.options import Options


class PlacedFlow(StateFlow):
    """A problem with what the flow leaves fixed: the number of blocks and the price of depth."""

    # Velocities jump where blocks change order: no dense output, steps land on the save times.
    schemes: ClassVar[dict[str, Scheme]] = {
        name: replace(scheme, dense=False) for name, scheme in SCHEMES.items()
    }

    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""
        return replace(
            scheme(options.method, options.rtol, options.atol, options.served), dense=False
        )

    def penalty(self, s: float) -> OnParameters:
        """The confinement at time s, the vanishing part included."""
        return OnParameters(self.confinement(s))

    def may_rise(self, before: StatePoint, after: StatePoint) -> bool:
        """E is piecewise smooth: where blocks have changed order it may have jumped up."""
        return not np.array_equal(_order(before), _order(after))

    def observe(self, before: StatePoint, after: StatePoint) -> None:
        """Count the pairs of blocks that the step has exchanged."""
        rank = np.empty(len(before.state), dtype=np.int64)
        rank[_order(after)] = np.arange(len(rank))
        self.clock.counts["exchanges"] += int(inversions(rank[_order(before)]))


def _order(point: StatePoint) -> Array:
    order: Array = point.carried.blocks.order  # type: ignore[attr-defined]
    return order


class OnParameters:
    """A penalty r(θ) read at states (θ, t): depth is not confined.

    ``quadratic`` is 0 for the implicit step, which would shrink all coordinates of the state by
    it: the whole penalty enters by its gradient.
    """

    quadratic = 0.0

    def __init__(self, penalty: Penalty) -> None:
        self._penalty = penalty

    def __bool__(self) -> bool:
        return bool(self._penalty)

    def gradient(self, state: Array) -> Array:
        """(∇r(θ_j), 0), (n, p + 1)."""
        out = np.zeros_like(state)
        out[:, :-1] = self._penalty.gradient(state[:, :-1])
        return out

    def curvature(self, state: Array) -> float:
        """The largest eigenvalue of D²r over the blocks."""
        return self._penalty.curvature(state[:, :-1])
