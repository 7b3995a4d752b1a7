"""Optimal transport on Θ × [0, 1], where mass may also move between depths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.measures.joint import PlacedBlocks
from mfpde.measures.joint_grid import JointGrid
from mfpde.transport.distance import conditional_transport
from mfpde.transport.measure import ConditionalMeasure, as_measure, check_pair
from mfpde.transport.methods import Method


@checks.typed
def joint_distance(
    mu: Any,
    nu: Any,
    *,
    beta: float = 1.0,
    rates: ArrayLike | None = None,
    method: str | Method = "auto",
) -> float:
    """W₂ on Θ × [0, 1] for the cost |θ − θ′|² + β²|t − t′|²; β = 1 is the plain W₂.

    A ``JointMeasure`` (or ``OrderedBlocks``) is what it is, (1/n) Σ_j δ_(θ_j, t_j), and a
    ``JointGrid`` its masses at the centres of its cells in (θ, t); every other measure is read as
    Σ_k ω_k Σ_j a_kj δ_(θ_kj, t_k), atoms sitting at the depth nodes. The distance grows with β. On
    a common depth axis it tends to COT, and it *equals* COT once β |t_k − t_l| exceeds what any
    exchange between depths could save; it never exceeds it.

    Args:
        mu, nu, rates, method: as in `cot_distance`. beta: > 0, the price of a unit of depth.

    Raises:
        ValueError, TypeError: as `cot_distance`; beta not positive.

    Source: Barboni, Peyré, Vialard 2024, Section 2 (COT as the limit of anisotropic costs).
    """
    price = checks.positive("beta", beta)
    first, second = _read("mu", mu), _read("nu", nu)
    check_pair(first, second)
    pair = [_lifted(rho, price) for rho in (first, second)]
    if rates is not None:  # depth has its own price
        rates = np.append(checks.array("rates", rates, (pair[0].dim - 1,)), 1.0)
    return conditional_transport(*pair, rates=rates, method=method, workers=1).distance


def _read(name: str, value: Any) -> Any:
    return value if isinstance(value, PlacedBlocks | JointGrid) else as_measure(name, value)


def _lifted(rho: PlacedBlocks | JointGrid | ConditionalMeasure, beta: float) -> ConditionalMeasure:
    """One slice that holds every (θ_kj, β t_k) with mass ω_k a_kj."""
    if isinstance(rho, JointGrid):
        points = rho.grid.points.reshape(-1, rho.dim)
        depths = np.repeat(beta * rho.depth.nodes, len(points))
        atoms = np.column_stack([np.tile(points, (rho.levels, 1)), depths])
        kept = rho.masses.ravel() > 0.0
        return _slice(atoms[kept], rho.masses.ravel()[kept])
    if isinstance(rho, PlacedBlocks):
        return _slice(np.column_stack([rho.theta, beta * rho.t]), np.ones(rho.count))
    lifted = [
        np.column_stack([x, np.full(len(x), beta * t)])
        for x, t in zip(rho.atoms, rho.nodes, strict=True)
    ]
    mass: NDArray[np.float64] = np.concatenate(
        [w * a for w, a in zip(rho.lengths, rho.weights, strict=True)]
    )
    return _slice(np.concatenate(lifted), mass)


def _slice(atoms: NDArray[np.float64], mass: NDArray[np.float64]) -> ConditionalMeasure:
    whole = np.array([0.0, 1.0])
    return ConditionalMeasure(whole, np.zeros(1), (atoms,), (mass / mass.sum(),))
