"""Preconditioners of conjugate gradients on I + γG: approximations of G, good for every γ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Inverse = Callable[[Array], Array]

# Directions whose share of the largest is below this are rounding.
SINGULAR = 1e-12


class Preconditioner(Protocol):
    """An approximation of G."""

    def inverse(self, gamma: float) -> Inverse:
        """v ↦ (I + γG)⁻¹ v, (N, k), with the approximation of G."""


class Identity(NamedTuple):
    """G ≈ 0."""

    def inverse(self, gamma: float) -> Inverse:
        return lambda v: v


class Kronecker(NamedTuple):
    """G ≈ A ⊗ B, A = U diag(λ) Uᵀ (N, N) and B = Q diag(μ) Qᵀ (k, k): outputs share the data."""

    data: Array
    values: Array
    outputs: Array
    shares: Array

    @classmethod
    def of(cls, data: Array, outputs: Array) -> Kronecker:
        """From A and B, positive semi-definite but for rounding."""
        from scipy import linalg

        pairs = (linalg.eigh(m, driver="evd", check_finite=False) for m in (data, outputs))
        parts = [part.astype(np.float64) for pair in pairs for part in pair]
        values, left, shares, right = parts
        return cls(left, np.maximum(values, 0.0), right, np.maximum(shares, 0.0))

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.values[-1] * self.shares[-1])

    def inverse(self, gamma: float) -> Inverse:
        scale = 1.0 / (1.0 + gamma * np.multiply.outer(self.values, self.shares))
        left, right = self.data, self.outputs
        return lambda v: left @ (scale * (left.T @ v @ right)) @ right.T


class Recycled(NamedTuple):
    """Another preconditioner M⁻¹, exact besides on the directions P of an earlier solve.

    With GP known and A = I + γG, S = (PᵀAP)⁻¹: (I − P S PᵀA) M⁻¹ (I − A P S Pᵀ) + P S Pᵀ.
    Source: Gratton, Sartenaer, Tshimanga 2011 (limited memory preconditioners).
    """

    base: Preconditioner
    directions: Array  # (r, N·k)
    images: Array

    @classmethod
    def of(
        cls, base: Preconditioner, directions: list[Array], images: list[Array]
    ) -> Preconditioner:
        """From P and GP; the base itself where there is nothing to learn."""
        if not directions:
            return base
        p, g = (np.stack([v.ravel() for v in part]) for part in (directions, images))
        sizes = np.linalg.norm(p, axis=1, keepdims=True)
        return cls(base, p / sizes, g / sizes)

    def inverse(self, gamma: float) -> Inverse:
        stretched = self.directions + gamma * self.images
        core = self.directions @ stretched.T
        scale = 1.0 / np.sqrt(np.diag(core))
        core *= np.multiply.outer(scale, scale)
        values, q = np.linalg.eigh(0.5 * (core + core.T))
        kept = values > SINGULAR * values[-1]
        turn = (q[:, kept] / np.sqrt(values[kept])).T * scale
        p, ap, inner = turn @ self.directions, turn @ stretched, self.base.inverse(gamma)

        def apply(v: Array) -> Array:
            flat = v.ravel()
            along = p @ flat
            z = inner((flat - ap.T @ along).reshape(v.shape)).ravel()
            found: Array = z + p.T @ (along - ap @ z)
            return found.reshape(v.shape)

        return apply
