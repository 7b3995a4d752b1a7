"""Third-order upwind-biased reconstruction with Koren's limiter, and three-stage SSP Runge–Kutta.

Third order in space and time for one axis and given velocities, and positive: a cell gives away at
most 3·(fastest face)·mass. Coupled runs stay of second order, since V is that of masses at centres;
what the reconstruction buys is less smearing of what is narrow.
Source: Koren 1993; Gottlieb, Shu, Tadmor 2001.
"""

from __future__ import annotations

from typing import Any

from mfpde.flows.schemes.grid import strang
from mfpde.flows.schemes.step import Step

CFL = 0.3


def step(flow: Any, point: Any, h: float) -> Step:
    """m₁ = m + hL(m), m₂ = m + ¼(m₁ − m + hL(m₁)), m⁺ = m + ⅔(m₂ − m + hL(m₂))."""
    return strang.step(flow, point, h, transport)


def transport(flow: Any, point: Any, h: float) -> Step:
    first = flow.moved("koren", point, point, h, 1.0, h)
    second = flow.moved("koren", point, first, h, 0.25, 0.5 * h)
    return Step(flow.moved("koren", point, second, h, 2.0 / 3.0, h))
