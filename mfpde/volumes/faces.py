"""Transport of the masses of a grid down a potential: the geometry and potentials of the kernels.

The kernels see masses as (K, R, W), rows along the first axis and the plane of all others; a grid
of one axis is one row. Where depth is an axis too, it is the first, and K = 1. See
``mfpde.kernels.grid_flux`` for the scheme.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.kernels import grid_flux, grid_lines
from mfpde.kernels.lending import lent
from mfpde.kernels.pools import shared, threads_for
from mfpde.measures.axes import Axis, Grid
from mfpde.volumes import limiters

Array = NDArray[np.float64]

# Cells at a time: long loops, and a dozen rows of scratch in a first- or second-level cache.
BLOCK = 2048


class Potential(NamedTuple):
    """V at the centres: u_j A_k + B_k + C_j, or ``full`` (K, R, W) where that is not empty."""

    u: Array
    slope: Array
    base: Array
    rows: Array
    full: Array

    @classmethod
    def of(cls, values: Array) -> Potential:
        """A potential given cell by cell, (K, R, W)."""
        plane = np.zeros((len(values), 1))
        row = np.zeros(values.shape[1])
        return cls(row, plane, plane, row, np.ascontiguousarray(values))

    def values(self) -> Array:
        """V cell by cell, (K, R, W)."""
        if self.full.size:
            return self.full
        row = self.rows[:, None]
        return self.u[:, None] * self.slope[:, None, :] + (self.base[:, None, :] + row)


class Survey(NamedTuple):
    """What a step is judged by."""

    dissipation: Array  # of each node, (K,)
    mass: Array  # of each node, (K,)
    fastest: float  # largest share of its mass that a cell gives away per unit of time
    smallest: float  # smallest mass of a cell


class Transport:
    """The faces of a grid: moves masses down a potential, and surveys what would move."""

    def __init__(self, grid: Grid) -> None:
        axes = grid.axes if grid.dim > 1 else (None, *grid.axes)
        first, *others = axes
        self.rows, self.plane = 1 if first is None else len(first), grid.size
        self.plane //= self.rows
        shape = tuple(len(axis) for axis in others if axis is not None)
        some = min(self.rows, max(1, BLOCK // self.plane))
        parts = [_tiled(some, shape, i, axis) for i, axis in enumerate(others) if axis is not None]
        kappa, behind, ahead = (np.stack(part) for part in zip(*parts, strict=True))
        strides = np.array([int(np.prod(shape[i:])) for i in range(len(shape) + 1)])
        row_kappa = np.zeros(1) if first is None else _kappa(first)
        self.faces = (strides, row_kappa, kappa, behind, ahead)

    def advance(
        self, limiter: str, v: Potential, start: Array, m: Array, h: float, share: float = 1.0
    ) -> Array:
        """start + share·(m − start + h dm/ds): one stage of Shu and Osher's form."""
        out, threads = lent(m.shape, np.float64), self._threads(m)
        code, advance = limiters.LIMITERS[limiter]
        masses = (self._flat(x) for x in (start, m))
        setting = (code, self.faces, tuple(v), *masses, float(h), float(share))
        setting = (*setting, self._work(threads), self._flat(out))
        shared(advance, threads, threads, *setting)
        return out

    def survey(self, v: Potential, m: Array) -> Survey:
        """Dissipation and mass of every node, fastest outflow and smallest mass."""
        threads, nodes = self._threads(m), len(self._flat(m))
        dissipation, mass = np.empty((2, threads, nodes))
        most, least = np.empty((2, threads))
        setting = self.faces, tuple(v), self._flat(m), self._work(threads)
        shared(grid_flux.survey, threads, threads, *setting, dissipation, mass, most, least)
        sums = dissipation.sum(axis=0), mass.sum(axis=0)
        return Survey(*sums, float(most.max()), float(least.min()))

    def _threads(self, m: Array) -> int:
        """As many as pay, and none without a block of rows."""
        some = self.faces[2].shape[1] // self.plane
        return min(threads_for(m.size), m.size // (self.plane * some))

    def _work(self, threads: int) -> tuple[Array, Array]:
        """Scratch of so many threads."""
        block, plane = self.faces[2].shape[1], self.plane
        shapes = (threads, block + 3 * plane), (threads, grid_flux.ROWS, block + plane)
        return lent(shapes[0], np.float64), lent(shapes[1], np.float64)

    def _flat(self, m: Array) -> Array:
        return m.reshape(-1, self.rows, self.plane)


def _kappa(axis: Axis) -> Array:
    """1/(distance of centres)² at the upper face of every cell, 0 at the wall, (n,)."""
    return np.append(np.diff(axis.centres) ** -2.0, 0.0)


def _tiled(rows: int, shape: tuple[int, ...], i: int, axis: Axis) -> tuple[Array, Array, Array]:
    """κ, and where the cell before and the one after the next are on the grid, over some rows."""
    n = len(axis)
    behind, ahead = np.ones(n), np.ones(n)
    behind[0] = ahead[-2:] = 0.0
    column = (-1, *(1,) * (len(shape) - i - 1))
    kappa, behind, ahead = (
        np.broadcast_to(part.reshape(column), (rows, *shape)).ravel()
        for part in (_kappa(axis), behind, ahead)
    )
    return kappa, behind, ahead


def implicit_along(grid: Grid, i: int, masses: Array, v: Array, tau: float, h: float) -> Array:
    """Masses after an implicit Scharfetter–Gummel step along axis i, V (K, n1, ..., np) frozen."""
    axis = grid.axes[i]
    lead = int(np.prod(masses.shape[: i + 1]))
    shape = (lead, len(axis), masses.size // (lead * len(axis)))
    out = np.empty(shape)
    parts = (np.ascontiguousarray(x).reshape(shape) for x in (masses, v))
    distances = np.diff(axis.centres)
    grid_lines.implicit_lines(*parts, axis.widths, distances, float(tau), float(h), out)
    return out.reshape(masses.shape)
