"""One explicit step of a run, its tangent and its adjoint.

A step θ⁺ = θ − h Σ_i b_i G(θ_i) with the stages θ_i = θ − h Σ_j A_ij G(θ_j) has the tangent and, in
displacements w (see ``linearised``), adjoint

    dθ⁺ = dθ − h Σ b_i dG_i,        κ_i = −h (b_i w⁺ + Σ_{j>i} A_ji (∂G/∂θ)_j κ_j),
                                     w = w⁺ + Σ_i (∂G/∂θ)_i κ_i.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde.depth import EULER, HEUN, RK4
from mfpde.flows.schemes import tsitouras
from mfpde.flows.schemes.explicit import descend
from mfpde.passes.second_order import Directions
from mfpde.response.linearised import Linearised

Array = NDArray[np.float64]
# The linearised flow at a state θ (K, M, p).
At = Callable[[Array], Linearised]


class Pulled(NamedTuple):
    """Derivatives of C observables through training.

    ``initial`` (C, K, M, p): COT gradient in the positions at the start; ``influence`` (C, K, M):
    dF/da_kj over ω_k; ``start`` (C, N, d) in X(0); ``targets`` (C, N, k); ``decay`` (C,) in λ;
    ``weights`` (C, N) in the weights of the data, taken as free of each other.
    """

    initial: Array
    influence: Array
    start: Array
    targets: Array
    decay: Array
    weights: Array


class Step(Protocol):
    """A step of length h as a map of states; nothing is kept of it."""

    @property
    def gradients(self) -> int:
        """Gradients that it takes."""

    def advance(self, at: At, theta: Array, h: float) -> Array:
        """θ⁺."""

    def push(
        self, at: At, theta: Array, h: float, change: Array, mass: Array | None
    ) -> tuple[Array, Array]:
        """θ⁺, and dθ⁺ (C, K, M, p) along changes of θ and of the weights (C, K, M)."""

    def pull(self, at: At, theta: Array, h: float, found: Pulled) -> Pulled:
        """Derivatives in what the step starts from."""


class Explicit:
    """A Runge–Kutta step of rows A_i and weights b."""

    def __init__(self, rows: list[Array], b: Array) -> None:
        self._rows, self._b = rows, b

    @property
    def gradients(self) -> int:
        """Gradients that a step takes."""
        return len(self._rows)

    def _stages(self, at: At, theta: Array, h: float) -> tuple[list[Linearised], Array]:
        """The points of all stages, and the state after the step."""
        slopes: list[Array] = []
        points: list[Linearised] = []
        for row in self._rows:
            points.append(at(descend(theta, h, row, slopes)))
            slopes.append(points[-1].gradient)
        return points, descend(theta, h, self._b, slopes)

    def advance(self, at: At, theta: Array, h: float) -> Array:
        return self._stages(at, theta, h)[1]

    def push(
        self, at: At, theta: Array, h: float, change: Array, mass: Array | None
    ) -> tuple[Array, Array]:
        points, end = self._stages(at, theta, h)
        slopes: list[Array] = []
        for row, point in zip(self._rows, points, strict=True):
            moved = descend(change, h, row, slopes)
            slopes.append(point.along(Directions(moved, mass)).gradient)
        return end, descend(change, h, self._b, slopes)

    def pull(self, at: At, theta: Array, h: float, found: Pulled) -> Pulled:
        points = self._stages(at, theta, h)[0]
        initial, influence, start, targets, decay, weights = found
        later: list[tuple[int, Array]] = []
        total = initial
        for i in range(len(points) - 1, -1, -1):
            point, kappa = points[i], float(-h * self._b[i]) * initial
            for j, image in later:
                if (a := float(self._rows[j][i])) != 0.0:
                    kappa = kappa - h * a * image
            moved = point.along(Directions(kappa))
            later.append((i, moved.gradient))
            total = total + moved.gradient
            influence = influence + moved.potential
            start = start + moved.start
            problem, z = point.problem, point.outputs
            targets = targets + problem.target_push(z, moved.outputs) / problem.size
            slope = problem.loss.gradient(z, problem.y)
            weights = weights + (moved.outputs * slope).sum(axis=2) / problem.size
            decay = decay + point.inner(kappa, point.layers.theta)
        return Pulled(total, influence, start, targets, decay, weights)


# rk45's seventh stage only estimates the error.
EXPLICIT: dict[str, Explicit] = {
    "gd": Explicit(list(EULER.a), EULER.b),
    "heun": Explicit(list(HEUN.a), HEUN.b),
    "rk4": Explicit(list(RK4.a), RK4.b),
    "rk45": Explicit(list(tsitouras.A), tsitouras.B),
}
