"""How much depth stretches: Lip(t) of the layers and the adjoint's exponential bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.measures import Measure
from mfpde.passes.layered import LayeredCarried
from mfpde.problem import Problem
from mfpde.theory._measures import conditional

Array = NDArray[np.float64]


@checks.typed
def lipschitz(problem: Problem, rho: Measure) -> Array:
    """Lip(t_k) = sup_i ‖∫ D_x f(X_i(t_k), θ) ρ_t(dθ)‖₂ over the data, shape (K,).

    Raises TypeError for joint measures, whose depth marginal is free.
    """
    return layer_bounds(conditional(problem, rho, "lipschitz"))


def layer_bounds(carried: LayeredCarried) -> Array:
    """Lip(t_k) of data that are carried already, (K,)."""
    nodes = range(len(carried.depth.nodes))
    norms = [np.linalg.norm(carried.layer_slopes(k), 2, axis=(1, 2)).max() for k in nodes]
    return np.array(norms)


@checks.typed
def adjoint_bounds(depth: Depth, lip: Array) -> tuple[Array, Array]:
    """Bounds of |P_i(t_k)|/|P_i(1)| from Lip (K,): lower and upper, both (K,).

    Euler (exact for the ResNet of L layers, whose first variation reads P after layer k):
    Π_{m>k} (1 ∓ h Lip_m), the lower one cut at 0. Other integrators: exp(∓∫_t^1 Lip), the bound
    of the continuous depth, with the integrator's own quadrature.
    """
    parts = depth.weights * checks.array("lip", lip, (len(depth.nodes),))
    if depth.method == "euler":
        with np.errstate(divide="ignore"):
            down, up = np.log(np.maximum(1.0 - parts, 0.0)), np.log1p(parts)
        return np.exp(_after(down)), np.exp(_after(up))
    later = _after(parts) + 0.5 * parts
    return np.exp(-later), np.exp(later)


def _after(parts: Array) -> Array:
    """Σ_{m>k} parts_m, shape (K,)."""
    return np.append(np.cumsum(parts[::-1])[::-1][1:], 0.0)
