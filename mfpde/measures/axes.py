"""Tensor grids in θ: one axis of cells for each coordinate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks

Array = NDArray[np.float64]

SPACINGS = ("uniform", "sinh")
LARGEST_DIM = 5
FEWEST = 3  # cells of an axis: two at the walls and one between


@checks.typed
@dataclass(frozen=True, eq=False)
class Axis:
    """Cells of one coordinate between rising ``edges`` (n + 1,), n >= 3.

    ``Axis.uniform`` and ``Axis.sinh`` make the usual ones.

    Raises ValueError for fewer than 3 cells or edges that do not rise.
    """

    edges: Array

    def __post_init__(self) -> None:
        edges = checks.array("Axis edges", self.edges, ("n + 1",)).copy()
        if edges.size <= FEWEST:
            raise ValueError(
                f"Axis edges must bound at least {FEWEST} cells; given {edges.size} edges"
            )
        if np.any(np.diff(edges) <= 0):
            raise ValueError(f"Axis edges must rise; given {edges}")
        edges.flags.writeable = False
        object.__setattr__(self, "edges", edges)

    @classmethod
    @checks.typed
    def uniform(cls, low: float, high: float, n: int) -> Axis:
        """n cells of equal width; exactly symmetric where low = −high."""
        _check_box("Axis.uniform", low, high)
        k = _numbers(n)
        return cls(((n - k) * low + k * high) / n)

    @classmethod
    @checks.typed
    def sinh(
        cls, low: float, high: float, n: int, *, focus: float = 0.0, strength: float = 2.0
    ) -> Axis:
        """n cells, finest at ``focus``: x = focus + c sinh ξ with ξ uniform.

        c = (half the box) / sinh(strength): in a box centred at the focus, cells at the walls
        are about cosh(strength) times wider than those at the focus.
        """
        _check_box("Axis.sinh", low, high)
        k = _numbers(n)
        if not 1e-8 <= strength <= 100.0:
            raise ValueError(f"Axis strength must be in [1e-8, 100]; given {strength!r}")
        if not abs(focus - low) <= 1e6 * (high - low):
            raise ValueError(f"Axis focus must lie near [{low:g}, {high:g}]; given {focus!r}")
        scale = 0.5 * (high - low) / np.sinh(strength)
        first, last = np.arcsinh((np.array([low, high]) - focus) / scale)
        edges = focus + scale * np.sinh(((n - k) * first + k * last) / n)
        edges[[0, -1]] = low, high
        return cls(edges)

    @property
    def low(self) -> float:
        return float(self.edges[0])

    @property
    def high(self) -> float:
        return float(self.edges[-1])

    @cached_property
    def widths(self) -> Array:
        """Lengths of the cells, shape (n,)."""
        return np.diff(self.edges)

    @cached_property
    def centres(self) -> Array:
        """Midpoints of the cells, shape (n,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def __len__(self) -> int:
        return int(self.edges.size - 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axis) and np.array_equal(self.edges, other.edges)

    def __hash__(self) -> int:
        return hash(self.edges.tobytes())

    def __repr__(self) -> str:
        return f"Axis({len(self)} cells on [{self.low:g}, {self.high:g}])"


@checks.typed
@dataclass(frozen=True)
class Grid:
    """The tensor grid of p = 1..5 axes; what follows from the axes is computed once.

    Raises ValueError for no axis or more than 5, TypeError for entries that are no ``Axis``.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        wrong = [type(axis).__name__ for axis in self.axes if not isinstance(axis, Axis)]
        if wrong:
            raise TypeError(f"axes (grid) must be mfpde.Axis objects; given {wrong}")
        if not 1 <= len(self.axes) <= LARGEST_DIM:
            raise ValueError(
                f"a grid has 1 to {LARGEST_DIM} axes, since cells multiply; given "
                f"{len(self.axes)}: use a ParticleMeasure in higher dimension"
            )

    @classmethod
    @checks.typed
    def of_box(
        cls,
        box: ArrayLike,
        cells: int | Sequence[int],
        spacing: str | Sequence[str] = "uniform",
        focus: ArrayLike | None = None,
    ) -> Grid:
        """Axes over ``box`` ((low, high), ...); cells and spacing are one for all or one each.

        ``focus`` (p,) is where a "sinh" axis is finest, the middle of the box by default.
        """
        bounds = checks.array("box", box, ("p", 2))
        dim = len(bounds)
        counts = _one_each("cells", cells, dim)
        kinds = _one_each("spacing", spacing, dim)
        middle = bounds.mean(axis=1) if focus is None else checks.array("focus", focus, (dim,))
        axes = []
        for i, (low, high) in enumerate(bounds):
            kind = checks.choice("spacing", kinds[i], SPACINGS)
            _check_box(f"box[{i}]", low, high)
            n = checks.count(f"cells[{i}]", counts[i], least=FEWEST)
            checks.memory(f"cells[{i}] = {n}", 32.0 * n, "use fewer cells")
            how = {"focus": float(middle[i])} if kind == "sinh" else {}
            axes.append(getattr(Axis, kind)(float(low), float(high), n, **how))
        return cls(tuple(axes))

    @property
    def dim(self) -> int:
        """p, the dimension of θ."""
        return len(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of cells (n1, ..., np)."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def size(self) -> int:
        """The number of cells."""
        return int(np.prod(self.shape))

    @property
    def box(self) -> Array:
        """(low, high) of every coordinate, shape (p, 2)."""
        return np.array([(axis.low, axis.high) for axis in self.axes])

    @cached_property
    def points(self) -> Array:
        """Cell centres, shape (n1, ..., np, p)."""
        mesh = np.meshgrid(*(axis.centres for axis in self.axes), indexing="ij")
        return np.stack(mesh, axis=-1)

    @cached_property
    def volumes(self) -> Array:
        """Cell volumes, shape (n1, ..., np)."""
        return outer([axis.widths for axis in self.axes])

    def __repr__(self) -> str:
        sizes = "x".join(map(str, self.shape))
        box = ", ".join(f"[{axis.low:g}, {axis.high:g}]" for axis in self.axes)
        return f"Grid({sizes} cells on {box})"


def _numbers(n: int) -> NDArray[np.int64]:
    """0..n, for an axis of n cells."""
    checks.count("n cells of an Axis", n, least=FEWEST)
    checks.memory("n cells of an Axis", 32.0 * n, "use fewer cells")
    return np.arange(n + 1)


def outer(factors: Sequence[Array]) -> Array:
    """The tensor product of one-dimensional arrays."""
    product = np.ones(())
    for factor in factors:
        product = np.multiply.outer(product, factor)
    return product


def _check_box(name: str, low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"{name} must have low < high, both finite; given ({low:g}, {high:g})")


def _one_each(name: str, value: Any, dim: int) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        return [value] * dim
    if len(value) != dim:
        raise ValueError(f"{name} must be one for all or have {dim} entries; given {value!r}")
    return list(value)
