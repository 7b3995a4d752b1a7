"""The verbs on one measure: predict, loss, gradient, first variation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.measures.grid import GridMeasure
from mfpde.measures.joint import PlacedBlocks
from mfpde.measures.joint_grid import JointGrid
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import propagate
from mfpde.passes.cell_sums import on_grid
from mfpde.passes.propagate import Adjoint, Forward, Layers
from mfpde.problem import Problem

Array = NDArray[np.float64]
OnGrid = GridMeasure | JointGrid
AnyMeasure = ParticleMeasure | PlacedBlocks | OnGrid


def layers(problem: Problem, rho: ParticleMeasure | OnGrid) -> Layers:
    """The measure as the passes read it, after checking that block and measure fit."""
    if isinstance(rho, GridMeasure | JointGrid):
        return on_grid(problem.block, rho.grid).layers(rho.depth, rho.slices)
    if not isinstance(rho, ParticleMeasure):
        raise TypeError(
            f"rho must be a ParticleMeasure or a GridMeasure; given {type(rho).__name__}"
        )
    check_fit(problem, rho)
    return Layers(problem.block, rho.depth, rho.theta, rho.weights.astype(rho.dtype, copy=False))


def check_fit(problem: Problem, rho: ParticleMeasure | PlacedBlocks) -> None:
    """Raise ValueError unless the measure holds parameters of the problem's block."""
    if rho.dim != problem.block.size:
        raise ValueError(
            f"rho must hold parameters of {problem.block!r}, p = {problem.block.size}; "
            f"given p = {rho.dim}"
        )


@checks.typed
@checks.overflow("the outputs")
def predict(problem: Problem, rho: AnyMeasure, x: ArrayLike | None = None) -> Array:
    """Outputs B X_i(1), shape (N, k), for the problem's data or for ``x`` (N, d_in)."""
    if isinstance(rho, PlacedBlocks):
        return _through_blocks(problem, rho, problem.start(x)) @ problem.readout.T
    end = propagate.forward(layers(problem, rho), problem.start(x)).end
    return end @ problem.readout.T.astype(end.dtype)


def _through_blocks(problem: Problem, rho: PlacedBlocks, start: Array) -> Array:
    """X_i(1) behind blocks placed in depth, (N, d)."""
    check_fit(problem, rho)
    _, theta, _, steps = rho.ordered()
    path = problem.block.chain_forward(theta, steps, np.ascontiguousarray(start.T))
    end: Array = path[-1].T
    return end


@checks.typed
@checks.overflow("the loss")
def loss(problem: Problem, rho: AnyMeasure) -> float:
    """E(ρ) = (1/N) Σ_i ℓ(B X_i(1), y_i) + ∫∫ r(θ) dρ, without the entropy."""
    return loss_from(problem, rho, predict(problem, rho))


def loss_from(problem: Problem, rho: AnyMeasure, outputs: Array) -> float:
    """E(ρ) from outputs (N, k) that are known already."""
    fit = float(np.mean(problem.loss.value(outputs, problem.y)))
    return fit + rho.integrate(problem.penalty.value(_points(rho))) if problem.penalty else fit


def _points(rho: AnyMeasure) -> Array:
    """Where the mass lies: particles (K, M, p), cell centres (n1, ..., np, p), blocks (n, p)."""
    return rho.grid.points if isinstance(rho, OnGrid) else rho.theta


@checks.typed
@checks.overflow("the gradient")
def gradient(problem: Problem, rho: AnyMeasure) -> Array:
    """∇_θ V(t_k, θ_kj) at the particles, (K, M, p): the COT gradient of the discrete E_h, exactly.

    Equals (1/(ω_k a_kj)) ∂E_h/∂θ_kj (for Euler and equal weights the factor is L·M); a particle
    without weight gets the limit of that ratio. Source: Barboni et al. 2024, Prop. 3.

    For blocks placed in depth: minus the velocity of (θ_j, t_j) in their flow, (n, p + 1).

    Raises TypeError for a GridMeasure, which has no particles: see ``first_variation``.
    """
    if isinstance(rho, PlacedBlocks):
        from mfpde.flows.flow import flow_class

        moving: Array = flow_class(rho)(problem, rho).at(rho.state).gradient
        return moving
    if isinstance(rho, OnGrid):
        raise TypeError(
            "gradient is taken at particles; a GridMeasure has V at its cells: "
            "mfpde.first_variation(problem, rho)"
        )
    back = _backward(problem, rho)[1]
    slope: Array = back.gradient
    slope /= rho.depth.weights[:, None, None].astype(rho.dtype)
    if problem.penalty:
        slope += problem.penalty.gradient(rho.theta)
    return slope


@checks.typed
@checks.overflow("the first variation")
def first_variation(problem: Problem, rho: AnyMeasure, theta: ArrayLike | None = None) -> Array:
    """V(t_k, θ) at points ``theta``, (n, p) shared by all depths or (K, n, p); shape (K, n).

    V = (1/N) Σ_i ⟨P_i(t), f(X_i(t), θ)⟩ + r(θ), with the quadrature of the depth integrator.
    Without ``theta``: at the particles, (K, M), or the cell centres, (K, n1, ..., np), where it is
    (∂E_h/∂m_kc)/ω_k, m_kc the mass there.

    Raises TypeError for blocks placed in depth: take that of ``rho.to_particles()``.
    """
    if isinstance(rho, PlacedBlocks):
        raise TypeError("rho is a JointMeasure or OrderedBlocks: take that of rho.to_particles()")
    if theta is None and isinstance(rho, OnGrid):
        return _at_cells(problem, rho)
    points = np.asarray(rho.theta if theta is None else theta)  # type: ignore[union-attr]
    if points.ndim == 2:
        points = np.broadcast_to(points, (rho.levels, *points.shape))
    points = checks.array("theta", points, (rho.levels, "n", rho.dim), dtype=rho.dtype)
    passed, back = _backward(problem, rho)
    out = np.zeros(points.shape[:2], rho.dtype)
    for (step, i), k in np.ndenumerate(rho.depth.stage_nodes):
        z, q = passed.stages[step, i], back.cotangents[step, i]
        out[k] += problem.block.potential(z, points[k], q)
    out /= rho.depth.weights[:, None].astype(rho.dtype)
    return out + problem.penalty.value(points)


def _at_cells(problem: Problem, rho: OnGrid) -> Array:
    g = _backward(problem, rho)[1].gradient[:, 0] / rho.depth.weights[:, None]
    v = on_grid(problem.block, rho.grid).expand(g)
    if problem.penalty:
        v += problem.penalty.value(rho.grid.points)
    return v


def terminal_cotangent(problem: Problem, end: Array) -> Array:
    """(1/N) Bᵀ ∂ℓ(B X_i(1), y_i), shape (N, d), in the precision of ``end``."""
    slope = problem.loss.gradient(end @ problem.readout.T, problem.y) / problem.size
    cotangent: Array = (slope @ problem.readout).astype(end.dtype)
    return cotangent


def _backward(problem: Problem, rho: ParticleMeasure | OnGrid) -> tuple[Forward, Adjoint]:
    stack = layers(problem, rho)
    passed = propagate.forward(stack, problem.start(), keep=True)
    return passed, propagate.adjoint(stack, passed, terminal_cotangent(problem, passed.end))
