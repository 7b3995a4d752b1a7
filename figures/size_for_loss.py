"""Figure: how deep and wide a network must be for a small loss with high probability.

Left: P(E <= eps) over (L, M) by Monte Carlo at one margin above the limit's loss, with the frontier
of probability .95 by the fitted law (dashed) and by the theorem's shape (dotted); dots mark shapes
whose Clopper-Pearson interval lies above .95, crosses those below. Middle: blocks L M* on the
frontier against the room that the limit and depth leave to width, with the fitted law (lines).
Right: the limit's loss with and without the decaying regulariser.
Data: validation/size_for_loss.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, folder, guide, save, style

GOAL = 0.95


def draw(data: Path):
    """The figure, from the files of the validation script."""
    phase, frontier, law, limit = (
        columns(data / f"{name}.csv") for name in ("phase", "frontier", "law", "limit")
    )
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(PAGE, 2.3), width_ratios=(1.3, 1, 0.9)
        )
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
    image = axes.pcolormesh(*edges, p, vmin=0, vmax=1, cmap="cividis")
    x, y = np.meshgrid(widths, layers)
    axes.plot(x[low >= GOAL], y[low >= GOAL], "ko", ms=2.5)
    axes.plot(x[high < GOAL], y[high < GOAL], "wx", ms=3)
    chosen = (law["margin"] == margin) & np.isclose(law["eta"], 1 - GOAL)
    chosen &= np.isfinite(law["blocks"])
    depth = law["layers"][chosen]
    axes.plot(law["blocks"][chosen] / depth, depth, "w-", lw=1.5)
    axes.plot(law["blocks"][chosen] / depth, depth, "k--", lw=1.5, label="law")
    epsilon = margin * limit["loss"][0]
    m, n = limit["of_width"][0] / (epsilon**2 * (1 - GOAL)), limit["of_depth"][0] / epsilon
    axes.plot([m, m, edges[0][-1]], [edges[1][-1], n, n], "r:", lw=1.8, label="theorem")
    axes.set(xscale="log", yscale="log", xlabel="width $M$", ylabel="layers $L$")
    axes.set_xlim(edges[0][0], edges[0][-1])
    axes.set_ylim(edges[1][0], edges[1][-1])
    axes.set_xticks(widths, [f"{w:.0f}" for w in widths])
    axes.set_yticks(layers, [f"{w:.0f}" for w in layers])
    axes.minorticks_off()
    axes.legend(fontsize=6, loc="lower left", frameon=True)
    label = rf"$P(E \leq {1 + margin:g}\, E_\infty)$"
    figure.colorbar(image, ax=axes, label=label, pad=0.02)


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


def main(argv: list[str] | None = None) -> int:
    data = folder("size_for_loss", __doc__, argv)
    save(draw(data), data, "size_for_loss")
    return 0


if __name__ == "__main__":
    sys.exit(main())
