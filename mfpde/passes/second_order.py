"""Tangents of the forward and of the adjoint pass: Hessian–vector products of E, exactly.

Along C directions at once, each a change of θ (K, M, p), of the weights a (K, M), of X(0) (N, d)
and of the cotangent of X(1) (N, d), the passes of ``propagate`` move by

    dZ_e, dX(1)                                    (``forward_tangents``),
    d Σ_e D_θ fᵀQ_e, d Σ_e ⟨Q_e, f(Z_e, θ)⟩, dP(0)    (``adjoint_tangents``),

the middle one at fixed θ: per unit of ω_k it is the change of V(t_k, ·) at the particles. All in
float64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.passes.propagate import Forward, Layers, advance, stage_cotangent

Array = NDArray[Any]


class Directions(NamedTuple):
    """Changes of θ (C, K, M, p), of the weights (C, K, M) or none, of X(0) (C, N, d) or none."""

    theta: Array
    mass: Array | None = None
    start: Array | None = None

    def whole(self) -> tuple[Array, Array]:
        """All changes of θ and of the weights, contiguous."""
        theta = np.ascontiguousarray(self.theta)
        mass = np.zeros(theta.shape[:-1]) if self.mass is None else self.mass
        return theta, np.ascontiguousarray(mass)

    def at(self, k: int) -> tuple[Array, Array | None]:
        """What changes at depth node k."""
        return self.theta[:, k], None if self.mass is None else self.mass[:, k]


class Moved(NamedTuple):
    """Changes of Σ_e D_θ fᵀQ_e (C, K, M, p), of Σ_e ⟨Q_e, f⟩ (C, K, M), and of P(0) (C, N, d)."""

    gradient: Array
    potential: Array
    start: Array


def forward_tangents(
    layers: Layers, passed: Forward, directions: Directions
) -> tuple[Array, Array]:
    """Changes of the stage states (L, S, C, N, d) and of X(1) (C, N, d)."""
    block, depth, theta, weights = layers
    h, tableau, nodes = depth.step, depth.tableau, depth.stage_nodes
    shape = (len(directions.theta), *passed.end.shape)
    dx = np.zeros(shape) if directions.start is None else directions.start
    whole = block.forward_tangents_pass(
        depth, theta, weights, passed.stages, passed.kept, *directions.whole(), dx
    )
    if whole is not None:
        return whole
    stages = np.empty((*nodes.shape, *shape))
    for step in range(depth.steps):
        slopes: list[Array] = []
        for i in range(tableau.stages):
            k, dz = nodes[step, i], advance(dx, h, tableau.a[i], slopes)
            stages[step, i] = dz
            z, (change, mass) = passed.stages[step, i], directions.at(k)
            slopes.append(block.tangents(z, theta[k], weights[k], dz, change, mass))
        dx = advance(dx, h, tableau.b, slopes)
    return stages, dx


def adjoint_tangents(
    layers: Layers,
    passed: Forward,
    cotangents: Array,
    stages: Array,
    directions: Directions,
    terminal: Array,
) -> Moved:
    """How the adjoint pass with ``cotangents`` (L, S, N, d) moves.

    ``stages`` is from ``forward_tangents``, ``terminal`` (C, N, d) the change of P(1).
    """
    block, depth, theta, weights = layers
    h, tableau, nodes = depth.step, depth.tableau, depth.stage_nodes
    whole = block.adjoint_tangents_pass(
        depth, theta, weights, passed.stages, cotangents, passed.kept, stages,
        *directions.whole(), terminal,
    )  # fmt: skip
    if whole is not None:
        return Moved(*whole)
    gradient = np.zeros((len(directions.theta), *theta.shape))
    potential = np.zeros(gradient.shape[:-1])
    later = terminal
    for step in reversed(range(depth.steps)):
        pulls: list[Array] = []
        for i in reversed(range(tableau.stages)):
            k, dq = nodes[step, i], stage_cotangent(later, h, tableau, i, pulls)
            change, mass = directions.at(k)
            pull, by_theta, value = block.backward_tangents(
                passed.stages[step, i], theta[k], weights[k], cotangents[step, i],
                stages[step, i], change, dq, mass,
            )  # fmt: skip
            pulls.append(pull)
            gradient[:, k] += by_theta
            potential[:, k] += value
        later = later + sum(pulls)
    return Moved(gradient, potential, later)
