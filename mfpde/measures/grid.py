"""ρ_t as masses of the cells of a tensor grid at each depth node."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks, tables
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.measures.axes import Axis, Grid
from mfpde.measures.deposit import cloud_in_cell, default_box, law_masses
from mfpde.measures.particles import ParticleMeasure

Array = NDArray[np.float64]

WALL_LIMIT = 1e-3  # of the mass may lie in wall cells before it is worth a warning


class GridMeasure:
    """Cell masses m_kc at the depth nodes: ρ_{t_k} has the mass m_kc in cell c of a tensor grid.

    ``masses`` (K, n1, ..., np), K = len(depth.nodes), >= 0, each node with sum 1; ``axes`` are
    p = 1..5 objects ``Axis`` (or a ``Grid``). Passes through depth and moments see the masses at
    the cell centres, so that E_h and V are exact functions of the masses.

    Raises ValueError for a wrong shape, non-finite or negative entries, or nodes that do not sum
    to 1.
    """

    kind: ClassVar[str] = "grid"

    @checks.typed
    def __init__(self, masses: ArrayLike, depth: Depth, axes: Sequence[Axis] | Grid) -> None:
        self.depth = depth
        self.grid = axes if isinstance(axes, Grid) else Grid(tuple(axes))
        found = checks.array("masses", masses, (len(depth.nodes), *self.grid.shape))
        self.masses = _check_masses(found)

    @classmethod
    @checks.typed
    def from_law(
        cls,
        law: Law | DepthLaw,
        depth: Depth,
        *,
        cells: int | Sequence[int] | None = None,
        box: ArrayLike | None = None,
        spacing: str | Sequence[str] = "uniform",
        axes: Sequence[Axis] | Grid | None = None,
    ) -> GridMeasure:
        """The masses of a law on R^p, or of a callable t ↦ law, on one grid for all depths.

        Either ``axes``, or ``cells`` per coordinate over ``box`` ((low, high), ...), by default
        mean ± 5 standard deviations (see ``mfpde.measures.deposit.default_box``), with
        ``spacing`` "uniform" or "sinh" (finest at the law's mean). Gaussian coordinates are
        sampled at the centres, uniform ones give exact cell masses, fixed ones are shared by the
        two nearest centres. Correlated Gaussians are sampled at the centres, or at parts of cells
        that are too wide; components of mixtures are added, points deposited.

        Raises ValueError for a bad box, or one that leaves out more than 1e-3 of the law; warns
        when wall cells hold more than 1e-3. Raises TypeError for a singular covariance.
        """
        slices = [at_depth(law, float(t)) for t in depth.nodes]
        dims = {part.dim for part in slices}
        if len(dims) > 1:
            raise ValueError(f"law must have one dimension at every depth; given {sorted(dims)}")
        focus = np.mean([part.mean for part in slices], axis=0)
        bounds = default_box(slices) if box is None else box
        grid = _grid(axes, cells, bounds, spacing, focus, slices[0].dim)
        if isinstance(law, Law):  # one law for all depths
            masses = np.tile(law_masses(law, grid), (len(slices), *(1,) * grid.dim))
        else:
            masses = np.stack([law_masses(part, grid) for part in slices])
        rho = cls(masses, depth, grid)
        rho.warn_of_walls()
        return rho

    @classmethod
    @checks.typed
    def from_particles(
        cls,
        rho: ParticleMeasure,
        *,
        cells: int | Sequence[int] | None = None,
        box: ArrayLike | None = None,
        spacing: str | Sequence[str] = "uniform",
        axes: Sequence[Axis] | Grid | None = None,
    ) -> GridMeasure:
        """Particles deposited on a grid: mass and mean of every depth are kept exactly.

        Each particle is shared by the 2^p nearest centres (cloud in cell). The arguments are
        those of ``from_law``; the default box holds all particles with half its width to spare.

        Raises ValueError where particles lie beyond the outermost cell centres.
        """
        theta = np.asarray(rho.theta, np.float64)
        low, high = theta.min(axis=(0, 1)), theta.max(axis=(0, 1))
        room = 0.5 * np.where(high > low, high - low, 1.0)
        bounds = np.stack([low - room, high + room], axis=1) if box is None else box
        grid = _grid(axes, cells, bounds, spacing, rho.mean().mean(axis=0), rho.dim)
        _check_inside(theta, grid)
        pairs = zip(theta, rho.weights, strict=True)
        masses = np.stack([cloud_in_cell(x, a, grid) for x, a in pairs])
        found = cls(masses, rho.depth, grid)
        found.warn_of_walls()
        return found

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.grid.axes

    @property
    def levels(self) -> int:
        """K, the number of depth nodes."""
        return int(self.masses.shape[0])

    @property
    def count(self) -> int:
        """The number of cells at each node."""
        return self.grid.size

    @property
    def dim(self) -> int:
        """p, the dimension of θ."""
        return self.grid.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.masses.dtype

    @property
    def slices(self) -> Array:
        """What the forward pass sees at each node: the masses."""
        return self.masses

    @property
    def state(self) -> Array:
        """What the flow moves: the masses (K, n1, ..., np)."""
        return self.masses

    def with_state(self, masses: Array) -> GridMeasure:
        """Other masses on the same grid, taken as they are: the flow keeps them valid."""
        other = object.__new__(GridMeasure)
        other.depth, other.grid, other.masses = self.depth, self.grid, masses
        return other

    def spec(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a run file keeps beside the state: plain values, and arrays."""
        edges = {f"edges{i}": axis.edges for i, axis in enumerate(self.axes)}
        return {"depth": asdict(self.depth)}, edges

    @classmethod
    def from_spec(
        cls, config: dict[str, Any], arrays: dict[str, Array], state: Array
    ) -> GridMeasure:
        """The measure of a run file."""
        axes = [Axis(arrays[f"edges{i}"]) for i in range(state.ndim - 1)]
        return cls(state, Depth(**config["depth"]), axes)

    def labelled(
        self, states: Array, coordinates: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Masses at the saved times, for ``Solution.to_xarray``."""
        labels = dict(zip(coordinates, (axis.centres for axis in self.axes), strict=True))
        names = ("saved_s", "t", *coordinates)
        return {"mass": (names, states)}, {"t": self.depth.nodes, **labels}

    # -- other views --------------------------------------------------------------------------

    @checks.typed
    def to_particles(self, *, below: float = 0.0) -> ParticleMeasure:
        """Cell centres as particles; cells with mass <= ``below`` at every depth are left out.

        What is left is scaled to mass 1 at each depth.
        """
        flat = self.masses.reshape(self.levels, -1)
        kept = (flat > checks.positive("below", below, zero=True)).any(axis=0)
        weights = flat[:, kept]
        totals = weights.sum(axis=1, keepdims=True)
        if not kept.any() or totals.min() <= 0:
            raise ValueError(f"below={below:g} leaves a depth without mass")
        points = self.grid.points.reshape(-1, self.dim)[kept]
        theta = np.broadcast_to(points, (self.levels, *points.shape))
        return ParticleMeasure(theta, self.depth, weights / totals)

    @checks.typed
    def marginal(self, coordinates: int | Sequence[int]) -> GridMeasure:
        """The law of one coordinate, or of several in the order given, on their axes."""
        chosen = [coordinates] if isinstance(coordinates, int | np.integer) else list(coordinates)
        within = all(-self.dim <= i < self.dim for i in chosen)
        chosen = [i % self.dim for i in chosen]
        if not chosen or not within or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"coordinates must be distinct and in 0..{self.dim - 1}; given {coordinates!r}"
            )
        others = tuple(i + 1 for i in range(self.dim) if i not in chosen)
        summed = self.masses.sum(axis=others)
        order = np.argsort(np.argsort(chosen))
        masses = np.ascontiguousarray(np.moveaxis(summed, order + 1, range(1, len(chosen) + 1)))
        other = object.__new__(GridMeasure)
        other.depth, other.masses = self.depth, masses
        other.grid = Grid(tuple(self.axes[i] for i in chosen))
        return other

    # -- numbers ------------------------------------------------------------------------------

    @property
    def density(self) -> Array:
        """ρ_t(θ) = mass / volume of the cells, shape (K, n1, ..., np)."""
        return self.masses / self.grid.volumes

    def mean(self) -> Array:
        """∫ θ ρ_t(dθ) at each node, shape (K, p)."""
        columns = [self.marginal(i).masses @ axis.centres for i, axis in enumerate(self.axes)]
        return np.stack(columns, axis=1)

    def second_moment(self) -> Array:
        """∫ θθᵀ ρ_t(dθ) at each node, shape (K, p, p)."""
        out = np.empty((self.levels, self.dim, self.dim))
        for i, first in enumerate(self.axes):
            out[:, i, i] = self.marginal(i).masses @ np.square(first.centres)
            for j in range(i):
                pair = self.marginal((i, j)).masses
                out[:, i, j] = out[:, j, i] = (pair @ self.axes[j].centres) @ first.centres
        return out

    def covariance(self) -> Array:
        """∫ (θ − θ̄)(θ − θ̄)ᵀ ρ_t(dθ) at each node, shape (K, p, p)."""
        mean = self.mean()
        return self.second_moment() - mean[:, :, None] * mean[:, None, :]

    def entropy(self) -> Array:
        """∫ ρ_t log ρ_t dθ at each node, shape (K,): the density is constant in each cell."""
        from scipy import special

        logs = special.xlogy(self.masses, self.masses) - self.masses * np.log(self.grid.volumes)
        return logs.reshape(self.levels, -1).sum(axis=1)

    def integrate(self, values: Array) -> float:
        """∫∫ g ρ_t(dθ) dt for g at the centres, (K, n1, ..., np) or (n1, ..., np)."""
        rows = (self.masses * values).reshape(self.levels, -1).sum(axis=1)
        return float(self.depth.weights @ rows)

    def wall_mass(self) -> Array:
        """Mass of the cells at the walls of the box at each node, shape (K,)."""
        inner = self.masses[(slice(None), *(slice(1, -1),) * self.dim)]
        total, inside = (m.reshape(self.levels, -1).sum(axis=1) for m in (self.masses, inner))
        return np.maximum(total - inside, 0.0)

    def warn_of_walls(self) -> None:
        """Warn when the wall cells of some depth hold more than 1e-3 of its mass."""
        held = self.wall_mass()
        worst = int(held.argmax())
        if held[worst] > WALL_LIMIT:
            warnings.warn(
                f"the wall cells of {self.grid!r} hold {held[worst]:.3g} of the mass at depth "
                f"t = {self.depth.nodes[worst]:g}: use a larger box",
                stacklevel=4,
            )

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = {
            "grid": self.grid,
            "depth": self.depth,
            "mean of θ over depth": self.depth.weights @ self.mean(),
            "mass in wall cells": f"at most {self.wall_mass().max():.2g}",
        }
        return tables.card("GridMeasure", rows)

    def __repr__(self) -> str:
        return f"GridMeasure({self.grid!r} at {self.levels} depths of {self.depth})"


def _check_masses(masses: Array) -> Array:
    """A copy whose nodes sum to 1 to rounding."""
    if np.any(masses < 0):
        raise ValueError(f"masses must be >= 0; the smallest given is {masses.min():.3g}")
    sums = masses.sum(axis=tuple(range(1, masses.ndim)), keepdims=True)
    off = np.abs(sums - 1.0)
    if off.max() > 1e-8:
        worst = int(off.argmax())
        raise ValueError(
            f"masses must sum to 1 at each depth; node {worst}: {sums.flat[worst]:.9g}"
        )
    return masses / sums if off.max() > 1e-14 else masses.copy()


def _grid(
    axes: Sequence[Axis] | Grid | None,
    cells: int | Sequence[int] | None,
    box: ArrayLike,
    spacing: str | Sequence[str],
    focus: Array,
    dim: int,
) -> Grid:
    if (axes is None) == (cells is None):
        raise TypeError("give either cells (with box and spacing) or axes")
    if axes is not None:
        grid = axes if isinstance(axes, Grid) else Grid(tuple(axes))
    else:
        bounds = checks.array("box", box, (dim, 2))
        middle = np.clip(focus, bounds[:, 0], bounds[:, 1])
        assert cells is not None
        grid = Grid.of_box(bounds, cells, spacing, middle)
    checks.memory(f"cells = {grid.shape}", 8.0 * grid.size * (dim + 4), "use fewer, or particles")
    if grid.dim != dim:
        raise ValueError(f"axes must be {dim}, one for each coordinate; given {grid.dim}")
    return grid


def _check_inside(theta: Array, grid: Grid) -> None:
    low, high = (np.array([axis.centres[end] for axis in grid.axes]) for end in (0, -1))
    outside = ((theta < low) | (theta > high)).any(axis=2)
    if outside.any():
        raise ValueError(
            f"box must hold all particles between its outermost cell centres; "
            f"{int(outside.sum())} of {outside.size} lie outside {grid!r}"
        )
