"""Figure: how deep and wide a network must be for a small loss with high probability.

a: P(E <= eps) over (L, M) by Monte Carlo at one margin above the limit's loss, with the frontier
of probability .95 by the fitted law (dashed) and by the theorem's shape (dash-dotted); rings mark
shapes whose Clopper-Pearson interval lies above .95, crosses those below. b: blocks L M* on the
frontier against the room that the limit and depth leave to width, with the fitted law (lines).
c: the limit's loss with and without the decaying regulariser.
Data: validation/size_for_loss.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, guide, script, style
from matplotlib.figure import Figure

GOAL = 0.95


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    phase, frontier, law, limit = (
        columns(data / f"{name}.csv") for name in ("phase", "frontier", "law", "limit")
    )
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(PAGE, 2.8), width_ratios=(1.45, 1, 0.9)
        )
        figure.get_layout_engine().set(w_pad=0.08)
        _phase(figure, left, phase, law, limit)
        _frontier(middle, frontier)
        _losses(right, data)
    return figure


def _margin(phase) -> float:
    """The margin whose shapes are spread most evenly over success and failure."""
    margins = np.unique(phase["margin"])
    balance = [abs(np.mean(phase["p"][phase["margin"] == m] >= GOAL) - 0.5) for m in margins]
    return float(margins[int(np.argmin(balance))])


def _phase(figure, axes, phase, law, limit) -> None:
    margin = _margin(phase)
    keep = phase["margin"] == margin
    layers, widths = np.unique(phase["layers"]), np.unique(phase["width"])
    p, low, high = (
        phase[name][keep].reshape(len(layers), len(widths)) for name in ("p", "low", "high")
    )
    edges = [np.concatenate([v / np.sqrt(2), v[-1:] * np.sqrt(2)]) for v in (widths, layers)]
    image = axes.pcolormesh(*edges, p, vmin=0, vmax=1, cmap="Greys", alpha=0.75)
    x, y = np.meshgrid(widths, layers)
    known = {"mec": "k", "ls": "", "ms": 4, "mew": 0.7}
    axes.plot(x[low >= GOAL], y[low >= GOAL], "o", mfc="w", label=f"above {GOAL:g}", **known)
    axes.plot(x[high < GOAL], y[high < GOAL], "x", label=f"below {GOAL:g}", **known)
    chosen = (law["margin"] == margin) & np.isclose(law["eta"], 1 - GOAL)
    chosen &= np.isfinite(law["blocks"])
    depth = law["layers"][chosen]
    axes.plot(law["blocks"][chosen] / depth, depth, "C0--", lw=1.5, label="fitted law")
    epsilon = margin * limit["loss"][0]
    m, n = limit["of_width"][0] / (epsilon**2 * (1 - GOAL)), limit["of_depth"][0] / epsilon
    axes.plot([m, m, edges[0][-1]], [edges[1][-1], n, n], "C1-.", lw=1.5, label="theorem")
    axes.set(xscale="log", yscale="log", xlabel="width $M$", ylabel="layers $L$")
    axes.set_xlim(edges[0][0], edges[0][-1])
    axes.set_ylim(edges[1][0], edges[1][-1])
    axes.set_xticks(widths, [f"{w:.0f}" for w in widths])
    axes.set_yticks(layers, [f"{w:.0f}" for w in layers])
    axes.minorticks_off()
    axes.legend(
        fontsize=6, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.08), borderaxespad=0.0
    )
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.set_label(rf"$P(E \leq {1 + margin:g}\,E_\infty)$", labelpad=6)


def _frontier(axes, frontier) -> None:
    for number, eta in enumerate(np.unique(frontier["eta"])):
        keep = frontier["eta"] == eta
        how = {"color": f"C{number}", "mfc": "none", "label": rf"$\eta={eta:g}$"}
        axes.loglog(frontier["room"][keep], frontier["blocks"][keep], "os"[number % 2], **how)
        order = np.argsort(frontier["room"][keep])
        law = frontier["by_law"][keep][order]
        axes.loglog(frontier["room"][keep][order], law, "-", color=f"C{number}", lw=0.7)
    room = np.sort(np.unique(frontier["room"]))
    guide(axes, room, frontier["blocks"].max(), -2.0, "slope $-2$")
    ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2) if room[0] <= tick <= room[-1]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.minorticks_off()
    axes.set(xlabel=r"room in $\log\varepsilon$", ylabel="blocks $LM$ needed")
    axes.legend()


def _losses(axes, data) -> None:
    for number, (name, dash) in enumerate((("plain", "-"), ("decaying", "--"))):
        series = columns(data / f"{name}.csv")
        keep = series["s"] > 0.01
        axes.loglog(series["s"][keep], series["loss"][keep], dash, color=f"C{number}", label=name)
    axes.set(xlabel="training time $s$", ylabel="limit's loss $E$")
    axes.legend(loc="lower left")


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
