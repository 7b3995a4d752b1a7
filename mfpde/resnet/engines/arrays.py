"""What the NumPy engines share: the problem in one precision."""

from __future__ import annotations

import numpy as np

from mfpde.problem import Problem
from mfpde.resnet.engines.base import Array, Rows, weighted_targets


class Arrays:
    """A problem's data, readout and loss as NumPy arrays; θ is (S, L, M, p)."""

    backend, coordinates = "particles", -1

    def __init__(self, problem: Problem, dtype: str = "float64") -> None:
        self.problem, self.dtype = problem, np.dtype(dtype)
        self.start = problem.start().astype(self.dtype)
        self.targets = weighted_targets(problem)
        self.readout = problem.readout.astype(self.dtype)

    def load(self, theta: Array) -> Array:
        return np.ascontiguousarray(theta, self.dtype)

    def unload(self, theta: Array) -> Array:
        return theta

    def rates(self, values: Array) -> Array:
        return values.astype(self.dtype)

    def numpy(self, value: Array) -> Array:
        return value

    def data(self, networks: int, rows: Rows | None) -> tuple[Array, Array]:
        """Hidden states at depth 0 (S, n, d) and targets with weights (S, n, k + 1) of the rows."""
        if rows is not None:
            return self.start[rows], self.targets[rows]
        start, y = self.start, self.targets
        return (
            np.broadcast_to(start, (networks, *start.shape)),
            np.broadcast_to(y, (networks, *y.shape)),
        )

    def loss(self, z: Array, y: Array) -> Array:
        """(1/n) Σ_i w_i ℓ(z_i, y_i) of each network, (S,)."""
        value = self.problem.loss.value
        pairs = zip(z, y, strict=True)
        return np.array([(t[:, -1] * value(one, t[:, :-1])).mean() for one, t in pairs])

    def cotangent(self, z: Array, y: Array) -> Array:
        """(1/n) w_i Bᵀ ∂ℓ(z_i, y_i), (S, n, d)."""
        gradient = self.problem.loss.gradient
        pairs = zip(z, y, strict=True)
        slopes = [t[:, -1:] * gradient(one, t[:, :-1]) for one, t in pairs]
        out: Array = (np.stack(slopes) / z.shape[1]).astype(self.dtype) @ self.readout
        return out
