"""Laws whose coordinates hang together: correlated, empirical, mixed, and products of such."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mfpde.laws.law import Law, Piece
from mfpde.laws.marginals import Marginal, NormalMarginal

Array = NDArray[np.float64]


class Coupled(Law):
    """A law whose coordinates hang together: the image of (0, 1)^p under a map of all of v.

    It serves every rule of points, "iid" and "sobol", grids and ``mfpde.limit``. Tensor rules by
    one count build on independent coordinates and refuse it, since ``marginals`` does.
    """

    def __init__(
        self, mean: Array, covariance: Array, random: NDArray[np.bool_], text: str
    ) -> None:
        self._mean, self._covariance, self._random, self._text = mean, covariance, random, text

    @property
    def marginals(self) -> tuple[Marginal, ...]:  # type: ignore[override]
        raise TypeError(
            f"law {self._text} has no independent coordinates: use rule='iid' or 'sobol'"
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


class CorrelatedLaw(Coupled):
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
        z: tuple[Marginal, ...] = (NormalMarginal(0.0, 1.0),) * wide.shape[1]
        return (Piece(np.ones(1), z, lambda v: (self._mean + v @ wide.T)[None]),)

    @property
    def conditional_std(self) -> Array:
        """Standard deviation of each coordinate given all others, (p,); 0 in a singular law."""
        axes, lengths = self._axes()
        if lengths.min() <= 1e-7 * lengths.max():
            return np.zeros(self.dim)
        found: Array = 1.0 / np.sqrt(np.square(axes / lengths).sum(axis=1))
        return found

    def _density(self, theta: Array) -> Array:
        axes, lengths = self._axes()
        if lengths.min() <= 1e-7 * lengths.max():
            raise TypeError(f"law {self._text} has no density: its covariance is singular")
        z = (theta - self._mean) @ (axes / lengths)
        found: Array = np.exp(-0.5 * np.square(z).sum(axis=1))
        return found / np.prod(lengths * np.sqrt(2 * np.pi))


class EmpiricalLaw(Coupled):
    def __init__(self, points: Array, weights: Array, text: str) -> None:
        self._points, self._weights, self._ends = points, weights, np.cumsum(weights)[:-1]
        mean = weights @ points
        off = points - mean
        first = np.arange(points.shape[1]) == 0
        super().__init__(mean, (weights[:, None] * off).T @ off, first, text)

    def quantiles(self, v: Array) -> Array:
        return self._points[np.searchsorted(self._ends, v[:, 0], side="right")]

    @property
    def points(self) -> tuple[Array, Array]:
        """The points (n, p) and their masses (n,)."""
        return self._points, self._weights

    def _density(self, theta: Array) -> Array:
        raise TypeError(f"law {self._text} has no density: it is one of points")

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """One without coordinates: the points themselves."""
        return (Piece(self._weights, (), lambda z: np.repeat(self._points[:, None], len(z), 1)),)


class MixtureLaw(Coupled):
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
    def parts(self) -> list[tuple[float, Law]]:
        """The components with their shares."""
        return list(zip(np.diff(self._ends).tolist(), self._laws, strict=True))

    def _density(self, theta: Array) -> Array:
        found: Array = np.sum([share * law.density(theta) for share, law in self.parts], axis=0)
        return found

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Those of the components, each with its share."""
        shares = np.diff(self._ends)
        return tuple(
            piece._replace(shares=share * piece.shares)
            for share, law in zip(shares, self._laws, strict=True)
            for piece in law.pieces
        )


class GroupsLaw(Coupled):
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
    def groups(self) -> list[tuple[Law, slice]]:
        """The laws of the groups and which coordinates are theirs."""
        stops = np.cumsum([law.dim for law in self._laws]).tolist()
        return [
            (law, slice(stop - law.dim, stop)) for law, stop in zip(self._laws, stops, strict=True)
        ]

    def _density(self, theta: Array) -> Array:
        found: Array = np.prod([law.density(theta[:, own]) for law, own in self.groups], axis=0)
        return found

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
