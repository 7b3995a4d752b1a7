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


def _sum(coefficients: Array, slopes: list[Array]) -> Array | float:
    terms = (c * slope for c, slope in zip(coefficients, slopes, strict=False))
    return sum(terms, start=0.0)
