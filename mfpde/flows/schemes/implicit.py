"""Extrapolated linearly implicit Euler in the COT metric, solved in the dual.

With J the Jacobian of the outputs, K = JJ*, H the Hessian of ℓ, λ the weight decay and r = ∂ℓ,
one linearly implicit (Gauss–Newton) Euler step (I + h(λ + J*HJ/N)) δ = −h grad E is, by the
Woodbury identity with c = 1 + hλ and γ = h/(Nc),

    z = (I + γ H K)⁻¹ (r − (hλ/c) H Jθ),      δ = −(h/c) (λθ + J*z/N),

a linear system of size N·k instead of L·M·p. It is the linearised proximal (minimising movement)
step of COT². Any approximation of the Hessian keeps the order of the extrapolation (a W-method),
so step doubling with Richardson extrapolation is of order 2, L-stable, and estimates its error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from mfpde.flows.schemes.step import Array, Step


def step(flow: Any, point: Any, h: float) -> Step:
    """One step and two half steps; the half step reuses the kernel of the whole one."""
    whole = point.theta + euler(flow, point, h)
    half = flow.at(point.theta + euler(flow, point, 0.5 * h))
    if not half.finite:
        return Step(half, np.full_like(whole, np.nan))
    halves = half.theta + euler(flow, half, 0.5 * h)
    return Step(flow.at(2.0 * halves - whole), halves - whole)


def euler(flow: Any, point: Any, h: float) -> Array:
    """The displacement δ of one linearly implicit Euler step of length h."""
    problem, decay = flow.problem, flow.problem.weight_decay
    c = 1.0 + h * decay
    right = point.slope
    if decay:
        change = flow.push(point, point.theta)
        right = right - (h * decay / c) * _apply(point.hessian, change)
    z = solve_dual(flow, point, h / (problem.size * c), right)
    terminal = (z @ problem.readout / problem.size).astype(point.theta.dtype)
    delta = flow.pull(point, terminal)
    return -float(h / c) * (delta + decay * point.theta if decay else delta)


def solve_dual(flow: Any, point: Any, gamma: float, right: Array) -> Array:
    """z (N, k) with (I + γ H K) z = right."""
    kernel = point.kernel
    flow.clock.counts["factorisations"] += 1
    with flow.clock.part("linear_algebra"):
        if point.hessian is None:
            system = gamma * kernel
            system.flat[:: len(system) + 1] += 1.0
            return _solve_definite(system, right.ravel()).reshape(right.shape)
        n, k = right.shape
        system = gamma * np.einsum("nab,nbr->nar", point.hessian, kernel.reshape(n, k, n * k))
        system = system.reshape(n * k, n * k)
        system.flat[:: n * k + 1] += 1.0
        return linalg.solve(system, right.ravel(), overwrite_a=True).reshape(n, k)


def _solve_definite(system: Array, right: Array) -> Array:
    try:
        factor = linalg.cho_factor(system, lower=True, overwrite_a=False, check_finite=False)
        return linalg.cho_solve(factor, right, check_finite=False)
    except linalg.LinAlgError:
        # γλ_max(K) beyond 1/eps: rounding can cost K its sign, not the system its rank.
        return linalg.solve(system, right, assume_a="sym", check_finite=False)


def _apply(hessian: Array | None, v: Array) -> Array:
    return v if hessian is None else np.einsum("nab,nb->na", hessian, v)
