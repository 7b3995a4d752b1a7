"""The right-hand side of the particles' flow, linearised at one state.

G(θ, a) = ∇_θ V at the particles, (K, M, p). In the COT metric ∂G/∂θ is symmetric: it is the
Hessian of E. So one product with a displacement w gives a tangent (∂G/∂θ) w and an adjoint at once:
with Λ = ω_k a_kj w_kj the cotangent of G,

    (∂G/∂θ)ᵀ Λ = ω a (∂G/∂θ) w,     (∂G_kj/∂a)ᵀ Λ = ω_k δV(t_k, θ_kj),
    (∂G/∂X(0))ᵀ Λ = δP(0),

δ the change along w, δV taken at fixed θ; what G owes the targets follows from the outputs' change.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import losses
from mfpde.passes import propagate
from mfpde.passes.propagate import Layers
from mfpde.passes.second_order import Directions, Moved, adjoint_tangents, forward_tangents
from mfpde.penalty import Penalty
from mfpde.problem import Problem

Array = NDArray[np.float64]


class Response(NamedTuple):
    """Changes along C directions: of G, of V at fixed θ, of the outputs, and of P(0)."""

    gradient: Array  # (C, K, M, p)
    potential: Array  # (C, K, M)
    outputs: Array  # (C, N, k)
    start: Array  # (C, N, d)


class Linearised:
    """G at one state θ (K, M, p), its outputs (N, k), and its products with directions."""

    def __init__(self, problem: Problem, layers: Layers, start: Array, penalty: Penalty) -> None:
        self.problem, self.layers, self.penalty = problem, layers, penalty
        self._start = start
        self._omega = layers.depth.weights[:, None, None]
        self._passed = propagate.forward(layers, start, keep=True)
        slope = problem.loss_gradient(self.outputs) / problem.size
        self._back = propagate.adjoint(layers, self._passed, slope @ problem.readout)
        self._passed = self._passed._replace(kept=None)  # the products read the states alone

    @property
    def outputs(self) -> Array:
        """B X(1), (N, k)."""
        return self._passed.end @ self.problem.readout.T

    @property
    def gradient(self) -> Array:
        """G = ∇_θ V, (K, M, p)."""
        found = self._back.gradient / self._omega
        return found + self.penalty.gradient(self.layers.theta) if self.penalty else found

    @property
    def start(self) -> Array:
        """P(0), (N, d)."""
        return self._back.path[0]

    def kernel(self) -> Array:
        """K = JJ*, (N·k, N·k)."""
        return propagate.tangent_kernel(self.layers, self._passed, self.problem.readout)

    def inner(self, left: Array, right: Array) -> Array:
        """COT inner products of displacements (C, K, M, p) and (K, M, p), (C,)."""
        mass = self._omega[:, :, 0] * self.layers.weights
        found: Array = np.einsum("ckmp,kmp,km->c", left, right, mass)
        return found

    def moved(self, layers: Layers) -> Linearised:
        """The same at other parameters or weights."""
        return Linearised(self.problem, layers, self._start, self.penalty)

    def push(self, directions: Directions) -> Array:
        """The change of the outputs along C directions, (C, N, k)."""
        _, end = forward_tangents(self.layers, self._passed, directions)
        found: Array = end @ self.problem.readout.T
        return found

    def along(self, directions: Directions) -> Response:
        """Everything that moves along C directions."""
        problem, outputs = self.problem, self.outputs
        stages, end = forward_tangents(self.layers, self._passed, directions)
        moved = end @ problem.readout.T
        hessian = problem.loss_hessian(outputs)
        slope = np.stack([losses.apply(hessian, one) for one in moved]) / problem.size
        found = self._along(self._back.cotangents, stages, directions, slope)
        if self.penalty:
            found.gradient[...] += self.penalty.bend(self.layers.theta, directions.theta)
        return Response(found.gradient, found.potential, moved, found.start)

    def bent(self, v: Array, directions: Directions, slope: Array) -> Response:
        """How the gradient of ⟨v, outputs⟩ moves along C directions while v (N, k) moves by slope.

        ``slope`` (C, N, k). Penalties have no part in it.
        """
        back = propagate.adjoint(self.layers, self._passed, v @ self.problem.readout)
        stages, end = forward_tangents(self.layers, self._passed, directions)
        found = self._along(back.cotangents, stages, directions, slope)
        moved = end @ self.problem.readout.T
        return Response(found.gradient, found.potential, moved, found.start)

    def _along(
        self, cotangents: Array, stages: Array, directions: Directions, slope: Array
    ) -> Moved:
        """Changes of G, of V at fixed θ and of P(0) where the cotangents of outputs move."""
        found = adjoint_tangents(
            self.layers,
            self._passed,
            cotangents,
            stages,
            directions,
            slope @ self.problem.readout,
        )
        omega = self._omega
        return Moved(found.gradient / omega, found.potential / omega[:, :, 0], found.start)

    def pull(self, v: Array, start: Array | None = None) -> tuple[Array, Array, Array]:
        """Derivatives of ⟨v_c, outputs⟩ for v (C, N, k), at the data or from X(0) = start.

        The COT gradient in θ (C, K, M, p), the first variation at the particles (C, K, M), and
        the gradient in X(0) (C, N, d).
        """
        passed = self._passed if start is None else propagate.forward(self.layers, start)
        gradients, potentials, starts = [], [], []
        for one in v:
            back = propagate.adjoint(self.layers, passed, one @ self.problem.readout)
            gradients.append(back.gradient / self._omega)
            potentials.append(_potential(self.layers, passed.stages, back.cotangents))
            starts.append(back.path[0])
        return np.stack(gradients), np.stack(potentials), np.stack(starts)


def _potential(layers: Layers, stages: Array, cotangents: Array) -> Array:
    """(1/ω_k) Σ_e ⟨Q_e, f(Z_e, θ_kj)⟩, (K, M)."""
    out: Any = np.zeros(layers.theta.shape[:2])
    for (step, i), k in np.ndenumerate(layers.depth.stage_nodes):
        q = cotangents[step, i]
        out[k] += layers.block.potential(stages[step, i], layers.theta[k], q)
    return out / layers.depth.weights[:, None]
