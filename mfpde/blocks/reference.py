"""Whole passes through depth from a block's three methods alone: what faster ones must equal.

Slow and plain on purpose; ``mfpde.passes.propagate`` has the loops that a run uses.
"""

from __future__ import annotations

import numpy as np

from mfpde.blocks.base import Array, Block
from mfpde.depth import Depth


def forward(
    block: Block, depth: Depth, theta: Array, weights: Array, start: Array
) -> tuple[Array, Array]:
    """Stage states (L, S, N, d) and path (L + 1, N, d)."""
    tableau, path, stages = depth.tableau, [start], []
    for nodes in depth.stage_nodes:
        slopes: list[Array] = []
        for i, k in enumerate(nodes):
            z = path[-1] + depth.step * _sum(tableau.a[i], slopes)
            stages.append(z)
            slopes.append(Block.field(block, z, theta[k], weights[k]))
        path.append(path[-1] + depth.step * _sum(tableau.b, slopes))
    return np.array(stages).reshape(depth.stage_nodes.shape + start.shape), np.array(path)


def adjoint(
    block: Block, depth: Depth, theta: Array, weights: Array, stages: Array, terminal: Array
) -> tuple[Array, Array, Array]:
    """Cotangents (L, S, N, d), adjoint path (L + 1, N, d) and gradient (K, M, p)."""
    h, tableau = depth.step, depth.tableau
    cotangents, gradient, path = np.zeros_like(stages), np.zeros_like(theta), [terminal]
    for step in reversed(range(depth.steps)):
        pulls = np.zeros_like(stages[step])
        for i in reversed(range(tableau.stages)):
            q = h * (tableau.b[i] * path[-1] + np.tensordot(tableau.a[:, i], pulls, 1))
            k, cotangents[step, i] = depth.stage_nodes[step, i], q
            z = stages[step, i]
            pulls[i], change = Block.backward(block, z, theta[k], weights[k], q)
            gradient[k] += change
        path.append(path[-1] + pulls.sum(axis=0))
    return cotangents, np.array(path[::-1]), gradient


def tangent(
    block: Block, depth: Depth, theta: Array, weights: Array, stages: Array, change: Array
) -> Array:
    """The change of X(1), (N, d), to first order in one of θ (K, M, p)."""
    tableau, dx = depth.tableau, np.zeros_like(stages[0, 0])
    for states, nodes in zip(stages, depth.stage_nodes, strict=True):
        slopes: list[Array] = []
        for i, k in enumerate(nodes):
            dz = dx + depth.step * _sum(tableau.a[i], slopes)
            slopes.append(Block.tangent(block, states[i], theta[k], weights[k], dz, change[k]))
        dx = dx + depth.step * _sum(tableau.b, slopes)
    return dx


def forward_tangents(
    block: Block, depth: Depth, theta: Array, weights: Array, stages: Array, *moves: Array
) -> tuple[Array, Array]:
    """Changes of the stages (L, S, C, N, d) and of X(1) (C, N, d).

    ``moves``: C changes of θ (C, K, M, p), of the weights (C, K, M) and of X(0) (C, N, d).
    """
    change, mass, dx = moves
    tableau, moved = depth.tableau, np.zeros(depth.stage_nodes.shape + dx.shape)
    for states, nodes, dz in zip(stages, depth.stage_nodes, moved, strict=True):
        slopes: list[Array] = []
        for i, k in enumerate(nodes):
            dz[i] = dx + depth.step * _sum(tableau.a[i], slopes)
            given = states[i], theta[k], weights[k], dz[i], change[:, k], mass[:, k]
            slopes.append(Block.tangents(block, *given))
        dx = dx + depth.step * _sum(tableau.b, slopes)
    return moved, dx


def adjoint_tangents(
    block: Block, depth: Depth, theta: Array, weights: Array, stages: Array, cotangents: Array,
    moved: Array, *moves: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Changes of the gradient (C, K, M, p), of the potential (C, K, M) and of P(0) (C, N, d).

    ``moves``: as in ``forward_tangents``, the last one the change of P(1).
    """
    (change, mass, later), h, tableau = moves, depth.step, depth.tableau
    gradient, potential = np.zeros_like(change), np.zeros_like(mass)
    for step in reversed(range(depth.steps)):
        pulls = np.zeros_like(moved[step])
        for i in reversed(range(tableau.stages)):
            k = depth.stage_nodes[step, i]
            dq = h * (tableau.b[i] * later + np.tensordot(tableau.a[:, i], pulls, 1))
            given = stages[step, i], theta[k], weights[k], cotangents[step, i], moved[step, i]
            pulls[i], *more = Block.backward_tangents(block, *given, change[:, k], dq, mass[:, k])
            gradient[:, k] += more[0]
            potential[:, k] += more[1]
        later = later + pulls.sum(axis=0)
    return gradient, potential, later


def _sum(coefficients: Array, slopes: list[Array]) -> Array | float:
    terms = (c * slope for c, slope in zip(coefficients, slopes, strict=False))
    return sum(terms, start=0.0)
