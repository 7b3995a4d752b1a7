"""First-order upwind fluxes with explicit Euler: robust, monotone, diffusive."""

from __future__ import annotations

from mfpde.flows.flow import Cells, CellsPoint
from mfpde.flows.schemes.grid import strang
from mfpde.runs.step import Step

CFL = 0.9  # of the outflow that would empty a cell


def step(flow: Cells, point: CellsPoint, h: float) -> Step:
    """m⁺ = m + h dm/ds."""
    return strang.step(flow, point, h, transport)


def transport(flow: Cells, point: CellsPoint, h: float) -> Step:
    return Step(flow.moved("upwind", point, point, h, 1.0, h))
