"""ρ_t in two of its coordinates: particles with their paths, densities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.measures import MEASURES, Measure
from mfpde.measures.grid import GridMeasure
from mfpde.measures.joint import PlacedBlocks
from mfpde.measures.joint_grid import JointGrid
from mfpde.measures.particles import ParticleMeasure
from mfpde.plots.style import axes_for
from mfpde.plots.ways import ways

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PathCollection, QuadMesh

Array = NDArray[np.float64]

BINS = 40  # a side, for measures without cells


def particles(
    run: Any,
    coordinates: tuple[int, int] = (0, 1),
    *,
    t: float = 0.5,
    most: int = 128,
    ax: Axes | None = None,
) -> tuple[LineCollection, PathCollection, PathCollection]:
    """Particles of ρ_t in two coordinates of θ, where they start, end and passed.

    ``run`` is a ``Solution`` on particles; the paths lead through its saved times (``solve(...,
    save=times)``), at the depth node next to ``t``, of at most ``most`` particles. Returns paths,
    starts and ends; marks are as large as the particles' weights.

    Raises TypeError for measures without particles at depth nodes, ValueError for coordinates that
    θ does not have.
    """
    rho = run.final
    if not isinstance(rho, ParticleMeasure):
        raise TypeError(
            f"particles draws a ParticleMeasure; a {type(rho).__name__} is drawn by plots.density"
        )
    i, j = pair = pair_of(coordinates, rho.dim)
    k = level_at(rho.depth.nodes, t)
    kept = np.unique(np.linspace(0, rho.count - 1, min(most, rho.count)).astype(int))
    times = np.unique(np.append(run.saved_s, run.s[-1]))
    paths = np.stack([run.at(float(s)).theta[k, kept][:, pair] for s in times], axis=1)
    labels = f"$s = {times[0]:g}$", f"$s = {times[-1]:.4g}$"
    ax = axes_for(ax)
    lines, start, end = ways(paths, masses=rho.weights[k, kept], labels=labels, ax=ax)
    names = run.problem.block.coordinates
    ax.set(xlabel=names[i], ylabel=names[j], title=f"$t = {rho.depth.nodes[k]:.3g}$")
    ax.legend()
    return lines, start, end


def density(
    rho: Measure,
    coordinates: tuple[int, int] = (0, 1),
    *,
    t: float | None = 0.5,
    bins: int = BINS,
    ax: Axes | None = None,
    **how: Any,
) -> QuadMesh:
    """The density of two coordinates of θ under ρ_t, at the depth node next to ``t``.

    Of cells as they are; of particles and blocks as a histogram of ``bins`` a side. With
    ``t=None``, and for blocks placed in depth at any t, of the mean of ρ_t over depth. The values
    integrate to 1. Further keywords go to ``Axes.pcolormesh``.

    Raises TypeError for what is no measure, ValueError for coordinates that θ does not have and
    where a joint grid has no mass at t.
    """
    i, j = pair = pair_of(coordinates, checks.instance("rho", rho, *MEASURES.values()).dim)
    x, y, values = values_of(rho, pair, t, bins)
    ax = axes_for(ax)
    look: dict[str, Any] = {"cmap": "Blues", "vmin": 0.0, "rasterized": True} | how
    mesh = ax.pcolormesh(x, y, values.T, **look)
    ax.set(xlabel=rf"$\theta_{{{i}}}$", ylabel=rf"$\theta_{{{j}}}$")
    return mesh


def values_of(rho: Any, pair: list[int], t: float | None, bins: int) -> tuple[Array, Array, Array]:
    """Edges of both axes, and the density (n_i, n_j)."""
    if isinstance(rho, GridMeasure | JointGrid):
        return _of_cells(rho, pair, t)
    return _of_atoms(rho, pair, t, checks.count("bins", bins))


def _of_cells(rho: Any, pair: list[int], t: float | None) -> tuple[Array, Array, Array]:
    masses = rho.masses
    share = rho.depth.weights if t is None else np.eye(len(masses))[level_at(rho.depth.nodes, t)]
    level = np.tensordot(share, masses, axes=1)
    if level.sum() <= 0.0:  # a joint grid may have moved all mass elsewhere
        raise ValueError(f"t must be a depth with mass; there is none at t = {t}")
    level = level / level.sum()
    marginal = level.sum(axis=tuple(n for n in range(rho.dim) if n not in pair))
    if pair[0] > pair[1]:
        marginal = marginal.T
    x, y = (rho.grid.axes[n] for n in pair)
    return x.edges, y.edges, marginal / np.outer(x.widths, y.widths)


def _of_atoms(rho: Any, pair: list[int], t: float | None, bins: int) -> tuple[Array, Array, Array]:
    if isinstance(rho, PlacedBlocks):
        theta, mass = rho.theta, np.full(rho.count, 1.0 / rho.count)
    elif t is None:
        theta = rho.theta.reshape(-1, rho.dim)
        mass = (rho.depth.weights[:, None] * rho.weights).ravel()
    else:
        k = level_at(rho.depth.nodes, t)
        theta, mass = rho.theta[k], rho.weights[k]
    first, second = theta[:, pair].T
    values, x, y = np.histogram2d(first, second, bins=bins, weights=mass, density=True)
    return x, y, values


def pair_of(coordinates: tuple[int, int], dim: int) -> list[int]:
    """Two different coordinates of θ, checked."""
    pair = [checks.whole("coordinates", one) for one in coordinates]
    if len(pair) != 2 or pair[0] == pair[1] or not all(0 <= one < dim for one in pair):
        raise ValueError(
            f"coordinates must be two different ones of 0..{dim - 1}; given {coordinates!r}"
        )
    return pair


def level_at(nodes: Array, t: float) -> int:
    """The depth node next to ``t``."""
    if not 0.0 <= checks.number("t", t) <= 1.0:
        raise ValueError(f"t must be in [0, 1]; given {t!r}")
    return int(np.abs(nodes - t).argmin())
