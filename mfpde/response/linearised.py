"""The right-hand side of the particles' flow, linearised at one state.

G(θ, a) = ∇_θ V at the particles, (K, M, p). In the COT metric ∂G/∂θ is symmetric: it is the
Hessian of E. So one product with a displacement w gives a tangent (∂G/∂θ) w and an adjoint at once:
with Λ = ω_k a_kj w_kj the cotangent of G,

    (∂G/∂θ)ᵀ Λ = ω a (∂G/∂θ) w,     (∂G_kj/∂a)ᵀ Λ = ω_k δV(t_k, θ_kj),
    (∂G/∂X(0))ᵀ Λ = δP(0),

δ the change along w, δV taken at fixed θ; what G owes the targets follows from the outputs' change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import checks, losses
from mfpde.passes import propagate
from mfpde.passes.propagate import Adjoint, Forward, Layers
from mfpde.passes.room import bytes_per_datum, keeps
from mfpde.passes.second_order import Directions, adjoint_tangents, forward_tangents
from mfpde.penalty import Penalty
from mfpde.problem import Problem

Array = NDArray[np.float64]

# States of a datum that are held at a time: a step keeps the points of all of its stages.
HELD = 8


class Response(NamedTuple):
    """Changes along C directions: of G, of V at fixed θ, of the outputs, and of P(0)."""

    gradient: Array  # (C, K, M, p)
    potential: Array  # (C, K, M)
    outputs: Array  # (C, N, k)
    start: Array  # (C, N, d)


class Passed(NamedTuple):
    """A block of data at one state: their problem, and their passes there and back."""

    problem: Problem
    forward: Forward
    back: Adjoint

    @property
    def outputs(self) -> Array:
        """B X(1), (n, k)."""
        return self.forward.end @ self.problem.readout.T


Slope = Callable[[Passed, slice, Array], Array]


class Linearised:
    """G at one state θ (K, M, p), its outputs (N, k), and its products with directions.

    ``gradient`` is G = ∇_θ V, (K, M, p), ``start`` P(0), (N, d). Data are taken in blocks where the
    problem's ``memory`` does not hold the states of all: they are carried again for every product.
    """

    def __init__(self, problem: Problem, layers: Layers, start: Array, penalty: Penalty) -> None:
        self.problem, self.layers, self.penalty = problem, layers, penalty
        self._omega = layers.depth.weights[:, None, None]
        self._begin = start
        self._memory = checks.memory_for("memory", problem.memory)
        self._held: Passed | None = None
        self.outputs, self.start = np.empty((len(start), problem.outputs)), np.empty(start.shape)
        total = np.zeros(layers.theta.shape)
        for rows, part in self._blocks(0):
            self.outputs[rows], self.start[rows] = part.outputs, part.back.path[0]
            total += part.back.gradient
        self.gradient: Array = total / self._omega
        if penalty:
            self.gradient += penalty.gradient(layers.theta)

    def _length(self, directions: int) -> int:
        """Data in a block whose states, and changes along directions, take half of the memory.

        Raises ValueError where those of one datum do not fit.
        """
        each = (HELD + directions) * bytes_per_datum(self.layers, self._begin.shape[1])
        if each > 0.5 * self._memory:
            raise ValueError(
                f"memory: the states of one datum with their changes take {2 * each} bytes, "
                f"{self._memory:g} are allowed: give more, or take fewer directions or steps in "
                "depth"
            )
        return int(0.5 * self._memory // each)

    def _blocks(self, directions: int) -> Iterator[tuple[slice, Passed]]:
        length, count = self._length(directions), len(self._begin)
        if length >= count:
            if self._held is None:
                self._held = self._passed(slice(count))
            yield slice(count), self._held
            return
        for low in range(0, count, length):
            rows = slice(low, low + length)
            yield rows, self._passed(rows)

    def _passed(self, rows: slice) -> Passed:
        problem, begin = self.problem.part(rows), self._begin[rows]
        forward = propagate.forward(self.layers, begin, keep=self._keeps(begin))
        slope = problem.loss_gradient(forward.end @ problem.readout.T) / self.problem.size
        back = propagate.adjoint(self.layers, forward, slope @ problem.readout)
        return Passed(problem, forward, back)

    def _keeps(self, begin: Array) -> bool:
        return keeps(self._memory, self.layers, *begin.shape)

    def kernel(self) -> Array:
        """K = JJ*, (N·k, N·k), from the states of all data at once.

        Raises ValueError where the problem's memory does not hold them.
        """
        if self._length(0) < len(self._begin):
            raise ValueError(
                f"memory: a tangent kernel takes the states of all {len(self._begin)} data at "
                f"once, which {self._memory:g} bytes do not hold: give more, or take fewer data"
            )
        ((_, whole),) = self._blocks(0)
        return propagate.tangent_kernel(self.layers, whole.forward, self.problem.readout)

    def inner(self, left: Array, right: Array) -> Array:
        """COT inner products of displacements (C, K, M, p) and (K, M, p), (C,)."""
        mass = self._omega[:, :, 0] * self.layers.weights
        found: Array = np.einsum("ckmp,kmp,km->c", left, right, mass)
        return found

    def moved(self, layers: Layers) -> Linearised:
        """The same at other parameters or weights."""
        return Linearised(self.problem, layers, self._begin, self.penalty)

    def push(self, directions: Directions) -> Array:
        """The change of the outputs along C directions, (C, N, k)."""
        found = []
        for rows, part in self._blocks(len(directions.theta)):
            _, end = forward_tangents(self.layers, part.forward, _on(directions, rows))
            found.append(end @ self.problem.readout.T)
        return np.concatenate(found, axis=1)

    def along(self, directions: Directions) -> Response:
        """Everything that moves along C directions."""

        def slope(part: Passed, rows: slice, moved: Array) -> Array:
            hessian = part.problem.loss_hessian(part.outputs)
            each = np.stack([losses.apply(hessian, one) for one in moved])
            return each / self.problem.size

        found = self._summed(directions, slope)
        if self.penalty:
            found.gradient[...] += self.penalty.bend(self.layers.theta, directions.theta)
        return found

    def bent(self, v: Array, directions: Directions, slope: Array) -> Response:
        """How the gradient of ⟨v, outputs⟩ moves along C directions while v (N, k) moves by slope.

        ``slope`` (C, N, k). Penalties have no part in it.
        """
        return self._summed(directions, lambda part, rows, moved: slope[:, rows], v)

    def _summed(self, directions: Directions, slope: Slope, v: Array | None = None) -> Response:
        """Changes of G or of the gradient of ⟨v, outputs⟩, where cotangents of outputs move."""
        found = []
        for rows, part in self._blocks(len(directions.theta)):
            some, back = _on(directions, rows), part.back
            if v is not None:
                terminal = v[rows] @ self.problem.readout
                back = propagate.adjoint(self.layers, part.forward, terminal)
            stages, end = forward_tangents(self.layers, part.forward, some)
            moved = end @ self.problem.readout.T
            change = slope(part, rows, moved) @ self.problem.readout
            one = adjoint_tangents(self.layers, part.forward, back.cotangents, stages, some, change)
            found.append(Response(one.gradient, one.potential, moved, one.start))
        gradient, potential = found[0].gradient, found[0].potential
        for other in found[1:]:
            gradient, potential = gradient + other.gradient, potential + other.potential
        outputs = np.concatenate([one.outputs for one in found], axis=1)
        start = np.concatenate([one.start for one in found], axis=1)
        return Response(gradient / self._omega, potential / self._omega[:, :, 0], outputs, start)

    def pull(self, v: Array, start: Array | None = None) -> tuple[Array, Array, Array]:
        """Derivatives of ⟨v_c, outputs⟩ for v (C, N, k), at the data or from X(0) = start.

        The COT gradient in θ (C, K, M, p), the first variation at the particles (C, K, M), and
        the gradient in X(0) (C, N, d).
        """
        shape = (len(v), *self.layers.theta.shape)
        gradient, potential, starts = np.zeros(shape), np.zeros(shape[:-1]), []
        for rows, passed in self._forwards(start):
            begins = []
            for c, one in enumerate(v[:, rows]):
                back = propagate.adjoint(self.layers, passed, one @ self.problem.readout)
                gradient[c] += back.gradient / self._omega
                potential[c] += _potential(self.layers, passed.stages, back.cotangents)
                begins.append(back.path[0])
            starts.append(np.stack(begins))
        return gradient, potential, np.concatenate(starts, axis=1)

    def _forwards(self, start: Array | None) -> Iterator[tuple[slice, Forward]]:
        if start is None:
            yield from ((rows, part.forward) for rows, part in self._blocks(0))
            return
        length = self._length(0)
        for low in range(0, len(start), length):
            rows = slice(low, low + length)
            yield rows, propagate.forward(self.layers, start[rows])


def _on(directions: Directions, rows: slice) -> Directions:
    """The same directions for some of the data."""
    if directions.start is None:
        return directions
    return directions._replace(start=directions.start[:, rows])


def _potential(layers: Layers, stages: Array, cotangents: Array) -> Array:
    """(1/ω_k) Σ_e ⟨Q_e, f(Z_e, θ_kj)⟩, (K, M)."""
    out: Any = np.zeros(layers.theta.shape[:2])
    for (step, i), k in np.ndenumerate(layers.depth.stage_nodes):
        q = cotangents[step, i]
        out[k] += layers.block.potential(stages[step, i], layers.theta[k], q)
    return out / layers.depth.weights[:, None]
