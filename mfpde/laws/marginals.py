"""Laws of one coordinate: uniform, Gaussian, a fixed value; their quantiles and Gauss rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Half-width of analyticity, in standard deviations, that the trapezoidal rule is balanced for.
_STRIP = 0.8


class Marginal(Protocol):
    """One coordinate's law: not ``random`` if fixed, not ``smooth`` if its density jumps."""

    random: bool
    smooth: bool

    @property
    def mean(self) -> float: ...

    @property
    def std(self) -> float: ...

    def ppf(self, v: Array) -> Array:
        """Quantiles at v ∈ (0, 1)."""

    def cdf(self, x: Array) -> Array:
        """Distribution function."""

    def density(self, x: Array) -> Array:
        """Its derivative; raises TypeError for a fixed value."""

    def gauss(self, n: int) -> tuple[Array, Array]:
        """Nodes and weights (sum 1) of the n-point Gauss rule of this law."""

    def spectral(self, n: int) -> tuple[Array, Array]:
        """Nodes and weights (sum 1) of the n-point rule that is best for analytic integrands."""


@dataclass(frozen=True)
class UniformMarginal:
    low: float
    high: float
    random, smooth = True, False

    @property
    def mean(self) -> float:
        return 0.5 * (self.low + self.high)

    @property
    def std(self) -> float:
        return (self.high - self.low) / float(np.sqrt(12.0))

    def ppf(self, v: Array) -> Array:
        return self.low + (self.high - self.low) * v

    def cdf(self, x: Array) -> Array:
        return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def density(self, x: Array) -> Array:
        return ((x >= self.low) & (x <= self.high)) / (self.high - self.low)

    def gauss(self, n: int) -> tuple[Array, Array]:
        from scipy import special

        nodes, weights = special.roots_legendre(n)
        return self.mean + 0.5 * (self.high - self.low) * nodes, weights / weights.sum()

    def spectral(self, n: int) -> tuple[Array, Array]:
        return self.gauss(n)


@dataclass(frozen=True)
class NormalMarginal:
    mean: float
    std: float
    random, smooth = True, True

    def ppf(self, v: Array) -> Array:
        from scipy import special

        return self.mean + self.std * special.ndtri(v)

    def cdf(self, x: Array) -> Array:
        from scipy import special

        return special.ndtr((x - self.mean) / self.std)

    def density(self, x: Array) -> Array:
        z = (x - self.mean) / self.std
        return np.exp(-0.5 * z * z) / (self.std * np.sqrt(2 * np.pi))

    def gauss(self, n: int) -> tuple[Array, Array]:
        from scipy import special

        nodes, weights = special.roots_hermitenorm(n)
        return self.mean + self.std * nodes, weights / weights.sum()

    def spectral(self, n: int) -> tuple[Array, Array]:
        """Trapezoidal rule on [−R, R] standard deviations.

        For an integrand analytic in a strip of half-width a the trapezoidal rule with spacing h
        errs by e^{−2πa/h} and the truncation by e^{−R²/2}; R³ = 2πa(n − 1) balances them at
        e^{−c n^{2/3}}, where Gauss–Hermite reaches e^{−c √n} only. tanh(w x) has a = π/(2|x|).
        """
        reach = np.cbrt(2 * np.pi * _STRIP * (n - 1)) if n > 1 else 0.0
        nodes = np.linspace(-reach, reach, n)
        weights = np.exp(-0.5 * nodes**2)
        return self.mean + self.std * nodes, weights / weights.sum()


@dataclass(frozen=True)
class PointMarginal:
    mean: float
    random, smooth = False, False
    std = 0.0

    def ppf(self, v: Array) -> Array:
        return np.full_like(v, self.mean)

    def cdf(self, x: Array) -> Array:
        return (np.asarray(x) >= self.mean).astype(np.float64)

    def density(self, x: Array) -> Array:
        raise TypeError(f"a fixed value, {self.mean:g}, has no density")

    def gauss(self, n: int) -> tuple[Array, Array]:
        return np.array([self.mean]), np.ones(1)

    def spectral(self, n: int) -> tuple[Array, Array]:
        return self.gauss(n)
