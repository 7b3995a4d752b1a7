"""A transport plan at one depth: who goes where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.plots.law import pair_of
from mfpde.plots.style import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PathCollection

Array = NDArray[np.float64]

FAINTEST = 1e-3  # of the heaviest arrow: lighter ones are left out


class Plans(Protocol):
    """What ``mfpde.conditional_transport`` returns."""

    @property
    def cells(self) -> Any: ...
    @property
    def plans(self) -> Any: ...
    @property
    def mu(self) -> Any: ...
    @property
    def nu(self) -> Any: ...


def transport_plan(
    found: Plans,
    coordinates: tuple[int, int] = (0, 1),
    *,
    t: float = 0.5,
    ax: Axes | None = None,
) -> tuple[LineCollection, PathCollection, PathCollection]:
    """The optimal plan between ρ_t and ρ′_t in two coordinates of θ, on the depth cell that has t.

    One line for each pair of atoms that exchange mass, as opaque as the mass (down to 1e−3 of the
    largest); marks as large as the atoms' masses, hollow for ρ, filled for ρ′. Returns lines and
    both marks. In one dimension (p = 1) the second coordinate is 0 for ρ and 1 for ρ′.

    Raises ValueError for methods of transport without a plan, for coordinates that θ does not have
    and for t outside [0, 1].
    """
    from matplotlib.collections import LineCollection

    if found.plans is None:
        raise ValueError("found must hold plans; take an exact method in conditional_transport")
    cell = _cell(found.cells, t)
    _, k, j = found.cells[cell]
    start, end = (
        _pair(found.mu.atoms[k], 0.0, coordinates),
        _pair(found.nu.atoms[j], 1.0, coordinates),
    )
    plan = found.plans[cell].tocoo()
    mass = plan.data / plan.data.max()
    kept = mass > FAINTEST
    ends = np.stack([start[plan.row[kept]], end[plan.col[kept]]], axis=1)
    ax = axes_for(ax)
    lines = LineCollection(list(ends), colors="0.5", linewidths=0.6, alpha=mass[kept], zorder=1)
    ax.add_collection(lines)
    hollow: dict[str, Any] = {"facecolors": "none", "edgecolors": "C0", "linewidths": 0.6}
    (x, y), (u, v) = start.T, end.T
    first = ax.scatter(x, y, s=_sizes(found.mu.weights[k]), label=r"$\rho_t$", **hollow)
    second = ax.scatter(u, v, s=_sizes(found.nu.weights[j]), c="C1", lw=0, label=r"$\rho'_t$")
    ax.set(xlabel=rf"$\theta_{{{coordinates[0]}}}$", title=f"depth cell of $t = {t:g}$")
    if found.mu.dim > 1:
        ax.set_ylabel(rf"$\theta_{{{coordinates[1]}}}$")
    ax.legend()
    return lines, first, second


def _cell(cells: Any, t: float) -> int:
    """The number of the cell of the common refinement in which t lies."""
    if not 0.0 <= checks.number("t", t) <= 1.0:
        raise ValueError(f"t must be in [0, 1]; given {t!r}")
    ends: Array = np.cumsum([cell.length for cell in cells])[:-1]
    return int(np.searchsorted(ends, t, side="right"))


def _pair(atoms: Array, height: float, coordinates: tuple[int, int]) -> Array:
    """Two coordinates (M, 2) of atoms (M, p)."""
    if atoms.shape[1] == 1:
        return np.column_stack([atoms, np.full(len(atoms), height)])
    return atoms[:, pair_of(coordinates, atoms.shape[1])]


def _sizes(weights: Array) -> Array:
    sizes: Array = 12.0 * weights / weights.max()
    return sizes
