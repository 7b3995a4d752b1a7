"""Points on their way through a plane, from where they start to where they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.plots.style import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PathCollection

Array = NDArray[np.float64]

LARGEST = 12.0  # of the marks, in points²


def ways(
    places: ArrayLike,
    *,
    masses: ArrayLike | None = None,
    labels: tuple[str, str] = ("start", "end"),
    color: str | None = None,
    size: float = LARGEST,
    ax: Axes | None = None,
    **how: Any,
) -> tuple[LineCollection, PathCollection, PathCollection]:
    """Ways (n, T, 2) of n points: a line each, hollow marks where they start, full where they end.

    Marks are as large as ``masses`` (n,), the largest ``size`` points², alike without masses. Lines
    are grey and marks of two colours, or all of one ``color``; further keywords go to the
    ``LineCollection``. Returns lines, starts and ends.

    Raises ValueError for shapes that do not fit and for a size that is not positive.
    """
    from matplotlib.collections import LineCollection

    way = checks.array("places", places, ("points", "times", 2))
    mass = np.ones(len(way)) if masses is None else checks.array("masses", masses, (len(way),))
    ax = axes_for(ax)
    look: dict[str, Any] = {"colors": color or "0.6", "linewidths": 0.5, "zorder": 1} | how
    lines = LineCollection(list(way), **look)
    ax.add_collection(lines)
    first, last = (color, color) if color else ("C0", "C1")
    areas = checks.positive("size", size) * mass / mass.max()
    hollow: dict[str, Any] = {"edgecolors": first, "facecolors": "w", "linewidths": 0.6}
    (x, y), (u, v) = way[:, 0].T, way[:, -1].T
    start = ax.scatter(x, y, s=areas, label=labels[0], zorder=2, **hollow)
    end = ax.scatter(u, v, s=areas, label=labels[1], color=last, lw=0, zorder=3)
    return lines, start, end
