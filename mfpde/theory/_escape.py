"""Leaving a bad stationary point: insert mass where V is least, go on, reach zero loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.evaluate import loss
from mfpde.flows.solve import solve
from mfpde.measures import Measure
from mfpde.measures.deposit import cloud_in_cell
from mfpde.measures.grid import GridMeasure
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.runs.solution import Solution
from mfpde.theory._measures import particles
from mfpde.theory._stationarity import Stationarity, stationarity

Array = NDArray[np.float64]
Conditional = ParticleMeasure | GridMeasure

MASSES = 0.5 ** np.arange(1, 31)  # tried by the line search, largest first


@dataclass(frozen=True)
class Round:
    """One insertion: loss before and after it, its mass, where it pointed, the flow after it."""

    loss_before: float
    loss_inserted: float
    mass: float
    direction: Stationarity
    solution: Solution


@dataclass(frozen=True)
class Escape:
    """``success``: the loss reached ``loss_below``; ``rounds`` tell the story, ``final`` is ρ."""

    success: bool
    loss: float
    final: Conditional
    rounds: tuple[Round, ...]
    message: str


@checks.typed
def escape(
    problem: Problem,
    rho: Measure,
    *,
    loss_below: float = 1e-6,
    box: ArrayLike | None = None,
    s_round: float = 100.0,
    rounds: int = 20,
    seed: int = 0,
    **options: Any,
) -> Escape:
    """From a stationary point with E > 0 to zero loss: "every local minimum is global", done.

    Each round finds the θ_k that minimises V(t_k, ·) at every depth (``stationarity``), gives it
    the fraction of mass (halved from ½) that lowers E most, ρ_k → (1−ε)ρ_k + εδ_{θ_k}, and
    follows the gradient flow for s_round more time. E never rises. ``options`` go to ``solve``.

    Ends when E <= loss_below, after ``rounds`` insertions, or when no insertion lowers E (ρ is a
    first-order minimum over the box). Source: Lu et al. 2020 (no bad local minima).
    """
    checks.positive("loss_below", loss_below)
    current: Any = rho
    checks.number("s_round", s_round)
    if s_round <= 0.0:
        raise ValueError(f"s_round must be > 0; given {s_round!r}")
    done: list[Round] = []
    message = f"{rounds} rounds were not enough: increase rounds, s_round or the box."
    for k in range(checks.count("rounds", rounds)):
        direction = stationarity(problem, current, box, seed=seed + k)
        before = loss(problem, current)
        inserted, mass = _insert(problem, current, direction)
        if mass == 0.0:
            message = "No insertion within the box lowers the loss: ρ is a first-order minimum."
            break
        after = loss(problem, inserted)
        sol = solve(problem, inserted, s_end=s_round, loss_below=loss_below, **options)
        current = sol.final
        done.append(Round(before, after, mass, direction, sol))
        if sol.loss[-1] <= loss_below:
            message = f"The loss fell below {loss_below:g} after {k + 1} insertions."
            break
    final = loss(problem, current)
    return Escape(final <= loss_below, final, current, tuple(done), message)


@checks.typed
def insert(rho: Measure, direction: Stationarity, mass: float) -> Conditional:
    """ρ_k → (1−ε)ρ_k + εδ_{θ_k} at every depth where that lowers E to first order.

    Elsewhere a new particle has no weight: all depths hold the same number of particles. On a grid
    the new mass is shared by the nearest centres.

    Raises TypeError for joint measures, ValueError for a point outside the centres of the grid or
    a mass outside (0, 1).
    """
    if not 0.0 < checks.positive("mass", mass) < 1.0:
        raise ValueError(f"mass must be in (0, 1); given {mass!r}")
    epsilon = np.where(direction.per_depth > 0.0, mass, 0.0)[:, None]
    if isinstance(rho, GridMeasure):
        return _deposited(rho, direction.minimisers, epsilon)
    rho = particles(rho, "insert")
    theta = np.concatenate([rho.theta, direction.minimisers[:, None]], axis=1)
    weights = np.concatenate([(1.0 - epsilon) * rho.weights, epsilon], axis=1)
    return ParticleMeasure(theta.astype(rho.dtype), rho.depth, weights, dtype=rho.dtype)


def _deposited(rho: GridMeasure, theta: Array, epsilon: Array) -> GridMeasure:
    low, high = (np.array([axis.centres[end] for axis in rho.axes]) for end in (0, -1))
    if np.any(theta < low) or np.any(theta > high):
        raise ValueError(f"direction must lie within the outermost centres of {rho.grid!r}")
    points = np.stack([cloud_in_cell(one[None], np.ones(1), rho.grid) for one in theta])
    share = epsilon.reshape(-1, *(1,) * rho.dim)
    return rho.with_state((1.0 - share) * rho.masses + share * points)


def _insert(
    problem: Problem, rho: Conditional, direction: Stationarity
) -> tuple[Conditional, float]:
    """The insertion of least loss over the masses tried; mass 0 where none lowers it."""
    best, mass, lowest = rho, 0.0, loss(problem, rho)
    for epsilon in MASSES:
        tried = insert(rho, direction, float(epsilon))
        value = loss(problem, tried)
        if value < lowest:
            best, mass, lowest = tried, float(epsilon), value
        elif mass > 0.0:
            break
    return best, mass
