"""W₂ between the one-dimensional marginals of two measures, by their quantile functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.measures.grid import GridMeasure
from mfpde.transport.measure import ConditionalMeasure, as_measure, check_pair, common_refinement

Floats = NDArray[np.float64]


class _Pieces(NamedTuple):
    """A quantile function that is linear from low_k to high_k while the mass grows to upto_k."""

    upto: Floats
    low: Floats
    high: Floats


@checks.typed
def marginal_distance(mu: Any, nu: Any) -> Floats:
    """The conditional distance between the laws of each coordinate alone, shape (p,).

        D_i² = ∫₀¹ W₂²(ρ_t^i, ρ′_t^i) dt,   W₂² = ∫₀¹ |F⁻¹(q) − G⁻¹(q)|² dq

    Marginals of a ``GridMeasure`` have piecewise constant densities, those of particles are
    atoms; the integral is exact for either. Exact transport between atoms at the centres of one
    grid grows like the root of h and hides the order of a scheme on it, quantiles show it.

    Args:
        mu, nu: as in `cot_distance`; depth axes and kinds of measure may differ.

    Raises:
        ValueError, TypeError: as `cot_distance`.
    """
    first, second = (_Marginals(name, value) for name, value in (("mu", mu), ("nu", nu)))
    check_pair(first.depths, second.depths)
    cells = common_refinement(first.depths, second.depths)
    squares = [
        sum(length * _square(first.pieces(k, i), second.pieces(j, i)) for length, k, j in cells)
        for i in range(first.depths.dim)
    ]
    return np.sqrt(squares)


class _Marginals:
    """One-dimensional marginals of a measure; the depth cells are those of ``as_measure``."""

    def __init__(self, name: str, value: Any) -> None:
        self.grid = value if isinstance(value, GridMeasure) else None
        if self.grid is not None:
            self.marginals = [self.grid.marginal(i).masses for i in range(self.grid.dim)]
            corner = np.zeros((self.grid.levels, 1, self.grid.dim))  # depths matter, atoms do not
            value = (self.grid.depth, corner)
        self.depths: ConditionalMeasure = as_measure(name, value)

    def pieces(self, k: int, coordinate: int) -> _Pieces:
        if self.grid is not None:
            edges = self.grid.axes[coordinate].edges
            return _pieces(edges[:-1], edges[1:], self.marginals[coordinate][k])
        x = self.depths.atoms[k][:, coordinate]
        order = np.argsort(x, kind="stable")
        return _pieces(x[order], x[order], self.depths.weights[k][order])


def _pieces(low: Floats, high: Floats, mass: Floats) -> _Pieces:
    kept = mass > 0
    upto = np.cumsum(mass[kept])
    return _Pieces(upto / upto[-1], low[kept], high[kept])


def _square(first: _Pieces, second: _Pieces) -> float:
    """∫ |F⁻¹ − G⁻¹|², exact: the difference is linear between the breaks of both."""
    breaks = np.union1d(first.upto, second.upto)
    starts = np.concatenate([[0.0], breaks[:-1]])
    left, right = (
        _quantile(first, starts, breaks, at) - _quantile(second, starts, breaks, at)
        for at in (starts, breaks)
    )
    return float((breaks - starts) @ (left * left + left * right + right * right)) / 3.0


def _quantile(pieces: _Pieces, starts: Floats, ends: Floats, at: Floats) -> Floats:
    """F⁻¹ at ``at`` within the intervals [starts, ends], none of which crosses a break."""
    k = np.searchsorted(pieces.upto, 0.5 * (starts + ends))
    k = np.minimum(k, len(pieces.upto) - 1)
    begin = np.where(k > 0, pieces.upto[k - 1], 0.0)
    mass = pieces.upto[k] - begin
    share = np.clip((at - begin) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return pieces.low[k] + share * (pieces.high[k] - pieces.low[k])
