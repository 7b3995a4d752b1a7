"""Optimal transport on Θ × [0, 1], where mass may also move between depths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.transport.distance import conditional_transport
from mfpde.transport.measure import ConditionalMeasure, as_measure, check_pair
from mfpde.transport.methods import Method


def joint_distance(mu: Any, nu: Any, *, beta: float = 1.0, method: str | Method = "auto") -> float:
    """W₂ on Θ × [0, 1] for the cost |θ − θ′|² + β²|t − t′|²; β = 1 is the plain W₂.

    Every measure is read as Σ_k ω_k Σ_j a_kj δ_(θ_kj, t_k), atoms sitting at the depth nodes. The
    distance grows with β. On a common depth axis it tends to COT, and it *equals* COT once
    β |t_k − t_l| exceeds what any exchange between depths could save; it never exceeds it.

    Args:
        mu, nu, method: as in `cot_distance`. beta: > 0, the price of a unit of depth.

    Raises:
        ValueError, TypeError: as `cot_distance`; beta not positive.

    Source: Barboni, Peyré, Vialard 2024, Section 2 (COT as the limit of anisotropic costs).
    """
    first, second = as_measure("mu", mu), as_measure("nu", nu)
    check_pair(first, second)
    price = checks.positive("beta", beta)
    pair = [_lifted(rho, price) for rho in (first, second)]
    return conditional_transport(*pair, method=method, workers=1).distance


def _lifted(rho: ConditionalMeasure, beta: float) -> ConditionalMeasure:
    """One slice that holds every (θ_kj, β t_k) with mass ω_k a_kj."""
    atoms = [
        np.column_stack([x, np.full(len(x), beta * t)])
        for x, t in zip(rho.atoms, rho.nodes, strict=True)
    ]
    mass: NDArray[np.float64] = np.concatenate(
        [w * a for w, a in zip(rho.lengths, rho.weights, strict=True)]
    )
    whole = np.array([0.0, 1.0])
    return ConditionalMeasure(whole, np.zeros(1), (np.concatenate(atoms),), (mass / mass.sum(),))
