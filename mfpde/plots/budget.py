"""What the error of a limit consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde.plots.style import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection

Array = NDArray[np.float64]


class Budget(Protocol):
    """What ``mfpde.limit`` returns."""

    @property
    def s(self) -> Array: ...
    @property
    def parts(self) -> Mapping[str, Any]: ...
    @property
    def yardstick(self) -> Any: ...
    @property
    def rtol(self) -> float: ...


def error_budget(found: Budget, *, ax: Axes | None = None) -> list[FillBetweenPolyCollection]:
    """The outputs' error of a ``Limit`` along s, relative to the targets' RMS, part on part.

    One band for each of width, depth and training time, stacked: the upper edge is the error in
    all. A line marks ``rtol``.
    """
    from mfpde.plots.curves import TIME

    ax = axes_for(ax)
    low, bands = np.zeros(found.s.size), []
    for number, (name, part) in enumerate(found.parts.items()):
        high = low + part.gap.outputs / found.yardstick.outputs
        shade = ("0.35", "0.6", "0.82")[number % 3]  # greys: parts stand in the order of the legend
        look: dict[str, Any] = {"color": shade, "lw": 0, "label": name}
        bands.append(ax.fill_between(found.s, low, high, **look))
        low = high
    ax.axhline(found.rtol, color="0.3", lw=0.8, ls="--", label="rtol")
    ax.set(xlabel=TIME, ylabel="error of outputs / RMS of targets", ylim=(0.0, None))
    ax.set_xlim(found.s[0], found.s[-1])
    ax.legend()
    return bands
