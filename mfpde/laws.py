"""Laws of block parameters on R^p, as products of one-dimensional marginals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks

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
class _Uniform:
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
class _Normal:
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
class _Point:
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


class Law:
    """A probability on R^p whose coordinates are independent; ``marginals`` holds the p laws."""

    def __init__(self, marginals: Sequence[Marginal], text: str) -> None:
        self.marginals = tuple(marginals)
        self._text = text

    @property
    def dim(self) -> int:
        """p, the number of coordinates."""
        return len(self.marginals)

    @property
    def mean(self) -> Array:
        return np.array([m.mean for m in self.marginals])

    @property
    def std(self) -> Array:
        return np.array([m.std for m in self.marginals])

    def __repr__(self) -> str:
        return self._text

    def quantiles(self, v: Array) -> Array:
        """Image of v ∈ (0,1)^p, shape (n, p), under the coordinates' quantile functions."""
        columns = [m.ppf(v[:, i]) for i, m in enumerate(self.marginals)]
        return np.stack(columns, axis=1)


# A law that depends on depth: t ↦ Law.
DepthLaw = Callable[[float], Law]


@checks.typed
def Uniform(low: ArrayLike, high: ArrayLike, *, dim: int | None = None) -> Law:
    """Uniform law on the box Π_i [low_i, high_i]; scalars are repeated ``dim`` times.

    Raises ValueError where low >= high.
    """
    lows, highs = _coordinates(("low", low), ("high", high), dim=dim)
    if np.any(lows >= highs):
        raise ValueError(f"Uniform low must be below high; given low={low!r}, high={high!r}")
    marginals = [_Uniform(float(a), float(b)) for a, b in zip(lows, highs, strict=True)]
    return Law(marginals, f"Uniform({_show(lows)}, {_show(highs)})")


@checks.typed
def Gaussian(std: ArrayLike, mean: ArrayLike = 0.0, *, dim: int | None = None) -> Law:
    """Gaussian law with independent coordinates N(mean_i, std_i²); std_i = 0 fixes coordinate i.

    Raises ValueError for a negative std.
    """
    stds, means = _coordinates(("std", std), ("mean", mean), dim=dim)
    if np.any(stds < 0):
        raise ValueError(f"Gaussian std must be >= 0; given {std!r}")
    marginals: list[Marginal] = [
        _Normal(float(m), float(s)) if s > 0 else _Point(float(m))
        for m, s in zip(means, stds, strict=True)
    ]
    return Law(marginals, f"Gaussian(std={_show(stds)}, mean={_show(means)})")


@checks.typed
def Dirac(value: ArrayLike, *, dim: int | None = None) -> Law:
    """Unit mass at one point: u = 0 exactly is ``Dirac(0.0, dim=d)``."""
    (values,) = _coordinates(("value", value), dim=dim)
    return Law([_Point(float(v)) for v in values], f"Dirac({_show(values)})")


@checks.typed
def Product(*laws: Law) -> Law:
    """The product law of consecutive groups of coordinates.

    ``Product(Dirac(0.0, dim=d), Gaussian(1.0, dim=d + 1))`` is the initialisation of Barboni et
    al. 2024 (§4): u = 0, (w, b) Gaussian.

    Raises TypeError for an argument that is not a law.
    """
    for law in laws:
        if not isinstance(law, Law):
            raise TypeError(f"Product takes laws; given {type(law).__name__}")
    return Law([m for law in laws for m in law.marginals], f"Product({', '.join(map(repr, laws))})")


@checks.typed
def at_depth(law: Law | DepthLaw, t: float) -> Law:
    """The law at depth t of a law that may be a callable of t."""
    if isinstance(law, Law):
        return law
    if not callable(law):
        raise TypeError(f"law must be a Law or a callable t -> Law; given {type(law).__name__}")
    found = law(t)
    if not isinstance(found, Law):
        raise TypeError(f"law({t:g}) must return a Law; it returned {type(found).__name__}")
    return found


def _coordinates(*named: tuple[str, Any], dim: int | None) -> list[Array]:
    arrays = [np.atleast_1d(checks.array(f"law {name}", value)) for name, value in named]
    for (name, _), a in zip(named, arrays, strict=True):
        checks.nonempty(f"law {name}", a)
    length = max(a.size for a in arrays) if dim is None else checks.count("law dim", dim)
    checks.memory(f"law dim = {length}", 200.0 * length, "use fewer coordinates")
    for (name, value), a in zip(named, arrays, strict=True):
        if a.ndim != 1 or a.size not in (1, length):
            raise ValueError(
                f"law {name} must be a number or have {length} entries; given {value!r}"
            )
    return [np.broadcast_to(a, (length,)).copy() for a in arrays]


def _show(values: Array) -> str:
    if np.all(values == values[0]) and values.size > 1:
        return f"[{values[0]:g}] * {values.size}"
    return "[" + ", ".join(f"{v:g}" for v in values) + "]"
