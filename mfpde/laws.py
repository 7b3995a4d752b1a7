"""Laws of block parameters on R^p, as products of one-dimensional marginals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, Protocol

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


class Piece(NamedTuple):
    """A part of a law, for tensor rules: the image of independent coordinates z under a map.

    ``place`` takes z (m, r), of the laws ``marginals`` (r of them), to points (a, m, p), whose
    a sheets have the masses ``shares`` (a,); shares of all pieces of a law sum to 1.
    """

    shares: Array
    marginals: tuple[Marginal, ...]
    place: Callable[[Array], Array]


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

    @property
    def random(self) -> NDArray[np.bool_]:
        """Which coordinates of v ``quantiles`` looks at, (p,): those that the law does not fix."""
        return np.array([marginal.random for marginal in self.marginals])

    @property
    def covariance(self) -> Array:
        """∫ (θ − θ̄)(θ − θ̄)ᵀ, (p, p)."""
        return np.diag(np.square(self.std))

    def quantiles(self, v: Array) -> Array:
        """Image of v ∈ (0,1)^p, shape (n, p), under the coordinates' quantile functions."""
        columns = [m.ppf(v[:, i]) for i, m in enumerate(self.marginals)]
        return np.stack(columns, axis=1)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The law as a sum of images of independent coordinates; here it is itself the one."""
        return (Piece(np.ones(1), self.marginals, lambda z: z[None]),)


class Coupled(Law):
    """A law whose coordinates hang together: the image of (0, 1)^p under a map of all of v.

    It serves every rule of points, "iid" and "sobol". Tensor rules by one count, and grids, build
    on independent coordinates and refuse it, since ``marginals`` does.
    """

    def __init__(
        self, mean: Array, covariance: Array, random: NDArray[np.bool_], text: str
    ) -> None:
        self._mean, self._covariance, self._random, self._text = mean, covariance, random, text

    @property
    def marginals(self) -> tuple[Marginal, ...]:  # type: ignore[override]
        raise TypeError(
            f"law {self._text} has no independent coordinates: use rule='iid' or 'sobol' (and "
            "GridMeasure.from_particles for a grid)"
        )

    @property
    def dim(self) -> int:
        return len(self._mean)

    @property
    def mean(self) -> Array:
        return self._mean

    @property
    def std(self) -> Array:
        return np.sqrt(np.diag(self._covariance))

    @property
    def covariance(self) -> Array:
        return self._covariance

    @property
    def random(self) -> NDArray[np.bool_]:
        return self._random


class _Correlated(Coupled):
    def quantiles(self, v: Array) -> Array:
        from scipy import special

        # The symmetric root, which is continuous in the covariance where its axes are not.
        axes, lengths = self._axes()
        return self._mean + special.ndtri(v) @ ((axes * lengths) @ axes.T)

    def _axes(self) -> tuple[Array, Array]:
        """Principal axes, columns (p, p), and standard deviations along them (p,)."""
        values, vectors = np.linalg.eigh(self._covariance)
        return vectors, np.sqrt(np.maximum(values, 0.0))

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """One, in standard Gaussian coordinates along the axes that have any width."""
        axes, lengths = self._axes()
        keep = lengths > 1e-7 * lengths.max()
        wide = axes[:, keep] * lengths[keep]
        z: tuple[Marginal, ...] = (_Normal(0.0, 1.0),) * wide.shape[1]
        return (Piece(np.ones(1), z, lambda v: (self._mean + v @ wide.T)[None]),)


class _Empirical(Coupled):
    def __init__(self, points: Array, weights: Array, text: str) -> None:
        self._points, self._weights, self._ends = points, weights, np.cumsum(weights)[:-1]
        mean = weights @ points
        off = points - mean
        first = np.arange(points.shape[1]) == 0
        super().__init__(mean, (weights[:, None] * off).T @ off, first, text)

    def quantiles(self, v: Array) -> Array:
        return self._points[np.searchsorted(self._ends, v[:, 0], side="right")]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """One without coordinates: the points themselves."""
        return (Piece(self._weights, (), lambda z: np.repeat(self._points[:, None], len(z), 1)),)


class _Mixture(Coupled):
    """The first number of a point chooses the component, and what is left of it is its own."""

    def __init__(self, laws: Sequence[Law], weights: Array, text: str) -> None:
        self._laws, self._ends = tuple(laws), np.concatenate([[0.0], np.cumsum(weights)])
        means = np.array([law.mean for law in laws])
        mean = weights @ means
        within = np.einsum("l,lpq->pq", weights, np.array([law.covariance for law in laws]))
        between = (weights[:, None] * (means - mean)).T @ (means - mean)
        random = np.any([law.random for law in laws], axis=0)
        random[0] = True
        super().__init__(mean, within + between, random, text)

    def quantiles(self, v: Array) -> Array:
        out = np.empty_like(v)
        chosen = np.searchsorted(self._ends[1:-1], v[:, 0], side="right")
        for k, law in enumerate(self._laws):
            own = v[chosen == k].copy()
            low, high = self._ends[k], self._ends[k + 1]
            own[:, 0] = np.clip((own[:, 0] - low) / (high - low), 2.0**-53, 1.0 - 2.0**-53)
            out[chosen == k] = law.quantiles(own)
        return out

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Those of the components, each with its share."""
        shares = np.diff(self._ends)
        return tuple(
            piece._replace(shares=share * piece.shares)
            for share, law in zip(shares, self._laws, strict=True)
            for piece in law.pieces
        )


class _Groups(Coupled):
    def __init__(self, laws: Sequence[Law], text: str) -> None:
        from scipy.linalg import block_diag

        self._laws = tuple(laws)
        mean, random = (
            np.concatenate([getattr(law, part) for law in laws]) for part in ("mean", "random")
        )
        super().__init__(mean, block_diag(*(law.covariance for law in laws)), random, text)

    def quantiles(self, v: Array) -> Array:
        ends = np.cumsum([law.dim for law in self._laws])[:-1]
        parts = zip(self._laws, np.split(v, ends, axis=1), strict=True)
        return np.concatenate([law.quantiles(own) for law, own in parts], axis=1)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Every choice of one piece for each group."""
        return tuple(map(_beside, product(*(law.pieces for law in self._laws))))


def _beside(parts: Sequence[Piece]) -> Piece:
    """The product of pieces in consecutive groups of coordinates."""
    shares, ends = np.ones(1), np.cumsum([len(part.marginals) for part in parts])[:-1]
    for part in parts:
        shares = np.multiply.outer(shares, part.shares).ravel()

    def place(z: Array) -> Array:
        out = np.empty((1, len(z), 0))
        for part, own in zip(parts, np.split(z, ends, axis=1), strict=True):
            new = part.place(own)
            left = np.repeat(out, len(new), axis=0)
            out = np.concatenate([left, np.tile(new, (len(out), 1, 1))], axis=2)
        return out

    return Piece(shares, tuple(m for part in parts for m in part.marginals), place)


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
    text = f"Product({', '.join(map(repr, laws))})"
    if any(isinstance(law, Coupled) for law in laws):
        return _Groups(laws, text)
    return Law([m for law in laws for m in law.marginals], text)


@checks.typed
def Correlated(covariance: ArrayLike, mean: ArrayLike = 0.0) -> Law:
    """Gaussian law N(mean, covariance) on R^p, covariance (p, p) symmetric and >= 0.

    For the rules "iid" and "sobol", and for ``mfpde.limit``; see ``Gaussian`` for independent
    coordinates.

    Raises ValueError for another shape, or a matrix that is not symmetric or has a negative
    eigenvalue.
    """
    found = checks.array("covariance", covariance, ("p", "p"))
    largest = max(float(np.abs(found).max(initial=0.0)), np.finfo(float).tiny)
    if found.shape[0] != found.shape[1] or np.abs(found - found.T).max() > 1e-12 * largest:
        raise ValueError(f"covariance must be square and symmetric; given shape {found.shape}")
    least = float(np.linalg.eigvalsh(found)[0])
    if least < -1e-12 * largest:
        raise ValueError(f"covariance must have no negative eigenvalue; the least is {least:.3g}")
    means = np.broadcast_to(checks.array("mean", mean), (len(found),)).copy()
    text = f"Correlated({len(found)} coordinates, std={_show(np.sqrt(np.diag(found)))})"
    return _Correlated(means, found, np.ones(len(found), bool), text)


@checks.typed
def Empirical(points: ArrayLike, weights: ArrayLike | None = None) -> Law:
    """The law Σ_j a_j δ_(θ_j) of points (n, p) and weights (n,) >= 0 of sum 1, equal by default.

    For the rules "iid" and "sobol", and for ``mfpde.limit``, which takes up to 4,096 points as
    they are. ``Empirical(rho.theta[k], rho.weights[k])`` is the law of a measure's particles at
    one depth.

    Raises ValueError for other shapes or weights.
    """
    found = checks.nonempty("points", checks.array("points", points, ("n", "p"))).copy()
    share = _shares("weights", weights, len(found))
    return _Empirical(found, share, f"Empirical({len(found)} points in R^{found.shape[1]})")


@checks.typed
def Mixture(parts: Sequence[Law], weights: ArrayLike | None = None) -> Law:
    """The mixture Σ_l a_l ρ_l of laws on one R^p; weights > 0 of sum 1, equal by default.

    For the rules "iid" and "sobol", which share their points among the components exactly, and
    for ``mfpde.limit``.

    Raises ValueError for no law, laws of different p or other weights.
    """
    laws = [checks.instance(f"parts[{k}]", law, Law) for k, law in enumerate(parts)]
    dims = {law.dim for law in laws}
    if len(dims) != 1:
        raise ValueError(f"parts must be one or more laws on one R^p; given p = {sorted(dims)}")
    share = _shares("weights", weights, len(laws))
    if share.min() <= 0.0:
        raise ValueError("weights must be > 0: leave the other laws out")
    return _Mixture(laws, share, f"Mixture({', '.join(map(repr, laws))})")


def _shares(name: str, value: ArrayLike | None, count: int) -> Array:
    if value is None:
        return np.full(count, 1.0 / count)
    found: Array = checks.array(name, value, (count,))
    if found.min() < 0.0 or abs(found.sum() - 1.0) > 1e-8:
        raise ValueError(f"{name} must be >= 0 and sum to 1; given {found}")
    return found / found.sum()


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
