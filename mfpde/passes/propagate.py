"""Passes through depth: forward, exact discrete adjoint, tangent, and the tangent kernel.

One *evaluation* e = (l, i) is stage i of step l: the block is summed over the particles of depth
node k(e) at the stage state Z_e. The adjoint gives every evaluation a cotangent Q_e, and all that
follows is a sum over evaluations, for instance the discrete first variation

    V_h(t_k, θ) = (1/ω_k) Σ_{e at k} Σ_i ⟨Q_e,i , f(Z_e,i , θ)⟩,

which is exactly δE_h/δρ_k in the metric whose depth quadrature is ω.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.blocks.base import Block
from mfpde.depth import Depth
from mfpde.kernels.gram import mirror
from mfpde.kernels.pools import serial_blas

Array = NDArray[Any]


class Layers(NamedTuple):
    """What a pass needs to know of a measure: block, depth, θ (K, M, p) and weights (K, M)."""

    block: Block
    depth: Depth
    theta: Array
    weights: Array


class Forward(NamedTuple):
    """Stage states Z (L, S, N, d), hidden path X (L+1, N, d), and what a block kept of them."""

    stages: Array
    path: Array
    kept: Any = None

    @property
    def end(self) -> Array:
        """X(1), shape (N, d)."""
        return self.path[-1]


class Adjoint(NamedTuple):
    """Cotangents Q (L, S, N, d), adjoint path P (L+1, N, d) and Σ_e D_θ fᵀQ_e, (K, M, p)."""

    cotangents: Array
    path: Array
    gradient: Array


@serial_blas()
def forward(layers: Layers, start: Array, *, keep: bool = False) -> Forward:
    """Solve dX/dt = ∫ f(X, θ) ρ_t(dθ) from X(0) = start (N, d).

    ``keep`` says that adjoints or tangents follow, for which a block may keep what it computed.
    """
    block, depth, theta, weights = layers
    x = start.astype(theta.dtype)
    whole = block.forward_pass(depth, theta, weights, x, keep)
    if whole is not None:
        return Forward(*whole)
    h, tableau, nodes = depth.step, depth.tableau, depth.stage_nodes
    stages = np.empty((depth.steps, tableau.stages, *x.shape), theta.dtype)
    path = np.empty((depth.steps + 1, *x.shape), theta.dtype)
    path[0] = x
    for step in range(depth.steps):
        slopes: list[Array] = []
        for i in range(tableau.stages):
            z = advance(path[step], h, tableau.a[i], slopes)
            stages[step, i] = z
            k = nodes[step, i]
            slopes.append(block.field(z, theta[k], weights[k]))
        path[step + 1] = advance(path[step], h, tableau.b, slopes)
    return Forward(stages, path)


@serial_blas()
def adjoint(layers: Layers, passed: Forward, terminal: Array) -> Adjoint:
    """Pull the cotangent ``terminal`` (N, d) of X(1) back to every evaluation."""
    block, depth, theta, weights = layers
    whole = block.adjoint_pass(depth, theta, weights, passed.stages, terminal, passed.kept)
    if whole is not None:
        return Adjoint(*whole)
    h, tableau, nodes = depth.step, depth.tableau, depth.stage_nodes
    cotangents = np.empty_like(passed.stages)
    path = np.empty_like(passed.path)
    gradient = np.zeros_like(theta)
    path[-1] = terminal
    for step in reversed(range(depth.steps)):
        pulls: list[Array] = []  # of the later stages, latest first
        for i in reversed(range(tableau.stages)):
            k, q = nodes[step, i], stage_cotangent(path[step + 1], h, tableau, i, pulls)
            cotangents[step, i] = q
            pull, change = block.backward(passed.stages[step, i], theta[k], weights[k], q)
            pulls.append(pull)
            gradient[k] += change
        path[step] = path[step + 1] + sum(pulls)
    return Adjoint(cotangents, path, gradient)


@serial_blas()
def tangent(layers: Layers, passed: Forward, change: Array) -> Array:
    """The change of X(1), shape (N, d), to first order in a change of θ (K, M, p)."""
    block, depth, theta, weights = layers
    end = block.tangent_pass(depth, theta, weights, passed.stages, change, passed.kept)
    if end is not None:
        return end
    h, tableau, nodes = depth.step, depth.tableau, depth.stage_nodes
    dx = np.zeros_like(passed.path[0])
    for step in range(depth.steps):
        slopes: list[Array] = []
        for i in range(tableau.stages):
            k, dz = nodes[step, i], advance(dx, h, tableau.a[i], slopes)
            z = passed.stages[step, i]
            slopes.append(block.tangent(z, theta[k], weights[k], dz, change[k]))
        dx = advance(dx, h, tableau.b, slopes)
    return dx


@serial_blas()
def tangent_kernel(
    layers: Layers, passed: Forward, readout: Array, root: Array | None = None
) -> Array:
    """K = J J* of the outputs B X(1) in the COT metric, (N·k, N·k), row i·k + c for output c of i.

    K = Σ_k (1/ω_k) Σ_j a_kj J_kj diag(η) J_kjᵀ with η = ``root``², accumulated depth node by depth
    node from matrix products; the Jacobian is never held. Only the lower triangle is computed,
    then mirrored.
    """
    size = passed.end.shape[0] * readout.shape[0]
    kernel = np.zeros((size, size), layers.theta.dtype)
    for k, factors in sensitivities(layers, passed, readout, root):
        scale = 1.0 / float(layers.depth.weights[k])
        layers.block.gram(factors, layers.weights[k], scale, kernel)
    mirror(kernel)
    return kernel


@serial_blas()
def mixed_kernel(
    layers: Layers, passed: Forward, readout: Array, root: Array | None = None
) -> Array:
    """The sum over outputs of the diagonal blocks of K, (N, N), for a readout (q, d) or (N, q, d).

    One output after another, since outputs do not meet, and the evaluations of a depth node merged
    into one where the block does: it is for preconditioners.
    """
    data = len(passed.end)
    kernel = np.zeros((data, data), layers.theta.dtype)
    for c in range(readout.shape[-2]):
        for k, factors in sensitivities(layers, passed, readout[..., c : c + 1, :], root):
            scale = 1.0 / float(layers.depth.weights[k])
            layers.block.gram(layers.block.merged(factors), layers.weights[k], scale, kernel)
    mirror(kernel)
    return kernel


def sensitivities(
    layers: Layers, passed: Forward, readout: Array, root: Array | None = None
) -> Iterator[tuple[int, Any]]:
    """For each depth node, last first, the factors (see ``Block.sensitivity``) of all outputs.

    ``root`` (p,) multiplies the columns of D_θ f. The readout is that of all data, (k, d), or one
    for each, (N, k, d).
    """
    block, depth, theta, weights = layers
    h, tableau, nodes = depth.step, depth.tableau, depth.stage_nodes
    n = passed.end.shape[0]
    later = np.broadcast_to(readout.astype(theta.dtype), (n, *readout.shape[-2:]))
    evaluations = np.bincount(nodes.ravel())
    pending: dict[int, list[Any]] = defaultdict(list)
    for step in reversed(range(depth.steps)):
        pulls: list[Array] = []
        for i in reversed(range(tableau.stages)):
            k, q = int(nodes[step, i]), stage_cotangent(later, h, tableau, i, pulls)
            z = passed.stages[step, i]
            pull, factor = block.sensitivity(z, theta[k], weights[k], q)
            pulls.append(pull)
            pending[k].append(factor if root is None else block.scaled(factor, root))
            if len(pending[k]) == evaluations[k]:
                yield k, pending.pop(k)
        later = later + sum(pulls)


def advance(x: Array, h: float, coefficients: Array, slopes: list[Array]) -> Array:
    """x + h Σ_j c_j slope_j, skipping zeros (float() keeps a float32 computation in float32)."""
    for c, slope in zip(coefficients, slopes, strict=False):
        if c != 0.0:
            x = x + float(h * c) * slope
    return x


def stage_cotangent(later: Array, h: float, tableau: Any, i: int, pulls: list[Array]) -> Array:
    """h (b_i P + Σ_{j>i} A_ji D_xF(Z_j)ᵀQ_j); ``pulls`` holds those terms, latest stage first."""
    q = float(h * tableau.b[i]) * later
    for back, pull in enumerate(pulls):
        c = tableau.a[tableau.stages - 1 - back, i]
        if c != 0.0:
            q = q + float(h * c) * pull
    return q
