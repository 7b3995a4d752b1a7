"""Third-order upwind-biased reconstruction that stays positive, and three-stage SSP Runge–Kutta.

The parabola through three cells gives m + (b + 2a)/6 at the face. "third_order" cuts that only
where it is negative or more than twice the cell's mass, which keeps the order at extrema and
allows oscillations above zero; "koren" limits it so that no new extrema appear, at the price of
order two there. Third order holds along one axis for given velocities: coupled runs stay of order
two, since V is that of masses at the centres, and several axes of varying velocity mix averages.
Source: Koren 1993; Gottlieb, Shu, Tadmor 2001; the cut is that of Zhang, Shu 2010 in its simplest
form.
"""

from __future__ import annotations

from functools import partial

from mfpde.flows.flow import Cells, CellsPoint
from mfpde.flows.schemes.grid import strang
from mfpde.runs.step import Step

CFL = 0.45


def step(flow: Cells, point: CellsPoint, h: float, *, limiter: str) -> Step:
    """m₁ = m + hL(m), m₂ = m + ¼(m₁ − m + hL(m₁)), m⁺ = m + ⅔(m₂ − m + hL(m₂))."""
    return strang.step(flow, point, h, partial(transport, limiter=limiter))


def transport(flow: Cells, point: CellsPoint, h: float, *, limiter: str) -> Step:
    first = flow.moved(limiter, point, point, h, 1.0, h)
    second = flow.moved(limiter, point, first, h, 0.25, 0.5 * h)
    return Step(flow.moved(limiter, point, second, h, 2.0 / 3.0, h))
