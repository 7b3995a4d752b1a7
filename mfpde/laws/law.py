"""What a law of block parameters is: independent coordinates, and laws that depend on depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.laws.marginals import Marginal

Array = NDArray[np.float64]


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

    def density(self, theta: ArrayLike) -> Array:
        """The density at θ (n, p), shape (n,).

        Raises ValueError for another shape, TypeError for a law that has none: one that fixes a
        coordinate, or of points.
        """
        return self._density(checks.array("theta", theta, ("n", self.dim)))

    def _density(self, theta: Array) -> Array:
        found = np.ones(len(theta))
        for i, marginal in enumerate(self.marginals):
            found *= marginal.density(theta[:, i])
        return found

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The law as a sum of images of independent coordinates; here it is itself the one."""
        return (Piece(np.ones(1), self.marginals, lambda z: z[None]),)


# A law that depends on depth: t ↦ Law.
DepthLaw = Callable[[float], Law]


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
