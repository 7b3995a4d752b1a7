"""Figure: transport rays at three depths, and distances along training.

a to c: where the optimal plan of (ρ_0, ρ_inf) sends each atom. d: distances against their bounds.
e: regularity in depth. Data: validation/conditional_ot.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, by, columns, outside, script, style, ticks
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfpde import plots


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    training = columns(data / "evolution.csv")
    with style() as plt:
        page = plt.figure(figsize=(PAGE, 4.3))
        top, bottom = page.subfigures(2, 1, height_ratios=(1.15, 1))
        panels = top.subplots(1, 3, sharex=True, sharey=True)
        for axes, (t, rays) in zip(panels, by(columns(data / "rays.csv"), "t"), strict=True):
            ends = np.array([[rays["w0"], rays["u0"]], [rays["w1"], rays["u1"]]])
            how = {"labels": (r"$\rho_0$", r"$\rho_\infty$"), "size": 5.0, "ax": axes}
            plots.ways(ends.transpose(2, 0, 1), **how)
            axes.set(title=f"depth $t = {t:g}$", xlabel="$w$")
        panels[0].set_ylabel("$u$")
        outside(panels[-1], handletextpad=0.1)
        left, right = bottom.subplots(1, 2)
        _distances(left, training)
        right.semilogx(training["s"][1:], training["depth_rate"][1:], color="C2")
        label = r"$\max_t\,W_2(\rho_t,\rho_{t+\delta})/\delta$"
        right.set(xlabel="training time $s$", ylabel=label)
    return page


def _distances(axes: Axes, data: dict[str, np.ndarray]) -> None:
    """From the start and to the end, against their bounds."""
    s, inner = data["s"], slice(1, -1)
    axes.loglog(s[1:], data["from_start"][1:], color="C0", label=r"COT$(\rho_0,\rho_s)$")
    axes.loglog(s[1:], data["length"][1:], color="C0", ls=":", label="path length")
    axes.loglog(s[inner], data["to_end"][inner], color="C1", label=r"COT$(\rho_s,\rho_\infty)$")
    axes.loglog(s[inner], data["end_bound"][inner], color="C1", ls="--", label=r"$\sqrt{2E(s)/m}$")
    axes.set(xlabel="training time $s$", ylabel="COT distance")
    ticks(axes.yaxis, [0.3, 1.0, 3.0])
    outside(axes, handlelength=1.6)


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
