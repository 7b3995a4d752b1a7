"""ρ on Θ × [0, 1] as masses of the cells of a tensor grid in depth and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks, tables
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law, Uniform
from mfpde.measures.axes import FEWEST, Axis, Grid
from mfpde.measures.grid import GridMeasure

Array = NDArray[np.float64]


class JointGrid:
    """Cell masses m_kc of a law on Θ × [0, 1]: k a cell in depth, c a cell of a grid in θ.

    ``masses`` (n_t, n1, ..., np) >= 0, with sum 1 over *all* cells: the depth marginal is free.
    Depth has n_t >= 3 equal cells, ``axes`` are those of θ (or a ``Grid``). The forward pass sees
    a law constant within each cell, its density in depth included: dX/dt = n_t Σ_c m_kc f(X, θ_c)
    (midpoint rule, order 2). ``beta`` is the price of depth, as in ``JointMeasure``, and finite.

    Raises ValueError for a wrong shape, non-finite or negative entries, masses whose sum is not 1,
    or a beta that is not positive and finite.
    """

    kind: ClassVar[str] = "joint_grid"

    @checks.typed
    def __init__(
        self, masses: ArrayLike, axes: Sequence[Axis] | Grid, *, beta: float = 1.0
    ) -> None:
        self.grid = axes if isinstance(axes, Grid) else Grid(tuple(axes))
        self.masses: Array = checks.array("masses", masses, ("n_t", *self.grid.shape)).copy()
        checks.count("cells in depth", len(self.masses), least=FEWEST)
        if self.masses.min() < 0:
            raise ValueError(f"masses must be >= 0; the smallest given is {self.masses.min():.3g}")
        total = float(self.masses.sum())
        if abs(total - 1.0) > 1e-8:
            raise ValueError(f"masses must sum to 1 over all cells; given {total:.9g}")
        if abs(total - 1.0) > 1e-14:
            self.masses /= total
        self.beta = checks.positive("beta", beta)
        self.depth = Depth(len(self.masses), "midpoint")

    @classmethod
    @checks.typed
    def from_law(
        cls,
        law: Law | DepthLaw,
        *,
        depth_cells: int,
        cells: int | Sequence[int] | None = None,
        box: ArrayLike | None = None,
        spacing: str | Sequence[str] = "uniform",
        axes: Sequence[Axis] | Grid | None = None,
        depth: Law | None = None,
        beta: float = 1.0,
    ) -> JointGrid:
        """The masses of a law on R^p, or of a callable t ↦ law of θ given t, for a law of t.

        ``depth`` is a law of one coordinate on [0, 1], uniform by default (mass beyond the ends
        goes to the end cells); the law of θ is taken in the middle of each depth cell. The other
        arguments are those of ``GridMeasure.from_law``.
        """
        marginal = (depth or Uniform(0.0, 1.0)).marginals
        if len(marginal) != 1:
            raise ValueError(f"depth must be a law of one coordinate; given {depth}")
        checks.count("depth_cells", depth_cells, least=FEWEST)
        checks.memory(f"depth_cells = {depth_cells}", 200.0 * depth_cells, "use fewer")
        nodes = Depth(depth_cells, "midpoint")
        given = GridMeasure.from_law(law, nodes, cells=cells, box=box, spacing=spacing, axes=axes)
        inner = marginal[0].cdf(np.linspace(0.0, 1.0, depth_cells + 1)[1:-1])
        share = np.diff(np.concatenate([[0.0], inner, [1.0]]))
        column = share.reshape(-1, *(1,) * given.dim)
        return cls(column * given.masses, given.grid, beta=beta)

    @property
    def levels(self) -> int:
        """n_t, the number of cells in depth."""
        return len(self.masses)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.masses.dtype

    @property
    def dim(self) -> int:
        """p, the dimension of θ."""
        return self.grid.dim

    @property
    def joint_axes(self) -> tuple[Axis, ...]:
        """The axes of (t, θ) in the metric of the flow: depth is measured in β t."""
        return (Axis.uniform(0.0, self.beta, self.levels), *self.grid.axes)

    @property
    def slices(self) -> Array:
        """∫ ρ over a depth cell divided by its length: what the forward pass sees, like masses."""
        return self.masses * self.levels

    @property
    def depth_density(self) -> Array:
        """The density in depth, (n_t,): 1 for a uniform marginal."""
        return self.slices.reshape(self.levels, -1).sum(axis=1)

    @property
    def state(self) -> Array:
        """What the flow moves: the masses (n_t, n1, ..., np)."""
        return self.masses

    def with_state(self, masses: Array) -> JointGrid:
        """Other masses on the same cells, taken as they are: the flow keeps them valid."""
        other = object.__new__(JointGrid)
        other.grid, other.beta, other.depth, other.masses = (
            self.grid, self.beta, self.depth, masses,
        )  # fmt: skip
        return other

    def spec(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a run file keeps beside the state: plain values, and arrays."""
        edges = {f"edges{i}": axis.edges for i, axis in enumerate(self.grid.axes)}
        return {"beta": self.beta}, edges

    @classmethod
    def from_spec(cls, config: dict[str, Any], arrays: dict[str, Array], state: Array) -> JointGrid:
        """The measure of a run file."""
        axes = [Axis(arrays[f"edges{i}"]) for i in range(state.ndim - 1)]
        return cls(state, axes, **config)

    def labelled(
        self, states: Array, coordinates: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Masses at the saved times, for ``Solution.to_xarray``."""
        axes = (axis.centres for axis in self.grid.axes)
        labels = dict(zip(coordinates, axes, strict=True))
        return {"mass": (("saved_s", "t", *coordinates), states)}, {"t": self.depth.nodes, **labels}

    def mean(self) -> Array:
        """∫ θ ρ(dθ | t) in each depth cell, (n_t, p); NaN where a cell holds no mass."""
        share = self.masses.reshape(self.levels, -1)
        with np.errstate(invalid="ignore"):
            return (share @ self.grid.points.reshape(-1, self.dim)) / share.sum(
                axis=1, keepdims=True
            )

    def integrate(self, values: Array) -> float:
        """∫ g dρ for g at the centres, (n_t, n1, ..., np) or (n1, ..., np)."""
        rows = (self.masses * values).reshape(self.levels, -1).sum(axis=1)
        return float(rows.sum())

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = {
            "grid": self.grid,
            "cells in depth": self.levels,
            "mean of θ": self.masses.sum(axis=0).ravel() @ self.grid.points.reshape(-1, self.dim),
            "price of depth β": self.beta,
        }
        return tables.card("JointGrid", rows)

    def __repr__(self) -> str:
        return f"JointGrid({self.grid!r} x {len(self.masses)} cells in depth)"
