"""How much depth stretches: Lip(t) of the layers and the adjoint's exponential bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.evaluate import layers
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import propagate
from mfpde.problem import Problem
from mfpde.theory._kernel import node_states

Array = NDArray[np.float64]


@checks.typed
def lipschitz(problem: Problem, rho: ParticleMeasure) -> Array:
    """Lip(t_k) = sup_i ‖∫ D_x f(X_i(t_k), θ) ρ_t(dθ)‖₂ over the data, shape (K,)."""
    passed = propagate.forward(layers(problem, rho), problem.start())
    states = node_states(rho, passed)
    return np.array([_layer(problem, rho, x, k) for k, x in enumerate(states)])


def _layer(problem: Problem, rho: ParticleMeasure, states: Array, node: int) -> float:
    n, d = states.shape
    jacobian = np.empty((n, d, d))
    for c in range(d):
        q = np.zeros((n, d))
        q[:, c] = 1.0
        jacobian[:, c] = problem.block.backward(states, rho.theta[node], rho.weights[node], q)[0]
    return float(np.linalg.norm(jacobian, 2, axis=(1, 2)).max())


@checks.typed
def adjoint_bounds(rho: ParticleMeasure, lip: Array) -> tuple[Array, Array]:
    """Bounds of |P_i(t_k)|/|P_i(1)| from Lip (K,): lower and upper, both (K,).

    Euler (exact for the ResNet of L layers, whose first variation reads P after layer k):
    Π_{m>k} (1 ∓ h Lip_m), the lower one cut at 0. Other integrators: exp(∓∫_t^1 Lip), the bound
    of the continuous depth, with the integrator's own quadrature.
    """
    parts = rho.depth.weights * checks.array("lip", lip, (rho.levels,))
    if rho.depth.method == "euler":
        with np.errstate(divide="ignore"):
            down, up = np.log(np.maximum(1.0 - parts, 0.0)), np.log1p(parts)
        return np.exp(_after(down)), np.exp(_after(up))
    later = _after(parts) + 0.5 * parts
    return np.exp(-later), np.exp(later)


def _after(parts: Array) -> Array:
    """Σ_{m>k} parts_m, shape (K,)."""
    return np.append(np.cumsum(parts[::-1])[::-1][1:], 0.0)
