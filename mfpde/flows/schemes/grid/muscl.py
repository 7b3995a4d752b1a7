"""MUSCL: limited linear reconstruction and the two-stage SSP Runge–Kutta method, order 2.

With |slope| <= 2 min(|b|, |a|) no face carries more than twice the mass of its cell, so that
h <= ½/(outflow) keeps masses >= 0.
Source: van Leer 1979; Gottlieb, Shu, Tadmor 2001.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mfpde.flows.flow import Cells, CellsPoint
from mfpde.flows.schemes.grid import strang
from mfpde.runs.step import Array, Step

CFL = 0.45
SHARES = (1.0, 0.5)  # of the two stages in Shu and Osher's form


def step(flow: Cells, point: CellsPoint, h: float, *, limiter: str = "van_leer") -> Step:
    """m₁ = m + h L(m), m⁺ = m + ½(m₁ − m + h L(m₁))."""
    return strang.step(flow, point, h, partial(transport, limiter=limiter))


def transport(flow: Cells, point: CellsPoint, h: float, *, limiter: str) -> Step:
    here = point
    for share in SHARES:
        here = flow.moved(limiter, point, here, h, share, h)
    return Step(here)


def frozen(flow: Cells, v: Any, masses: Array, h: float) -> Array:
    """Masses after one step down a potential that stays as it is."""
    here = masses
    for share in SHARES:
        here = flow.stage("van_leer", v, masses, here, h, share)
    return here
