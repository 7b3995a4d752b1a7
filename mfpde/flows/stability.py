"""The stability limit of explicit steps: λ_max of the linearised flow by power iteration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde import losses
from mfpde.flows.flow import Flow, Point

Array = NDArray[np.float64]


def start_vector(flow: Flow, seed: int = 0) -> Array:
    """A reproducible unit vector in the space of outputs, (N, k)."""
    v = np.random.default_rng(seed).standard_normal((flow.problem.size, flow.problem.outputs))
    return v / np.linalg.norm(v)


def largest_eigenvalue(flow: Flow, point: Point, v: Array, iterations: int) -> tuple[float, Array]:
    """λ_max of D²r + HK/N, a lower bound that rises with the iterations, and the vector reached.

    One iteration costs one adjoint and one tangent pass, about two gradients; K is never formed.
    The vector of the last call is the right start of the next.
    """
    problem = flow.problem
    value = 0.0
    for _ in range(iterations):
        right = losses.apply(point.hessian, v) / problem.size
        image = flow.kernel_product(point, right).astype(np.float64)
        value = float(np.linalg.norm(image))
        if not np.isfinite(value) or value == 0.0:
            return value, v
        v = image / value
    return value + flow.curvature(point), v
