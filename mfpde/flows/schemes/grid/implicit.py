"""Linearly implicit in the potential, explicit in the transport: no limit from the tangent kernel.

What is stiff at late times is the data term, through the few directions of the outputs. As for
particles, the residual at the end of a step of length h is predicted in the dual,

    z = (I + (h/N) H K)⁻¹ (r − h H J∇ϱ),      φ = ϱ + J*z/N,

K = JJ* the tangent kernel of the outputs in the discrete metric of the faces, ϱ the penalty; then
the masses are transported down the *frozen* potential φ by MUSCL substeps, which conserve mass and
keep it >= 0 for any φ. As E → 0 velocities vanish with φ, and one substep is enough.

With φ_1 of the whole step, φ_½ of its first half and φ_½' of the half step from the point that φ_½
leads to, transport by φ_½ + φ_½' − φ_1 over h is of second order (extrapolation of the one-stage
step, in the potentials instead of the positions), and (φ_½ + φ_½')/2 − φ_1 estimates the error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfpde import losses
from mfpde.flows import dual
from mfpde.flows.flow import Cells, CellsPoint
from mfpde.flows.schemes.grid import muscl
from mfpde.runs.step import Array, Step

MOST_SUBSTEPS = 2000  # a step that needs more is far too long: it is refused unseen


def step(flow: Cells, point: CellsPoint, h: float, *, rtol: float = 0.0, atol: float = 0.0) -> Step:
    """One step of order 2."""
    allowed = atol + rtol * flow.size(point)
    solver = dual.Chosen(flow, point, allowed, solves=3, kernels=2)
    try:
        return _second_order(flow, point, h, solver)
    except dual.Unsolved:
        return Step(point, refused=True, solving=solver.seen)


def _second_order(flow: Cells, point: CellsPoint, h: float, solver: dual.Chosen) -> Step:
    whole = predicted(flow, point, h, solver)
    first = predicted(flow, point, 0.5 * h, solver)
    middle = drifted(flow, point, first, 0.5 * h)
    if middle is None or not np.isfinite(middle.loss):
        return Step(point, refused=True)
    second = predicted(flow, middle, 0.5 * h, solver)
    end = drifted(flow, point, first + second - whole, h)
    if end is None:
        return Step(point, refused=True)
    error = h * flow.speed(point, 0.5 * (first + second) - whole)
    return Step(end, error, solving=solver.seen)


def predicted(flow: Cells, point: CellsPoint, h: float, solver: dual.Solver) -> Array:
    """φ without ϱ, by coefficient (K, C): the first variation of the residual at the end."""
    problem = flow.problem
    right = point.slope
    if flow.penalty(point.s + h):
        right = right + h * losses.apply(point.hessian, flow.push(point, point.confined))
    z = solver.solve(point, h / problem.size, right)
    out: Array = flow.pull_outputs(point, z / problem.size)
    return out


def drifted(flow: Cells, point: CellsPoint, g: Array, h: float) -> Any:
    """The point after h of transport down a frozen potential; None where that is too far."""
    v = flow.potential(g, flow.penalty(point.s + h))
    count = flow.substeps(v, h)
    if not count <= MOST_SUBSTEPS:
        return None
    masses = point.state
    for _ in range(int(count)):
        masses = muscl.frozen(flow, v, masses, h / count)
    return flow.at(masses, point.s + h)
