"""Laws of paths in depth: how the parameters of one particle at two depths hang together.

A particle's coordinates are θ_i(t) = Q_t,i(Φ(ξ_i(t))), Q_t,i the quantiles of the law at depth t
and ξ_i independent Gaussian processes of variance 1 and correlation c(t, t′): at every depth the
law is the one given, whatever c. c = 1 is the tied start, white noise that of independent layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mfpde import checks

Array = NDArray[np.float64]


@runtime_checkable
class Path(Protocol):
    """The correlation in depth of the Gaussian processes behind the parameters."""

    @property
    def scale(self) -> float:
        """The shortest depth over which c falls; inf where it does not."""

    def correlation(self, gap: Array) -> Array:
        """c at the distances |t − t′| >= 0: 1 at 0, positive definite."""


@dataclass(frozen=True)
class Exponential:
    """c = exp(−|t − t′|/length): continuous paths, nowhere smooth (Ornstein–Uhlenbeck)."""

    length: float

    def __post_init__(self) -> None:
        checks.positive("Exponential length", self.length)

    @property
    def scale(self) -> float:
        return self.length

    def correlation(self, gap: Array) -> Array:
        return np.exp(-gap / self.length)


@dataclass(frozen=True)
class Smooth:
    """c = exp(−½ (t − t′)²/length²): infinitely smooth paths."""

    length: float

    def __post_init__(self) -> None:
        checks.positive("Smooth length", self.length)

    @property
    def scale(self) -> float:
        return self.length

    def correlation(self, gap: Array) -> Array:
        return np.exp(-0.5 * np.square(gap / self.length))


@dataclass(frozen=True)
class Shared:
    """c = share for t ≠ t′: a part of every parameter is tied, the rest fresh in every layer.

    ``share`` = 1 is the tied start, 0 independent layers. Between them the paths are not
    continuous in depth.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= checks.positive("Shared share", self.share, zero=True) <= 1.0:
            raise ValueError(f"Shared share must lie in [0, 1]; given {self.share!r}")

    @property
    def scale(self) -> float:
        return np.inf if self.share == 1.0 else 0.0

    def correlation(self, gap: Array) -> Array:
        return np.where(gap == 0.0, 1.0, self.share)


def mixing(path: Path, nodes: Array) -> Array:
    """B (K, r) with B Bᵀ = c(t_k, t_l): ξ = B·(r standard normal numbers)."""
    c = path.correlation(np.abs(nodes[:, None] - nodes[None]))
    values, vectors = np.linalg.eigh(c)
    keep = values > 1e-12 * values[-1]
    found: Array = vectors[:, keep] * np.sqrt(values[keep])
    return found[:, ::-1]
