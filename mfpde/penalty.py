"""Confinement of the parameters: r(θ) = (λ/2)|θ|² + (κ/4)|θ|⁴."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Penalty:
    """r(θ) = (λ/2)|θ|² + (κ/4)|θ|⁴ with λ = ``quadratic`` and κ = ``quartic``, both >= 0.

    Value and gradient use operators only, so that θ may be a torch tensor.
    """

    quadratic: float = 0.0
    quartic: float = 0.0

    def vanishing(self, c: float, s: float) -> Penalty:
        """With c e^{−s} |θ|² added, the decay that vanishes in training time s."""
        return replace(self, quadratic=self.quadratic + 2.0 * c * float(np.exp(-s))) if c else self

    def __bool__(self) -> bool:
        return self.quadratic != 0.0 or self.quartic != 0.0

    def value(self, theta: Array) -> Array:
        """r at θ (..., p), shape (...)."""
        square = (theta * theta).sum(-1)
        out: Array = 0.5 * self.quadratic * square
        return out + 0.25 * self.quartic * square**2 if self.quartic else out

    def gradient(self, theta: Array) -> Array:
        """∇r = (λ + κ|θ|²) θ at θ (..., p), in the precision of θ."""
        if not self.quartic:
            return self.quadratic * theta
        square = (theta * theta).sum(-1)[..., None]
        out: Array = (self.quadratic + self.quartic * square) * theta
        return out

    def bend(self, theta: Array, change: Array) -> Array:
        """D²r(θ)·change, for θ and changes (..., p)."""
        if not self.quartic:
            return self.quadratic * change
        square = (theta * theta).sum(-1)[..., None]
        along = (theta * change).sum(-1)[..., None]
        out: Array = (self.quadratic + self.quartic * square) * change
        return out + 2.0 * self.quartic * along * theta

    def curvature(self, theta: Array) -> float:
        """The largest eigenvalue of D²r over the points θ (..., p): λ + 3κ max|θ|²."""
        if not self.quartic:
            return self.quadratic
        return self.quadratic + 3.0 * self.quartic * float(np.square(theta).sum(axis=-1).max())
