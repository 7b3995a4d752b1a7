"""The verbs on one measure: predict, loss, evaluate, gradient, first variation, trajectories."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.kernels.pools import serial_blas
from mfpde.measures import Measure
from mfpde.measures.grid import GridMeasure
from mfpde.measures.joint import PlacedBlocks
from mfpde.measures.joint_grid import JointGrid
from mfpde.passes import Trajectories, carry, operator_of
from mfpde.problem import Problem

Array = NDArray[np.float64]
OnGrid = GridMeasure | JointGrid


@checks.typed
@checks.overflow("the outputs")
@serial_blas()
def predict(problem: Problem, rho: Measure, x: ArrayLike | None = None) -> Array:
    """Outputs B X_i(1), shape (N, k), for the problem's data or for ``x`` (N, d_in)."""
    passes = operator_of(problem, rho)
    start = None if x is None else problem.start(x).astype(passes.start.dtype)
    outputs: Array = passes.carry(rho.state, start, keep=False).outputs
    return outputs


@checks.typed
@checks.overflow("the loss")
@serial_blas()
def loss(problem: Problem, rho: Measure) -> float:
    """E(ρ) = (1/N) Σ_i ℓ(B X_i(1), y_i) + ∫∫ r(θ) dρ, without the entropy."""
    return float(operator_of(problem, rho).carry(rho.state, keep=False).loss)


@checks.typed
def evaluate(
    problem: Problem,
    rho: Measure,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> dict[str, float]:
    """How well a measure does on the problem's data, or on others (x, y): a number by name.

    "loss" is E(ρ) of ``problem.on(x, y, weights)``, penalties included, as ``mfpde.loss`` gives
    it. For losses of classes "accuracy" is the share of data whose class the outputs name (by the
    largest, or by sign); for others "rmse" is √((1/(N k)) Σ_i w_i |z_i − y_i|²).

    Raises ValueError for one of x and y without the other, and for shapes that do not fit.
    """
    if (x is None) != (y is None) or (x is None and weights is not None):
        raise ValueError("x and y must be given together, or neither of them (nor weights)")
    if x is not None and y is not None:
        problem = problem.on(x, y, weights)
    return scores_of(problem, rho)


def scores_of(problem: Problem, rho: Measure) -> dict[str, float]:
    """``evaluate`` on the problem's own data, numbers that overflow included."""
    carried = operator_of(problem, rho).carry(rho.state, keep=False)
    name, value = mark_of(problem, carried.outputs)
    return {"loss": float(carried.loss), name: value}


def mark_of(problem: Problem, z: Array) -> tuple[str, float]:
    """What outputs z (N, k) are worth beside their loss: "accuracy" or "rmse", and its value."""
    correct = problem.loss.correct(z, problem.y)
    with np.errstate(over="ignore", invalid="ignore"):
        each = np.square(z - problem.y).mean(axis=1) if correct is None else correct
        mean = float(np.mean(each if problem.weights is None else problem.weights * each))
    return ("rmse", mean**0.5) if correct is None else ("accuracy", mean)


@checks.typed
@checks.overflow("the gradient")
@serial_blas()
def gradient(problem: Problem, rho: Measure) -> Array:
    """∇_θ V(t_k, θ_kj) at the particles, (K, M, p): the COT gradient of the discrete E_h, exactly.

    Equals (1/(ω_k a_kj)) ∂E_h/∂θ_kj (for Euler and equal weights the factor is L·M); a particle
    without weight gets the limit of that ratio. Its flow moves a particle by −η∘∇V, η the problem's
    rates. Source: Barboni et al. 2024.

    For blocks placed in depth: minus the velocity of (θ_j, t_j) in their flow, (n, p + 1).

    Raises TypeError for measures on a grid, which have no particles: see ``first_variation``.
    """
    if isinstance(rho, OnGrid):
        raise TypeError(
            f"gradient is taken at particles; a {type(rho).__name__} has V at its cells: "
            "mfpde.first_variation(problem, rho)"
        )
    found: Array = carry(problem, rho).variation
    if not problem.penalty:
        return found
    if isinstance(rho, PlacedBlocks):
        slope = problem.penalty.gradient(rho.theta)
        found[:, :-1] += slope if problem.rates is None else problem.rates * slope
        return found
    return found + problem.penalty.gradient(rho.state)


@checks.typed
@checks.overflow("the first variation")
@serial_blas()
def first_variation(problem: Problem, rho: Measure, theta: ArrayLike | None = None) -> Array:
    """V(t_k, θ) at points ``theta``, (n, p) shared by all depths or (K, n, p); shape (K, n).

    V = (1/N) Σ_i ⟨P_i(t), f(X_i(t), θ)⟩ + r(θ), with the quadrature of the depth integrator.
    Without ``theta``: where the mass lies, at the particles, (K, M), or the cell centres,
    (K, n1, ..., np), where it is (∂E_h/∂m_kc)/ω_k, m_kc the mass there, or the blocks placed in
    depth, (n,). For those the nodes of ``theta`` are the blocks in order of depth, K = n.
    """
    carried = carry(problem, rho)
    if theta is None:
        here: Array = carried.potential()
        return here + problem.penalty.value(_points(rho)) if problem.penalty else here
    levels = carried.operator.levels
    points = np.asarray(theta)
    if points.ndim == 2:
        points = np.broadcast_to(points, (levels, *points.shape))
    dtype = carried.state.dtype
    points = checks.array("theta", points, (levels, "n", problem.block.size), dtype=dtype)
    out: Array = carried.potentials(points)
    return out + problem.penalty.value(points)


@checks.typed
@serial_blas()
def trajectories(problem: Problem, rho: Measure) -> Trajectories:
    """Hidden states X_i(t) and adjoint states P_i(t) of the data along depth.

    A named tuple (t (T,), hidden (T, N, d), adjoint (T, N, d)) with t from 0 to 1: the ends of the
    depth steps (all layers of a ResNet), or 0 and the depths of placed blocks.
    dX_i/dt = ∫ f(X_i, θ) ρ_t(dθ) and dP_i/dt = −(∫ D_xf(X_i, θ)ᵀ ρ_t(dθ)) P_i from
    P_i(1) = Bᵀ∂ℓ(B X_i(1), y_i), the exact discrete adjoint. Source: Ding et al. 2021 (5), (8).
    """
    found: Trajectories = carry(problem, rho).trajectories()
    return found


def _points(rho: Measure) -> Array:
    """Where the mass lies: particles (K, M, p), cell centres (n1, ..., np, p), blocks (n, p)."""
    points: Array = rho.grid.points if isinstance(rho, OnGrid) else rho.theta  # type: ignore[attr-defined]
    return points
