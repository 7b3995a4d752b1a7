"""Explicit Runge–Kutta steps of fixed size; explicit Euler *is* gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.depth import EULER, HEUN, RK4, Tableau
from mfpde.flows.flow import DescentPoint, Flow
from mfpde.runs.step import Step

Array = NDArray[Any]


def euler(flow: Flow, point: DescentPoint, h: float) -> Step:
    """θ⁺ = θ − h ∇V: gradient descent with the mean-field learning rate."""
    return _step(flow, point, h, EULER)


def heun(flow: Flow, point: DescentPoint, h: float) -> Step:
    """Explicit trapezoidal rule, order 2."""
    return _step(flow, point, h, HEUN)


def rk4(flow: Flow, point: DescentPoint, h: float) -> Step:
    """The classical Runge–Kutta method, order 4."""
    return _step(flow, point, h, RK4)


def _step(flow: Flow, point: DescentPoint, h: float, tableau: Tableau) -> Step:
    slopes = [point.gradient]
    for row in tableau.a[1:]:
        slopes.append(advance(flow, point, h, row, slopes).gradient)
    return Step(advance(flow, point, h, tableau.b, slopes))


def advance(
    flow: Flow, point: DescentPoint, h: float, row: NDArray[np.float64], slopes: list[Array]
) -> Any:
    """The point of a stage: its state, and its time s + h Σ_j c_j."""
    fraction = round(float(row.sum()), 14)  # of the whole step exactly 1, so that it ends at s + h
    return flow.at(descend(point.state, h, row, slopes), point.s + h * fraction)


def descend(theta: Array, h: float, row: NDArray[np.float64], slopes: list[Array]) -> Array:
    """θ − h Σ_j c_j slope_j, summed in stage order."""
    for c, slope in zip(row, slopes, strict=False):
        if c != 0.0:
            theta = theta - float(h * c) * slope
    return theta
