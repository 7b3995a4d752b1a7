"""Figure: from feature learning to lazy training, as limit curves over the scale alpha.

Left: how far weights move, beside their size. Middle: how far the features' kernel moves, and the
outputs' distance to the lazy ones. Right: the error of networks. Lines: the limit with its bars;
marks: networks. Data: validation/phase_diagram.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, guide, script, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def curve(axes: Axes, rows: dict[str, np.ndarray], name: str, **how: str) -> None:
    """A limit curve with its bars."""
    low = np.minimum(rows[f"{name}_error"], 0.9 * rows[name])  # a bar to zero has no logarithm
    axes.errorbar(rows["alpha"], rows[name], [low, rows[f"{name}_error"]], capsize=2, **how)


def marks(axes: Axes, rows: dict[str, np.ndarray], name: str) -> None:
    """Networks of every shape."""
    pairs = np.stack([rows["layers"], rows["width"]], axis=1)
    for number, (layers, width) in enumerate(np.unique(pairs, axis=0)):
        keep = np.all(pairs == (layers, width), axis=1)
        label = f"networks $L={layers:.0f}$, $M={width:.0f}$"
        axes.plot(rows["alpha"][keep], rows[name][keep], "os"[number % 2], color=f"C{number + 1}",
                  mfc="none", label=label)  # fmt: skip


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    limit, networks = columns(data / "limit.csv"), columns(data / "networks.csv")
    lazy = limit["alpha"][limit["alpha"] >= 8]
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.4))
        curve(left, limit, "weights", color="k", label="limit")
        marks(left, networks, "weights")
        curve(middle, limit, "features", color="k", label="features")
        curve(middle, limit, "outputs", color="0.5", ls="--", label="outputs to lazy ones")
        marks(middle, networks, "features")
        marks(right, networks, "outputs")
        for axes, name, slope in ((left, "weights", -1), (middle, "features", -2)):
            at = 0.6 * limit[name][limit["alpha"] >= 8][0]
            guide(axes, lazy, at, slope, f"slope ${slope}$")
        guide(right, lazy, 2.0 * networks["outputs"].min(), 1, "slope $1$")
        labels = ("change of weights", "change of features, outputs", "output error of networks")
        for axes, label in zip((left, middle, right), labels, strict=True):
            axes.set(xscale="log", yscale="log", xlabel=r"scale $\alpha$", ylabel=label)
            axes.legend(fontsize=6)
    return figure


main = script(__doc__, draw)
if __name__ == "__main__":
    sys.exit(main())
