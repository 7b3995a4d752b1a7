"""Dormand–Prince 5(4) with dense output; the last stage is the next step's first."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import RK45

from mfpde.flows.schemes.explicit import descend
from mfpde.flows.schemes.step import Array, Step

# The tableau and its quartic interpolant (Dormand, Prince 1980; Shampine 1986), as data of scipy.
A, B, E, P = RK45.A, RK45.B, RK45.E, RK45.P


def step(flow: Any, point: Any, h: float) -> Step:
    """Order 5 solution, error estimate of order 5 in h, interpolant of order 4."""
    slopes = [point.gradient]
    for row in A[1:]:
        slopes.append(flow.at(descend(point.theta, h, row, slopes)).gradient)
    new = flow.at(descend(point.theta, h, B, slopes))
    slopes.append(new.gradient)
    error = descend(np.zeros_like(point.theta), h, E, slopes)

    def dense(fraction: float) -> Array:
        return descend(point.theta, h, P @ np.cumprod(np.full(P.shape[1], fraction)), slopes)

    return Step(new, error, dense)
