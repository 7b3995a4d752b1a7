"""Figure: finite networks against the limit on real data, under minibatches.

Above: output error against LM with the fit, and the bound of COT between networks and samples of
the limit. Below: noise of the minibatches in the limit against the step; accuracy on unseen images
against LM, beside the limit's. Data: validation/real_data.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, by_shape, columns, folder, guide, powers, save, sizes, style


def draw(data: Path):
    """The figure, from the files of the validation script."""
    rows, limit, noise = (columns(data / f"{name}.csv") for name in ("networks", "limit", "noise"))
    with style() as plt:
        figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.2))
        sizes(axes[0, 0], rows, "error", "output error", lift=1.5)
        sizes(axes[0, 1], rows, "distance", "COT distance to samples", lift=1.5)
        axes[1, 0].loglog(noise["step"], noise["error"], "o-", label="measured")
        guide(axes[1, 0], noise["step"], 0.5 * noise["error"][0], 0.5, "slope $1/2$")
        guide(axes[1, 0], noise["step"], 1.5 * noise["error"][0], 1.0, "slope $1$")
        axes[1, 0].lines[-1].set_linestyle("--")
        powers(axes[1, 0].xaxis, noise["step"], 2)
        axes[1, 0].set(xlabel="step $h$", ylabel="noise of minibatches")
        axes[1, 0].legend()
        _accuracy(axes[1, 1], rows, limit)
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


def main(argv: list[str] | None = None) -> int:
    data = folder("real_data", __doc__, argv)
    save(draw(data), data, "real_data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
