"""Figure: finite networks against the limit on real data, under minibatches.

a: output error against LM with the fit. b: the bound of COT between networks and samples of the
limit. c: accuracy on unseen images against LM, beside the limit's. Data: validation/real_data.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, by_shape, columns, powers, script, sizes, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    rows, limit = (columns(data / f"{name}.csv") for name in ("networks", "limit"))
    with style() as plt:
        figure, axes = plt.subplots(1, 3, figsize=(PAGE, 2.4))
        sizes(axes[0], rows, "error", "output error", lift=1.5)
        sizes(axes[1], rows, "distance", "COT distance to samples", lift=1.5)
        _accuracy(axes[2], rows, limit)
    return figure


def _accuracy(axes, rows, limit) -> None:
    shapes, found = by_shape(rows, "accuracy")
    for number, layers in enumerate(np.unique(shapes[:, 0])):
        keep = shapes[:, 0] == layers
        how = {"color": f"C{number}", "mfc": "none", "label": f"$L={layers:.0f}$"}
        axes.semilogx(
            shapes[keep].prod(axis=1), found[keep].mean(axis=1), "os^Dv"[number % 5], **how
        )
    axes.axhline(limit["accuracy"].mean(), color="0.2", lw=0.8, label="limit")
    axes.set(xlabel="blocks $LM$", ylabel="accuracy on unseen images")
    powers(axes.xaxis, shapes.prod(axis=1))
    axes.legend()


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
