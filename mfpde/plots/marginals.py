"""The law of one coordinate of θ at every depth: a map, or ridges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.measures import MEASURES, Measure
from mfpde.measures.grid import GridMeasure
from mfpde.measures.joint import PlacedBlocks
from mfpde.measures.joint_grid import JointGrid
from mfpde.plots.style import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection, QuadMesh

Array = NDArray[np.float64]

BINS = 40  # of θ, for measures without cells
LEVELS = 8  # of depth, for blocks placed anywhere in it


def marginals(
    rho: Measure,
    coordinate: int = 0,
    *,
    bins: int = BINS,
    ax: Axes | None = None,
    **how: Any,
) -> QuadMesh:
    """The density of one coordinate of θ under ρ_t, over depth t, as a map of colours.

    At every depth it integrates to 1; of cells as they are, of particles and blocks as histograms
    of ``bins``. Depth cells have the nodes' quadrature weights as widths; blocks placed in depth
    are gathered in 8 slices, and slices without a block are left blank. Further keywords go to
    ``Axes.pcolormesh``.

    Raises TypeError for what is no measure, ValueError for a coordinate that θ does not have.
    """
    depths, edges, values = _marginals(rho, coordinate, bins)
    ax = axes_for(ax)
    look: dict[str, Any] = {"cmap": "Blues", "vmin": 0.0, "rasterized": True} | how
    mesh = ax.pcolormesh(depths, edges, values.T, **look)
    ax.set(xlabel="depth $t$", ylabel=rf"$\theta_{{{coordinate}}}$", xlim=(0.0, 1.0))
    return mesh


def ridges(
    rho: Measure,
    coordinate: int = 0,
    *,
    bins: int = BINS,
    overlap: float = 1.5,
    ax: Axes | None = None,
) -> list[FillBetweenPolyCollection]:
    """The same densities as ridges, one for each depth, the deepest on top.

    The highest ridge reaches over ``overlap`` of the distances between ridges. Raises as
    ``marginals``, and ValueError where ``overlap`` is not positive.
    """
    checks.positive("overlap", overlap)
    depths, edges, values = _marginals(rho, coordinate, bins)
    middle = 0.5 * (depths[1:] + depths[:-1])
    shown = np.flatnonzero(np.all(np.isfinite(values), axis=1))
    middle, values = middle[shown], values[shown]
    gap = float(np.diff(middle).min()) if middle.size > 1 else 1.0
    scale = overlap * gap / values.max()
    ax = axes_for(ax)
    drawn = []
    for t, density in zip(middle[::-1], values[::-1], strict=True):
        heights = t + scale * density
        look: dict[str, Any] = {"step": "post", "facecolor": "C0", "alpha": 0.85, "zorder": -t}
        drawn.append(
            ax.fill_between(
                edges, t, np.append(heights, heights[-1]), edgecolor="w", lw=0.6, **look
            )
        )
    ax.set(xlabel=rf"$\theta_{{{coordinate}}}$", ylabel="depth $t$", yticks=np.linspace(0, 1, 5))
    return drawn


def _marginals(rho: Measure, coordinate: int, bins: int) -> tuple[Array, Array, Array]:
    """Edges of depth (K+1,) and of the coordinate (n+1,), and the densities (K, n)."""
    dim = checks.instance("rho", rho, *MEASURES.values()).dim
    if not 0 <= checks.whole("coordinate", coordinate) < dim:
        raise ValueError(f"coordinate must be in 0..{dim - 1}; given {coordinate}")
    if isinstance(rho, GridMeasure | JointGrid):
        return _of_cells(rho, coordinate)
    return _of_atoms(rho, coordinate, checks.count("bins", bins))


def _of_cells(rho: Any, coordinate: int) -> tuple[Array, Array, Array]:
    others = tuple(1 + n for n in range(rho.dim) if n != coordinate)
    mass = rho.masses.sum(axis=others)
    axis = rho.grid.axes[coordinate]
    return _edges(rho.depth.weights), axis.edges, _normalised(mass) / axis.widths


def _of_atoms(rho: Any, coordinate: int, bins: int) -> tuple[Array, Array, Array]:
    if isinstance(rho, PlacedBlocks):
        depths = np.linspace(0.0, 1.0, LEVELS + 1)
        level = np.clip(np.searchsorted(depths, rho.t, side="right") - 1, 0, LEVELS - 1)
        theta, weights = rho.theta[:, coordinate], np.ones(rho.count)
    else:
        depths = _edges(rho.depth.weights)
        level = np.repeat(np.arange(rho.levels), rho.count)
        theta, weights = rho.theta[:, :, coordinate].ravel(), rho.weights.ravel()
    edges = np.histogram_bin_edges(theta, bins)
    counts = [np.arange(depths.size) - 0.5, edges]
    mass = np.histogram2d(level, theta, bins=counts, weights=weights)[0]
    return depths, edges, _normalised(mass) / np.diff(edges)


def _edges(weights: Array) -> Array:
    return np.append(0.0, np.minimum(np.cumsum(weights), 1.0))


def _normalised(mass: Array) -> Array:
    """Rows of sum 1; NaN where a depth has no mass."""
    total = mass.sum(axis=1, keepdims=True)
    shares: Array = np.where(total > 0.0, mass / np.where(total > 0.0, total, 1.0), np.nan)
    return shares
