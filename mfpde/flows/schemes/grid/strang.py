"""Strang splitting of entropy and transport: heat for h/2, transport for h, heat for h/2.

Both flows conserve the mass of every depth and keep it >= 0. The heat flow is exact in time and
lowers the entropy; a transport in which the rest of the energy rises is refused. Their sum falls
until the state is as close to equilibrium as the grid resolves it: there a split scheme settles at
its own equilibrium, O(h²) from the Gibbs state, where "scharfetter_gummel" is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mfpde.flows.flow import Cells, CellsPoint
from mfpde.runs.step import Step

Transported = Callable[[Any, Any, float], Step]


def step(flow: Cells, point: CellsPoint, h: float, transport: Transported) -> Step:
    """One step of transport with the heat flow, if there is entropy, around it."""
    if not flow.problem.temperature:
        return transport(flow, point, h)
    warmed = flow.at(flow.heated(point.state, 0.5 * h), point.s)
    moved = transport(flow, warmed, h)
    end = flow.at(flow.heated(moved.point.state, 0.5 * h), point.s + h)
    refused = moved.refused or not moved.point.finite or flow.rose(warmed, moved.point)
    return Step(end, moved.error, refused=refused)
