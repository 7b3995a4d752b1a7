"""Strang splitting of entropy and transport: heat for h/2, transport for h, heat for h/2.

Both flows conserve the mass of every depth and keep it >= 0; the heat flow is exact in time, so
that the step is of order 2 if the transport is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mfpde.flows.schemes.step import Step

Transported = Callable[[Any, Any, float], Any]


def step(flow: Any, point: Any, h: float, transport: Transported) -> Step:
    """One step of transport with the heat flow, if there is entropy, around it."""
    if not flow.problem.temperature:
        return Step(transport(flow, point, h))
    warmed = flow.at(flow.heated(point.state, 0.5 * h), point.s)
    moved = transport(flow, warmed, h)
    return Step(flow.at(flow.heated(moved.state, 0.5 * h), point.s + h))
