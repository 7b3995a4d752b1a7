"""Preconditioners of conjugate gradients on I + γG: approximations of G, good for every γ."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Preconditioner(Protocol):
    """An approximation of G."""

    def solve(self, gamma: float, v: Array) -> Array:
        """(I + γG)⁻¹ v, (N, k), with the approximation of G."""


class Averaged(NamedTuple):
    """G ≈ Ḡ ⊗ I with Ḡ = (1/k) Σ_c G_cc = U diag(λ) Uᵀ, (N, N): outputs share the data."""

    vectors: Array
    values: Array

    @classmethod
    def of(cls, mean: Array) -> Averaged:
        """From Ḡ."""
        values, vectors = np.linalg.eigh(mean.astype(np.float64))
        return cls(vectors, np.maximum(values, 0.0))

    def solve(self, gamma: float, v: Array) -> Array:
        """(I + γ Ḡ ⊗ I)⁻¹ v."""
        scaled = (self.vectors.T @ v) / (1.0 + gamma * self.values)[:, None]
        found: Array = self.vectors @ scaled
        return found


class Nystrom(NamedTuple):
    """G ≈ U diag(λ) Uᵀ with orthonormal columns U (N·k, r)."""

    vectors: Array
    values: Array

    @classmethod
    def of(cls, directions: list[Array], products: list[Array]) -> Nystrom | None:
        """From directions P and the products GP; None where there is nothing to learn."""
        if not directions:
            return None
        p, y = (np.stack([v.ravel() for v in part], axis=1) for part in (directions, products))
        p, y = p / np.linalg.norm(p, axis=0), y / np.linalg.norm(p, axis=0)
        core = p.T @ y
        values, q = np.linalg.eigh(0.5 * (core + core.T))
        kept = values > 1e-12 * values[-1]
        if not kept.any():
            return None
        u, s, _ = np.linalg.svd(y @ (q[:, kept] / np.sqrt(values[kept])), full_matrices=False)
        return cls(u, s**2)

    def solve(self, gamma: float, v: Array) -> Array:
        """(I + γ U diag(λ) Uᵀ)⁻¹ v."""
        scale = gamma * self.values / (1.0 + gamma * self.values)
        flat: Array = v.ravel() - self.vectors @ (scale * (self.vectors.T @ v.ravel()))
        return flat.reshape(v.shape)
