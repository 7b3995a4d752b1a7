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
from drawing import DASHES, PAGE, by, columns, pick, script, style
from matplotlib.figure import Figure

METHODS = ("Picard", "Anderson", "Newton")
COMPARED = (0.5, 0.05, 0.01)
MOST = 62  # passes shown


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    names = ("histories", "data", "curves", "densities")
    histories, points, curves, densities = (columns(data / f"{name}.csv") for name in names)
    with style() as plt:
        figure, (above, (fits, *below)) = plt.subplots(2, 3, figsize=(PAGE, 4.2))
        for axes, eps in zip(above, COMPARED, strict=True):
            for number, name in enumerate(METHODS):
                of = pick(histories, eps=eps, method=number)
                how = {"marker": "so^"[number], "ms": 2.5, "ls": DASHES[number]}
                axes.semilogy(of["passes"], of["residual"], label=name, **how)
            axes.axhline(1e-5, color="0.45", lw=0.8, ls=":")
            axes.set(xlabel="passes through depth", title=rf"$\varepsilon = {eps:g}$")
            axes.set(xlim=(0, MOST), ylim=(1e-9, 3))
        above[0].set_ylabel("total variation\nto the Gibbs state")
        above[0].legend(loc="lower right", fontsize=6)
        fits.plot(points["x"], points["y"], ".", color="0.75", ms=2, zorder=0)
        levels = by(curves, "eps")
        for dash, (eps, of) in zip(DASHES, (levels[-1], *levels[1::-1]), strict=False):
            fits.plot(of["x"], of["value"], ls=dash, label=rf"$\varepsilon = {eps:g}$")
        fits.set(xlabel="$x$", ylabel="$X(1)$")
        fits.legend(loc="upper left", fontsize=6)
        shades = np.linspace(0.0, densities["density"].max(), 11)
        for axes, t in zip(below, (0.0, 1.0), strict=True):
            a, of = np.unique(densities["a0"]), pick(densities, t=t)
            density = of["density"].reshape(len(a), len(a)).T
            axes.contourf(a, a, density, shades, cmap="Greys")
            axes.contour(a, a, density, shades[1:], colors="k", linewidths=0.3)
            title = rf"density at $t = {t:g}$, $\varepsilon = {levels[0][0]:g}$"
            axes.set(xlabel="$a_0$", ylabel="$a_1$", title=title)
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
