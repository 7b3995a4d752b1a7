"""Data on their way through depth, and where they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.plots.style import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.lines import Line2D

Array = NDArray[np.float64]


class Paths(Protocol):
    """Depths t (T,) and hidden states (T, N, d)."""

    @property
    def t(self) -> Array: ...
    @property
    def hidden(self) -> Array: ...


def trajectories(
    found: Paths,
    *,
    coordinate: int = 0,
    values: ArrayLike | None = None,
    ax: Axes | None = None,
    **how: Any,
) -> list[Line2D]:
    """One coordinate of the hidden states X_i(t) over depth, one line for each datum.

    ``found`` is what ``mfpde.trajectories`` returns, ``values`` (N,) colours the lines (targets,
    say); further keywords go to ``Axes.plot``. Draw the states before and after training on the
    same axes. Raises ValueError for a coordinate that the states do not have.
    """
    from matplotlib import colormaps

    dim = found.hidden.shape[2]
    if not 0 <= checks.whole("coordinate", coordinate) < dim:
        raise ValueError(f"coordinate must be in 0..{dim - 1}; given {coordinate}")
    ax = axes_for(ax)
    look: dict[str, Any] = {"color": "C0", "lw": 0.8} | how
    lines = ax.plot(found.t, found.hidden[:, :, coordinate], **look)
    if values is not None:
        shade = checks.array("values", values, (len(lines),))
        span = np.ptp(shade) or 1.0
        for line, part in zip(lines, (shade - shade.min()) / span, strict=True):
            line.set_color(colormaps["viridis"](0.9 * part))
    ax.set(xlabel="depth $t$", ylabel=f"hidden states $X_i(t)_{{{coordinate}}}$", xlim=(0.0, 1.0))
    return lines


def outputs(
    targets: ArrayLike,
    found: ArrayLike,
    *,
    error: ArrayLike | None = None,
    ax: Axes | None = None,
    **how: Any,
) -> tuple[ErrorbarContainer, Line2D]:
    """Outputs against targets, all components together, and the diagonal where they agree.

    ``targets``, ``found`` and, for bars, ``error`` >= 0 are (N, k) or (N,). Returns the points with
    their bars, and the diagonal. Raises ValueError for shapes that differ.
    """
    wanted = checks.array("targets", targets)
    given = checks.array("found", found, wanted.shape)
    bars = None if error is None else checks.array("error", error, wanted.shape).ravel()
    ax = axes_for(ax)
    look: dict[str, Any] = {"fmt": "o", "color": "C0", "mfc": "none", "lw": 0.8} | how
    points = ax.errorbar(wanted.ravel(), given.ravel(), bars, **look)
    ends = [wanted.min(), wanted.max()]
    (diagonal,) = ax.plot(ends, ends, color="0.5", lw=0.8, zorder=0)
    ax.set(xlabel="targets $y_i$", ylabel="outputs $B X_i(1)$")
    return points, diagonal
