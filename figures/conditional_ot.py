"""Figure: transport rays at three depths, and distances along training.

a to c: where the optimal plan of (ρ_0, ρ_inf) sends each atom. d: distances against their bounds.
e: regularity in depth. Data: validation/conditional_ot.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, script, style
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure


def rays(axes: Axes, data: dict[str, np.ndarray], t: float) -> None:
    """Where the optimal plan sends each atom of ρ_0 at one depth, in the plane (w, u)."""
    here = data["t"] == t
    start = np.column_stack([data["w0"], data["u0"]])[here]
    end = np.column_stack([data["w1"], data["u1"]])[here]
    axes.add_collection(
        LineCollection(list(np.stack([start, end], axis=1)), colors="0.72", linewidths=0.4)
    )
    axes.plot(*start.T, "o", ms=1.6, mfc="white", mec="0.3", mew=0.4, label=r"$\rho_0$")
    axes.plot(*end.T, "o", ms=1.6, color="C1", mew=0, label=r"$\rho_\infty$")
    axes.set(title=f"depth $t = {t:g}$", xlabel="$w$")


def along_training(axes: Axes, data: dict[str, np.ndarray]) -> None:
    """Distances from the start and to the end, against their bounds."""
    s, inner = data["s"], slice(1, -1)
    axes.loglog(s[1:], data["from_start"][1:], color="C0", label=r"COT$(\rho_0,\rho_s)$")
    axes.loglog(s[1:], data["length"][1:], color="C0", ls=":", label="path length")
    axes.loglog(s[inner], data["to_end"][inner], color="C1", label=r"COT$(\rho_s,\rho_\infty)$")
    axes.loglog(s[inner], data["end_bound"][inner], color="C1", ls="--", label=r"$\sqrt{2E(s)/m}$")
    axes.set(xlabel="training time $s$", ylabel="COT distance")
    axes.set_yticks([0.3, 1.0, 3.0], ["0.3", "1", "3"])
    axes.yaxis.minorticks_off()
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.6)


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    moved, training = columns(data / "rays.csv"), columns(data / "evolution.csv")
    with style() as plt:
        page = plt.figure(figsize=(PAGE, 4.3))
        top, bottom = page.subfigures(2, 1, height_ratios=(1.15, 1))
        panels = top.subplots(1, 3, sharex=True, sharey=True)
        for axes, t in zip(panels, np.unique(moved["t"]), strict=True):
            rays(axes, moved, float(t))
        panels[0].set_ylabel("$u$")
        panels[-1].legend(
            loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.1, markerscale=2
        )
        left, right = bottom.subplots(1, 2)
        along_training(left, training)
        right.semilogx(training["s"][1:], training["depth_rate"][1:], color="C2")
        right.set(
            xlabel="training time $s$", ylabel=r"$\max_t\,W_2(\rho_t,\rho_{t+\delta})/\delta$"
        )
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
