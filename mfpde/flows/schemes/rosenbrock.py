"""A Rosenbrock–W method of order 3 in the COT metric, its stages solved in the dual.

With A = λ + J*HJ/N, the Gauss–Newton matrix at the start of the step, stages of ROS34PW2 are

    (1 + hγA) w_i = −grad E(θ + h Σ_j α_ij k_j) + Σ_j (γ_ij/γ) k_j,   k_i = w_i − Σ_j (γ_ij/γ) k_j,

and θ⁺ = θ + h Σ_i b_i k_i. Its order is 3 for any A, it is L-stable where A is exact, and other
weights of the same stages, of order 2, estimate the error. All four stages share one kernel and one
factorisation. The gradient of a stage at outputs with slope r_i is J_i*r_i/N + ∇ϱ, nearly J*r_i/N;
with c = 1 + hγλ, a = hγ/(Nc) and q_i the rest of the right side,

    h w_i = (h/c) q_i − a J* (I + aHK)⁻¹ (r_i/γ + (h/c) HJ q_i),

so that what is small near zero loss is not the difference of what is not.
Source: Rang, Angermann 2005 (ROS34PW2); Hairer, Wanner, Solving ODEs II, IV.7.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfpde import losses
from mfpde.flows import dual
from mfpde.flows.flow import DescentPoint, Flow
from mfpde.runs.step import Array, Step

GAMMA = 0.43586652150845900
# Below the diagonal: α, and γ_ij/γ.
ALPHA = (
    (),
    (0.87173304301691801,),
    (0.84457060015369423, -0.11299064236484185),
    (0.0, 0.0, 1.0),
)
MIXED = (
    (),
    (-0.87173304301691801 / GAMMA,),
    (-0.90338057013044082 / GAMMA, 0.054180672388095326 / GAMMA),
    (0.24212380706095346 / GAMMA, -1.2232505839045147 / GAMMA, 0.54526025533510214 / GAMMA),
)
B = (0.24212380706095346, -1.2232505839045147, 1.5452602553351020, 0.43586652150845900)
LOWER = (0.37810903145819369, -0.096042292212423178, 0.5, 0.21793326075422950)
ORDER = 3
# Dual systems, and passes besides: gradients, and what moves the right sides into the dual.
WORK = {"solves": 4, "kernels": 1, "factors": 1}
PASSES = 10


def step(
    flow: Flow, point: DescentPoint, h: float, *, rtol: float = 0.0, atol: float = 0.0
) -> Step:
    """One step of order 3; the tolerances bound the error of iterative linear solves."""
    allowed = dual.allowed(flow, point, h, rtol, atol)
    solver = dual.Chosen(flow, point, allowed, **WORK)
    try:
        return _stages(flow, point, h, solver)
    except dual.Unsolved:
        return Step(point, refused=True, solving=solver.seen)


def _stages(flow: Flow, point: DescentPoint, h: float, solver: dual.Chosen) -> Step:
    moves: list[Array] = []  # h k_i
    for alpha, mixed in zip(ALPHA, MIXED, strict=True):
        here = (
            point if not moves else flow.at(_moved(point, alpha, moves), point.s + h * sum(alpha))
        )
        if not here.finite:
            return Step(here, np.full_like(point.state, np.nan))
        behind = sum((m * k for m, k in zip(mixed, moves, strict=True)), 0.0)
        moves.append(_stage(flow, point, here, h, behind, solver) - behind)
    end = flow.at(_moved(point, B, moves), point.s + h)
    error = sum((b - low) * k for b, low, k in zip(B, LOWER, moves, strict=True))
    return Step(end, error, solving=solver.seen)


def _moved(point: DescentPoint, weights: tuple[float, ...], moves: list[Array]) -> Array:
    state: Array = point.state
    for weight, move in zip(weights, moves, strict=True):
        if weight:
            state = state + weight * move
    return state


def _stage(
    flow: Flow,
    point: DescentPoint,
    here: DescentPoint,
    h: float,
    behind: Any,
    solver: dual.Solver,
) -> Array:
    """h w of one stage, ``behind`` being h Σ_j (γ_ij/γ) k_j."""
    size = flow.problem.size
    c = 1.0 + h * GAMMA * flow.fastest * flow.penalty(point.s + h * GAMMA).quadratic
    a = h * GAMMA / (size * c)
    right, rest = here.slope / GAMMA, behind
    if here is not point:
        rest = rest - h * (here.gradient - _pulled(flow, point, here.slope / size))
    elif penalty := flow.penalty(point.s):
        rest = rest - h * flow.operator.lifted(penalty.gradient(point.state))
    if np.ndim(rest):
        right = right + losses.apply(point.hessian, flow.push(point, rest)) / c
    return rest / c - a * _pulled(flow, point, solver.solve(point, a, right))


def _pulled(flow: Flow, point: DescentPoint, v: Array) -> Array:
    """J*v in the metric."""
    found: Array = point.carried.velocity(flow.pull_outputs(point, v))
    return found
