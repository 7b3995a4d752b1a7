"""Losses ℓ(z, y) of one datum: value, gradient and Hessian in the output z."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Loss(Protocol):
    """Rows are data: outputs z (N, k) and targets y (N, k). ∂²ℓ/∂z∂y is minus the identity."""

    name: str

    def value(self, z: Array, y: Array) -> Array:
        """ℓ(z_i, y_i), shape (N,)."""

    def gradient(self, z: Array, y: Array) -> Array:
        """∂ℓ/∂z, shape (N, k)."""

    def hessian(self, z: Array, y: Array) -> Array | None:
        """∂²ℓ/∂z², shape (N, k, k); None stands for the identity."""

    def target_gradient(self, z: Array, y: Array) -> Array:
        """∂ℓ/∂y, shape (N, k), the targets free of constraints."""


def apply(matrices: Array | None, v: Array) -> Array:
    """A_i v_i for matrices (N, k, k), one per datum, and v (N, k); None is the identity."""
    return v if matrices is None else np.einsum("nab,nb->na", matrices, v)


class Squared:
    """ℓ(z, y) = ½|z − y|²."""

    name = "squared"

    def value(self, z: Array, y: Array) -> Array:
        return 0.5 * np.square(z - y).sum(axis=1)

    def gradient(self, z: Array, y: Array) -> Array:
        return z - y

    def hessian(self, z: Array, y: Array) -> None:
        return None

    def target_gradient(self, z: Array, y: Array) -> Array:
        return y - z


class CrossEntropy:
    """ℓ(z, y) = log Σ_c e^{z_c} − ⟨y, z⟩ for y on the simplex (one-hot for class labels)."""

    name = "cross_entropy"

    def value(self, z: Array, y: Array) -> Array:
        top = z.max(axis=1)
        return top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - (y * z).sum(axis=1)

    def gradient(self, z: Array, y: Array) -> Array:
        return self._softmax(z) - y

    def hessian(self, z: Array, y: Array) -> Array:
        p = self._softmax(z)
        diagonal: Array = p[:, :, None] * np.eye(p.shape[1])
        return diagonal - p[:, :, None] * p[:, None, :]

    def target_gradient(self, z: Array, y: Array) -> Array:
        return -z

    @staticmethod
    def _softmax(z: Array) -> Array:
        e: Array = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (Squared(), CrossEntropy())}
