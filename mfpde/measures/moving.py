"""A tensor grid carried by the flow: fixed cell masses, moving cells, and the grid's neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law
from mfpde.measures.axes import Axis, Grid
from mfpde.measures.grid import GridMeasure
from mfpde.measures.particles import ParticleMeasure

Array = NDArray[np.float64]


class MovingGrid(ParticleMeasure):
    """A grid whose cells move: ρ_t = (θ_t)_# ρ_0 with ρ_0 on the cells of ``grid``.

    The flow transports ρ_t along its characteristics, so that a cell keeps its mass and only its
    place changes. The centres are particles, and every scheme and verb for particles applies;
    since each knows its neighbours, the map θ_t from the reference cells is known as well, and
    with it the density ρ_0/|det Dθ_t|. Nothing is smeared out however thin the law becomes: this
    is how a run that starts on a grid reaches late times.

    ``theta`` (K, M, p) are the places of the centres, M = n1···np in the grid's order; ``weights``
    the cell masses (K, M) or (M,); ``grid`` the reference grid. Usually made by
    ``MovingGrid.from_law`` or ``MovingGrid.from_grid``.

    Raises ValueError for shapes that do not fit, and as ``ParticleMeasure``.
    """

    kind: ClassVar[str] = "moving_grid"

    @checks.typed
    def __init__(
        self, theta: ArrayLike, depth: Depth, weights: ArrayLike, grid: Sequence[Axis] | Grid
    ) -> None:
        super().__init__(theta, depth, weights, dtype=np.float64)
        self.grid = grid if isinstance(grid, Grid) else Grid(tuple(grid))
        if (self.count, self.dim) != (self.grid.size, self.grid.dim):
            raise ValueError(
                f"theta must hold one place in R^{self.grid.dim} for each of the {self.grid.size} "
                f"cells of grid; given shape {self.theta.shape}"
            )

    @classmethod
    @checks.typed
    def from_law(  # type: ignore[override]
        cls,
        law: Law | DepthLaw,
        depth: Depth,
        *,
        cells: int | Sequence[int] | None = None,
        box: ArrayLike | None = None,
        spacing: str | Sequence[str] = "uniform",
        axes: Sequence[Axis] | Grid | None = None,
    ) -> MovingGrid:
        """The cells of ``GridMeasure.from_law`` with the same arguments, before they move."""
        still = GridMeasure.from_law(law, depth, cells=cells, box=box, spacing=spacing, axes=axes)
        return cls.from_grid(still)

    @classmethod
    @checks.typed
    def from_grid(cls, rho: GridMeasure) -> MovingGrid:
        """The cells of a grid measure, free to move."""
        theta = np.broadcast_to(
            rho.grid.points.reshape(-1, rho.dim), (rho.levels, rho.count, rho.dim)
        )
        return cls(theta, rho.depth, rho.masses.reshape(rho.levels, -1), rho.grid)

    def with_state(self, theta: Array) -> MovingGrid:
        """The same masses at other places."""
        return MovingGrid(theta, self.depth, self.weights, self.grid)

    def spec(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a run file keeps beside the state: plain values, and arrays."""
        edges = {f"edges{i}": axis.edges for i, axis in enumerate(self.grid.axes)}
        return {"depth": asdict(self.depth)}, {"weights": self.weights, **edges}

    @classmethod
    def from_spec(
        cls, config: dict[str, Any], arrays: dict[str, Array], state: Array
    ) -> MovingGrid:
        """The measure of a run file."""
        axes = [Axis(arrays[f"edges{i}"]) for i in range(state.shape[-1])]
        return cls(state, Depth(**config["depth"]), arrays["weights"], axes)

    # -- the map ----------------------------------------------------------------------------------

    @property
    def masses(self) -> Array:
        """Cell masses, which never change, shape (K, n1, ..., np)."""
        return self.weights.reshape(self.levels, *self.grid.shape)

    @property
    def places(self) -> Array:
        """Where the centres are now, shape (K, n1, ..., np, p)."""
        return self.theta.reshape(self.levels, *self.grid.shape, self.dim)

    def jacobian(self) -> Array:
        """Dθ_t at the centres, (K, n1, ..., np, p, p): entry [i, j] is ∂θ_i/∂(reference_j).

        By cubic splines through the centres along each axis, of third order in the cell width.
        """
        columns = [_slope(axis, self.places, i) for i, axis in enumerate(self.grid.axes, start=1)]
        return np.stack(columns, axis=-1)

    @property
    def density(self) -> Array:
        """ρ_t at the moved centres, ρ_0/|det Dθ_t|, shape (K, n1, ..., np)."""
        return self.masses / self._volumes()

    def entropy(self) -> Array:
        """∫ ρ_t log ρ_t dθ at each node, shape (K,)."""
        from scipy import special

        values = special.xlogy(self.masses, self.masses) - self.masses * np.log(self._volumes())
        return values.reshape(self.levels, -1).sum(axis=1)

    def distortion(self) -> Array:
        """Longest over shortest semi-axis of a small ball carried along, (K, n1, ..., np), >= 1.

        The condition number of Dθ_t. Beyond a few hundred, neighbours are far apart and the
        density between them is a guess; integrals over ρ_t stay as good as the quadrature is.
        """
        values = np.linalg.svd(self.jacobian(), compute_uv=False)
        return values[..., 0] / np.maximum(values[..., -1], np.finfo(float).tiny)

    def _volumes(self) -> Array:
        """Volumes of the moved cells, shape (K, n1, ..., np)."""
        stretch = np.abs(np.linalg.det(self.jacobian()))
        return self.grid.volumes * np.maximum(stretch, np.finfo(float).eps ** 4)

    # -- other grids ------------------------------------------------------------------------------

    @checks.typed
    def refined(self, factor: int) -> MovingGrid:
        """Every cell cut into factor^p, places and density by monotone cubics along each axis.

        Masses stay positive, with sum 1 at each depth, and no place overshoots its neighbours.
        Between cells that the flow has torn apart the new places are a guess: refine before the
        run to compute them.
        """
        parts = checks.count("factor", factor)
        fine = Grid(tuple(_cut(axis, parts) for axis in self.grid.axes))
        places, density = self.places, self.masses / self.grid.volumes
        for i, (axis, new) in enumerate(zip(self.grid.axes, fine.axes, strict=True), start=1):
            places = _monotone(axis, places, i, new.centres)
            density = np.maximum(_monotone(axis, density, i, new.centres), 0.0)
        masses = (density * fine.volumes).reshape(self.levels, -1)
        masses /= masses.sum(axis=1, keepdims=True)
        return MovingGrid(places.reshape(self.levels, -1, self.dim), self.depth, masses, fine)

    @checks.typed
    def to_grid(
        self,
        *,
        cells: int | Sequence[int] | None = None,
        box: ArrayLike | None = None,
        spacing: str | Sequence[str] = "uniform",
        axes: Sequence[Axis] | Grid | None = None,
        factor: int = 3,
        below: float = 1e-12,
    ) -> GridMeasure:
        """The law on a grid that stands still: cells are cut by ``factor`` and deposited.

        Takes the box and cells of ``GridMeasure.from_particles``. Mass is kept exactly at each
        depth; parts with mass <= ``below`` are left out first, or the far tails would set the box.

        Raises ValueError where parts lie beyond the outermost cell centres of a given box.
        """
        fine = self.refined(factor)
        kept = (fine.weights > checks.positive("below", below, zero=True)).any(axis=0)
        weights = fine.weights[:, kept]
        if not weights.size or weights.sum(axis=1).min() <= 0:
            raise ValueError(f"below={below:g} leaves a depth without mass")
        weights /= weights.sum(axis=1, keepdims=True)
        particles = ParticleMeasure(fine.theta[:, kept], self.depth, weights)
        return GridMeasure.from_particles(
            particles, cells=cells, box=box, spacing=spacing, axes=axes
        )

    def __repr__(self) -> str:
        return f"MovingGrid({self.grid!r} carried along at {self.levels} depths of {self.depth})"


def _slope(axis: Axis, values: Array, along: int) -> Array:
    """The derivative at the centres of the cubic spline through values at the centres."""
    from scipy.interpolate import make_interp_spline

    first = np.moveaxis(values, along, 0)
    spline = make_interp_spline(axis.centres, first, k=min(3, len(axis) - 1))
    found: Array = np.moveaxis(spline.derivative()(axis.centres), 0, along)
    return found


def _monotone(axis: Axis, values: Array, along: int, at: Array) -> Array:
    """Monotone cubic interpolation of values at the centres, which neither rings nor overshoots."""
    from scipy.interpolate import PchipInterpolator

    with np.errstate(all="ignore"):  # harmonic means of slopes, some of which are zero
        found: Array = PchipInterpolator(axis.centres, values, axis=along)(at)
    return found


def _cut(axis: Axis, parts: int) -> Axis:
    shares = np.arange(parts) / parts
    inner = axis.edges[:-1, None] + axis.widths[:, None] * shares
    return Axis(np.append(inner.ravel(), axis.high))
