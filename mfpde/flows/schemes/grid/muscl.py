"""MUSCL: limited linear reconstruction and the two-stage SSP Runge–Kutta method, order 2.

With |slope| <= 2 min(|b|, |a|) no face carries more than twice the mass of its cell, so that
h <= ½/(outflow) keeps masses >= 0.
Source: van Leer 1979; Gottlieb, Shu, Tadmor 2001.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mfpde.flows.schemes.grid import strang
from mfpde.runs.step import Step

CFL = 0.45


def step(flow: Any, point: Any, h: float, *, limiter: str = "van_leer") -> Step:
    """m₁ = m + h L(m), m⁺ = m + ½(m₁ − m + h L(m₁))."""
    return strang.step(flow, point, h, partial(transport, limiter=limiter))


def transport(flow: Any, point: Any, h: float, *, limiter: str) -> Step:
    first = flow.moved(limiter, point, point, h, 1.0, h)
    return Step(flow.moved(limiter, point, first, h, 0.5, h))
