"""How mass gets onto a grid: from a law, by its marginals or its density, and from points."""

from __future__ import annotations

from functools import singledispatch
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mfpde.laws import Law, Marginal
from mfpde.laws.coupled import CorrelatedLaw, EmpiricalLaw, GroupsLaw, MixtureLaw
from mfpde.measures.axes import Axis, Grid, outer

Array = NDArray[np.float64]

REACH = 5.0  # standard deviations of a default box; 6e-7 of a Gaussian lies beyond
OUTSIDE = 1e-3  # of the mass of a law may lie outside the box
FINER = 3  # parts of a cell in the length over which a density changes
MOST_PARTS = 1e7  # of cells, at which a density is looked at: seconds


def default_box(laws: list[Law]) -> Array:
    """A box (p, 2) that holds all of the laws with room to move.

    mean ± 5 standard deviations, wherever the law ends earlier by half the support's width on
    either side (which for a uniform law is 3.5 standard deviations). A fixed coordinate, like
    u = 0, says nothing of how far it will go: it gets ± the widest reach of the random ones, or
    ± 5 if there is none. Components of a mixture count as laws, points as uniform laws.
    """
    free = max(float(law.std.max()) for law in laws) or 1.0
    ends = np.array([_ends(law, free) for law in laws])
    return np.stack([ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)], axis=1)


@singledispatch
def _ends(law: Law, free: float) -> Array:
    """The default box of one law, (2, p); ``free`` is what a fixed coordinate gets."""
    reach = REACH * np.where(law.std > 0, law.std, free)
    for i, marginal in enumerate(law.marginals):
        width = np.ptp(marginal.ppf(np.array([0.0, 1.0]))) if marginal.random else np.inf
        reach[i] = min(reach[i], width)
    return np.stack([law.mean - reach, law.mean + reach])


@_ends.register
def _(law: CorrelatedLaw, free: float) -> Array:
    reach = REACH * np.where(law.std > 0, law.std, free)
    return np.stack([law.mean - reach, law.mean + reach])


@_ends.register
def _(law: EmpiricalLaw, free: float) -> Array:
    low, high = law.points[0].min(axis=0), law.points[0].max(axis=0)
    room = np.where(high > low, 0.5 * (high - low), REACH * free)
    return np.stack([low - room, high + room])


@_ends.register
def _(law: MixtureLaw, free: float) -> Array:
    ends = np.array([_ends(part, free) for _, part in law.parts])
    return np.stack([ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)])


@_ends.register
def _(law: GroupsLaw, free: float) -> Array:
    return np.concatenate([_ends(part, free) for part, _ in law.groups], axis=1)


def law_masses(law: Law, grid: Grid) -> Array:
    """Cell masses (n1, ..., np), sum 1, of a law.

    Smooth densities are sampled at the centres: moments of the centres then converge as the
    trapezoidal rule, where true cell masses would add h²/12 to the variance. Marginals with jumps,
    and densities too narrow for the cells, give true cell masses (a correlated Gaussian by parts
    of cells); a point is shared by the nearest centres, which keeps its mean.

    Raises ValueError where the box leaves out more than 1e-3 of the law, or cells are far too wide
    for a correlated law; TypeError where that has a singular covariance.
    """
    masses, inside = _masses(law, grid)
    if 1.0 - inside > OUTSIDE:
        raise ValueError(
            f"box must hold the law; {1.0 - inside:.3g} of the mass of {law!r} "
            f"lies outside {grid!r}"
        )
    return masses / masses.sum()


@singledispatch
def _masses(law: Law, grid: Grid) -> tuple[Array, float]:
    """Masses of one law, sum 1, and how much of it lies in the box."""
    inside = np.prod([_inside(m, axis) for m, axis in zip(law.marginals, grid.axes, strict=True)])
    if inside == 0.0:
        return np.zeros(grid.shape), 0.0
    masses = [axis_masses(m, axis) for m, axis in zip(law.marginals, grid.axes, strict=True)]
    return outer([mass / mass.sum() for mass in masses]), float(inside)


@_masses.register
def _(law: MixtureLaw, grid: Grid) -> tuple[Array, float]:
    total, inside = np.zeros(grid.shape), 0.0
    for share, part in law.parts:
        masses, held = _masses(part, grid)
        total += share * held * masses
        inside += share * held
    return total / inside if inside else total, inside


@_masses.register
def _(law: GroupsLaw, grid: Grid) -> tuple[Array, float]:
    found = [_masses(part, Grid(grid.axes[own])) for part, own in law.groups]
    flat = outer([masses.ravel() for masses, _ in found])
    return flat.reshape(grid.shape), float(np.prod([inside for _, inside in found]))


@_masses.register
def _(law: EmpiricalLaw, grid: Grid) -> tuple[Array, float]:
    points, weights = law.points
    low, high = (np.array([axis.centres[end] for axis in grid.axes]) for end in (0, -1))
    held = ((points >= low) & (points <= high)).all(axis=1)
    inside = float(weights[held].sum())
    masses = cloud_in_cell(points[held], weights[held], grid)
    return masses / inside if inside else masses, inside


@_masses.register
def _(law: CorrelatedLaw, grid: Grid) -> tuple[Array, float]:
    """The density at the centres, or, where cells are too wide, summed over parts of cells.

    With s_i the deviation of coordinate i given the others, cells of h_i <= s_i are narrow enough:
    the trapezoidal rule errs by 2 exp(−2π²), 5e-9, as (k/h)ᵀΣ(k/h) >= s_i²/h_i² for a vector k of
    whole numbers with k_i ≠ 0. Parts are shorter than s_i/3.
    """
    narrow = law.conditional_std
    if narrow.min() == 0.0:
        raise TypeError(
            f"law {law!r} has no density: deposit points of it by GridMeasure.from_particles"
        )
    parts = [
        _parts(axis, *one)
        for axis, one in zip(grid.axes, zip(law.mean, law.std, narrow, strict=True), strict=True)
    ]
    size = float(np.prod([len(axis) * k for axis, k in zip(grid.axes, parts, strict=True)]))
    if size > MOST_PARTS:
        raise ValueError(
            f"cells = {grid.shape} are too wide for {law!r}, which would take {size:.2g} parts of "
            "cells: use more cells, or GridMeasure.from_particles"
        )
    fine = [_cut(axis, k) for axis, k in zip(grid.axes, parts, strict=True)]
    first = fine[0][0].reshape(len(grid.axes[0]), -1)
    weights = outer([widths for _, widths in fine[1:]]) if fine[1:] else np.ones(())
    masses = np.empty(grid.shape)
    for k, row in enumerate(first):  # one row of cells at a time: parts are many
        places = np.meshgrid(row, *(x for x, _ in fine[1:]), indexing="ij")
        density = law.density(np.stack([x.ravel() for x in places], axis=1))
        own = (density.reshape(places[0].shape) * weights).sum(axis=0)
        masses[k] = _gathered(own, parts[1:]) * fine[0][1][k * parts[0]]
    total = float(masses.sum())
    return (masses / total if total else masses), _inside_box(law, grid)


def _inside_box(law: Law, grid: Grid) -> float:
    """A lower bound of a Gaussian law's mass in the box: that outside by each coordinate, added."""
    from scipy import special

    ends = np.array([[axis.low, axis.high] for axis in grid.axes])
    low, high = (ends - law.mean[:, None]).T / law.std
    return max(1.0 - float((special.ndtr(low) + special.ndtr(-high)).sum()), 0.0)


def _parts(axis: Axis, mean: float, std: float, narrow: float) -> int:
    """Into how many parts cells are cut, of those that hold the law."""
    near = (axis.edges[1:] > mean - 2.0 * std) & (axis.edges[:-1] < mean + 2.0 * std)
    widest = float(axis.widths[near].max(initial=0.0))
    return 1 if widest <= narrow else int(np.ceil(FINER * widest / narrow))


def _cut(axis: Axis, parts: int) -> tuple[Array, Array]:
    """Centres and widths of the parts of cells."""
    widths = axis.widths[:, None] / parts
    lows = axis.edges[:-1, None] + widths * np.arange(parts)
    centres = lows + 0.5 * widths if parts > 1 else axis.centres[:, None]
    return centres.ravel(), np.repeat(widths[:, 0], parts)


def _gathered(values: Array, parts: list[int]) -> Array:
    """Sums over the parts of each cell."""
    shape = [n for full, k in zip(values.shape, parts, strict=True) for n in (full // k, k)]
    return values.reshape(shape).sum(axis=tuple(range(1, 2 * len(parts), 2)))


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
