"""How mass gets onto a grid: from the marginals of a law, and from weighted points."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from mfpde.laws import Law, Marginal
from mfpde.measures.axes import Axis, Grid, outer

Array = NDArray[np.float64]

REACH = 5.0  # standard deviations of a default box; 6e-7 of a Gaussian lies beyond
OUTSIDE = 1e-3  # of the mass of a law may lie outside the box


def default_box(laws: list[Law]) -> Array:
    """A box (p, 2) that holds all of the laws with room to move.

    mean ± 5 standard deviations, wherever the law ends earlier by half the support's width on
    either side (which for a uniform law is 3.5 standard deviations). A fixed coordinate, like
    u = 0, says nothing of how far it will go: it gets ± the widest reach of the random ones, or
    ± 5 if there is none.
    """
    means, stds = (np.array([getattr(law, part) for law in laws]) for part in ("mean", "std"))
    free = float(stds.max()) or 1.0
    reach = REACH * np.where(stds > 0, stds, free)
    for k, law in enumerate(laws):
        for i, marginal in enumerate(law.marginals):
            width = np.ptp(marginal.ppf(np.array([0.0, 1.0]))) if marginal.random else np.inf
            reach[k, i] = min(reach[k, i], width)
    return np.stack([(means - reach).min(axis=0), (means + reach).max(axis=0)], axis=1)


def law_masses(law: Law, grid: Grid) -> Array:
    """Cell masses (n1, ..., np), sum 1, of a law with independent coordinates.

    Smooth marginals are sampled at the centres: moments of the centres then converge as the
    trapezoidal rule, where true cell masses would add h²/12 to the variance. Marginals with jumps,
    and those too narrow for the axis, give true cell masses; a point is shared by the two nearest
    centres, which keeps its mean.

    Raises ValueError where the box leaves out more than 1e-3 of the law.
    """
    inside = np.prod([_inside(m, axis) for m, axis in zip(law.marginals, grid.axes, strict=True)])
    if 1.0 - inside > OUTSIDE:
        raise ValueError(
            f"box must hold the law; {1.0 - inside:.3g} of the mass of {law!r} "
            f"lies outside {grid!r}"
        )
    masses = [axis_masses(m, axis) for m, axis in zip(law.marginals, grid.axes, strict=True)]
    found = outer([mass / mass.sum() for mass in masses])
    return found / found.sum()


def axis_masses(marginal: Marginal, axis: Axis) -> Array:
    """Masses (n,) of one coordinate's law, not normalised."""
    if not marginal.random:
        left, share = neighbours(axis, np.array([marginal.mean]))
        masses = np.zeros(len(axis))
        masses[left[0]], masses[left[0] + 1] = 1.0 - share[0], share[0]
        return masses
    near = np.abs(axis.centres - marginal.mean) < 2.0 * marginal.std
    if marginal.smooth and near.any() and axis.widths[near].max() <= marginal.std:
        return marginal.density(axis.centres) * axis.widths
    return np.diff(marginal.cdf(axis.edges))


def _inside(marginal: Marginal, axis: Axis) -> float:
    if not marginal.random:
        return float(axis.centres[0] <= marginal.mean <= axis.centres[-1])
    low, high = marginal.cdf(np.array([axis.low, axis.high]))
    return float(high - low)


def neighbours(axis: Axis, x: Array) -> tuple[NDArray[np.intp], Array]:
    """Index of the centre left of x and the share of the right one: x = (1 − s) c_j + s c_{j+1}."""
    left = np.clip(np.searchsorted(axis.centres, x) - 1, 0, len(axis) - 2)
    gap = axis.centres[left + 1] - axis.centres[left]
    return left, np.clip((x - axis.centres[left]) / gap, 0.0, 1.0)


def cloud_in_cell(theta: Array, weights: Array, grid: Grid) -> Array:
    """Masses (n1, ..., np) of points θ (M, p) of weight a (M,), shared by the nearest 2^p centres.

    Mass and mean are kept exactly; the variance of each coordinate grows by at most h²/4.
    """
    pairs = [neighbours(axis, theta[:, i]) for i, axis in enumerate(grid.axes)]
    out = np.zeros(grid.size)
    for corner in product((0, 1), repeat=grid.dim):
        index = [left + side for (left, _), side in zip(pairs, corner, strict=True)]
        share = weights.copy()
        for (_, right), side in zip(pairs, corner, strict=True):
            share *= right if side else 1.0 - right
        flat = np.ravel_multi_index(index, grid.shape)
        out += np.bincount(flat, share, minlength=grid.size)
    return out.reshape(grid.shape)
