"""Figure: the entropic optimum on a grid.

Top: total variation to the Gibbs state against passes through depth, for damped Picard, Anderson
and Newton-Krylov, cold start; the dotted line is the tolerance. Below: the data with the fitted
curves, and the density of (a0, a1) at the smallest eps, on the finer grid, at both ends of depth.
Data: validation/entropic_grid.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, columns, script, style
from matplotlib.figure import Figure

METHODS = ("Picard", "Anderson", "Newton")
COMPARED = (0.5, 0.05, 0.01)
MOST = 62  # passes shown


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    names = ("histories", "data", "curves", "densities")
    histories, points, curves, densities = (columns(data / f"{name}.csv") for name in names)
    with style() as plt:
        figure, (above, below) = plt.subplots(2, 3, figsize=(PAGE, 4.2))
        for axes, eps in zip(above, COMPARED, strict=True):
            _histories(axes, histories, eps)
        above[0].set_ylabel("total variation\nto the Gibbs state")
        above[0].legend(loc="lower right", fontsize=6)
        _curves(below[0], points, curves)
        smallest = curves["eps"].min()
        for axes, t in zip(below[1:], (0.0, 1.0), strict=True):
            _density(axes, densities, t, densities["density"].max())
            axes.set_title(rf"density at $t = {t:g}$, $\varepsilon = {smallest:g}$")
    return figure


def _histories(axes, histories, eps: float) -> None:
    for number, name in enumerate(METHODS):
        keep = (histories["eps"] == eps) & (histories["method"] == number)
        keep &= histories["passes"] <= MOST
        how = {"color": f"C{number}", "ls": DASHES[number], "marker": "so^"[number], "ms": 2.5}
        axes.semilogy(histories["passes"][keep], histories["residual"][keep], label=name, **how)
    axes.axhline(1e-5, color="0.45", lw=0.8, ls=":")
    axes.set(xlabel="passes through depth", title=rf"$\varepsilon = {eps:g}$")
    axes.set(xlim=(0, MOST), ylim=(1e-9, 3))


def _curves(axes, points, curves) -> None:
    axes.plot(points["x"], points["y"], ".", color="0.75", ms=2, zorder=0)
    levels = np.unique(curves["eps"])[::-1]
    for number, eps in enumerate((levels[0], *levels[-2:])):
        keep = curves["eps"] == eps
        how = {"color": f"C{number}", "ls": DASHES[number], "label": rf"$\varepsilon = {eps:g}$"}
        axes.plot(curves["x"][keep], curves["value"][keep], **how)
    axes.set(xlabel="$x$", ylabel="$X(1)$")
    axes.legend(loc="upper left", fontsize=6)


def _density(axes, densities, t: float, highest: float) -> None:
    keep = densities["t"] == t
    a = np.unique(densities["a0"][keep])
    density = densities["density"][keep].reshape(len(a), len(a))
    levels = np.linspace(0.0, highest, 11)
    axes.contourf(a, a, density.T, levels, cmap="Greys")
    axes.contour(a, a, density.T, levels[1:], colors="k", linewidths=0.3)
    axes.set(xlabel="$a_0$", ylabel="$a_1$")


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
