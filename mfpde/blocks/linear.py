"""The linear block f(x, (u, v)) = v ⟨u, x⟩, for which exact solutions are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks.base import LARGEST_DIM, Block, TorchField

Array = NDArray[Any]


class Linear(Block):
    """Linear block f(x, θ) = v ⟨u, x⟩, θ = (u, v) ∈ R^{2d}.

    Its gradient flow closes on the second moments Σ_t of (u, v) (Zhang, Peyré 2026), which makes
    it the package's exact test: see ``mfpde.theory.linear_exact``.

    Raises ValueError for a dimension below one.
    """

    @checks.typed
    def __init__(self, dim: int) -> None:
        self.dim = checks.count("Linear dim", dim, most=LARGEST_DIM)
        self.coordinates = tuple(f"{letter}{i}" for letter in "uv" for i in range(dim))

    def __repr__(self) -> str:
        return f"Linear(dim={self.dim})"

    def spec(self) -> dict[str, Any]:
        return {"kind": "linear", "dim": self.dim}

    def torch_form(self) -> Callable[[Any], TorchField]:
        d = self.dim
        return lambda torch: (
            lambda x, theta: x @ theta[..., :d].mT @ theta[..., d:] / theta.shape[1]
        )

    def value(self, x: Array, theta: Array) -> Array:
        u, v = self._split(theta)
        return (x @ u.T)[:, :, None] * v[None]

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        u, v = self._split(theta)
        return (q @ v.T)[:, :, None] * u[None]

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        u, v = self._split(theta)
        by_u = (q @ v.T)[:, :, None] * x[:, None, :]
        by_v = (x @ u.T)[:, :, None] * q[:, None, :]
        return np.concatenate([by_u, by_v], axis=-1)

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        return x @ self._matrix(theta, a)

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        return q @ self._matrix(theta, a).T, self.gradient(x, theta, q)

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        u, v = self._split(theta)
        return ((u @ (x.T @ q)) * v).sum(axis=1)

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        u, v = self._split(theta)
        c = x.T @ q
        return np.concatenate([v @ c.T, u @ c], axis=1)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        u, v = self._split(theta)
        du, dv = self._split(dtheta)
        change = (a[:, None] * du).T @ v + (a[:, None] * u).T @ dv
        return dx @ self._matrix(theta, a) + x @ change

    def tangents(
        self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array, da: Array | None
    ) -> Array:
        found: Array = dx @ self._matrix(theta, a) + x @ self._changes(theta, a, dtheta, da)
        return found

    def backward_tangents(
        self,
        x: Array,
        theta: Array,
        a: Array,
        q: Array,
        dx: Array,
        dtheta: Array,
        dq: Array,
        da: Array | None,
    ) -> tuple[Array, Array, Array]:
        u, v = self._split(theta)
        du, dv = self._split(dtheta)
        change = self._changes(theta, a, dtheta, da)
        pull = dq @ self._matrix(theta, a).T + q @ change.transpose(0, 2, 1)
        c = x.T @ q
        dc = dx.transpose(0, 2, 1) @ q + x.T @ dq
        by_u = dv @ c.T + v @ dc.transpose(0, 2, 1)
        potential: Array = ((u @ dc) * v).sum(axis=-1)
        return pull, np.concatenate([by_u, du @ c + u @ dc], axis=-1), potential

    def _changes(self, theta: Array, a: Array, dtheta: Array, da: Array | None) -> Array:
        """The change of ``_matrix`` along each direction, (C, d, d)."""
        u, v = self._split(theta)
        du, dv = self._split(dtheta)
        mass = a[:, None]
        out: Array = (mass * du).transpose(0, 2, 1) @ v + (mass * u).T @ dv
        return out if da is None else out + (da[:, :, None] * u).transpose(0, 2, 1) @ v

    def _split(self, theta: Array) -> tuple[Array, Array]:
        return theta[..., : self.dim], theta[..., self.dim :]

    def _matrix(self, theta: Array, a: Array) -> Array:
        """Σ_j a_j u_j v_jᵀ, the transpose of the layer's matrix."""
        u, v = self._split(theta)
        return (a[:, None] * u).T @ v
