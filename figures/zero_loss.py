"""Figure: zero loss on real digits, and finite networks collapsing on the limit.

a: loss of the limit over training time (implicit, ten decades). b: its loss under gradient descent,
beside the mean loss of every finite network at the same step. c: output error of the networks
against LM, with the fit a/L + b/sqrt(LM) (thin) and slope -1/2. d: error in depth alone against L
with slope -1. Data: validation/zero_loss.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, by_shape, columns, guide, script, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mfpde
from mfpde.theory import fit_finite_size


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    limit, depth = mfpde.Solution.load(data / "limit.h5"), columns(data / "depth.csv")
    with style() as plt:
        figure, ((zero, detail), (width, right)) = plt.subplots(2, 2, figsize=(PAGE, 4.4))
        zero.loglog(limit.s[1:], limit.loss[1:], color="k")
        zero.set(xlabel="training time $s$", ylabel="loss $E$ of the limit")
        _losses(detail, columns(data / "curves.csv"), columns(data / "reference.csv"))
        _width(width, *by_shape(columns(data / "networks.csv"), "error"))
        right.loglog(depth["layers"], depth["error"], "o-", color="C1", label="measured")
        guide(right, depth["layers"], 1.3 * depth["error"][0], -1.0, "slope $-1$")
        right.set(xlabel="layers $L$", ylabel="output error in depth alone")
        right.set_xticks(depth["layers"], [f"{layers:.0f}" for layers in depth["layers"]])
        right.xaxis.minorticks_off()
        right.legend()
    return figure


def _losses(axes: Axes, curves, reference) -> None:
    """The second half of the networks' training; one line for each L, one colour for each M."""
    last = curves["s"].max()
    for number, width in enumerate(np.unique(curves["width"])):
        for layers in np.unique(curves["layers"]):
            keep = (curves["width"] == width) & (curves["layers"] == layers)
            keep &= curves["s"] > 0.4 * last
            label = f"networks, $M={width:.0f}$" if layers == curves["layers"].min() else None
            how = {"color": f"C{number}", "ls": DASHES[number % len(DASHES)], "lw": 0.7}
            axes.plot(curves["s"][keep], curves["loss"][keep], label=label, **how)
    keep = reference["s"] > 0.4 * last
    axes.plot(reference["s"][keep], reference["loss"][keep], color="k", lw=1.3, label="limit")
    axes.set(xlabel="training time $s$", ylabel="loss $E$ under descent")
    axes.legend()


def _width(axes: Axes, shapes: np.ndarray, errors: np.ndarray) -> None:
    fit, rms = fit_finite_size(*shapes.T, errors, resamples=2), np.sqrt(np.mean(errors**2, axis=1))
    for number, layers in enumerate(np.unique(shapes[:, 0])):
        keep = shapes[:, 0] == layers
        size = shapes[keep].prod(axis=1)
        how = {"color": f"C{number}", "mfc": "none", "label": f"$L={layers:.0f}$"}
        axes.loglog(size, rms[keep], "os^Dv"[number % 5], **how)
        axes.loglog(size, fit(*shapes[keep].T), color=f"C{number}", lw=0.5)
    size = np.sort(shapes.prod(axis=1))
    guide(axes, size, 1.6 * fit.b / np.sqrt(size[0]), -0.5, "slope $-1/2$")
    axes.set(xlabel="blocks $LM$", ylabel="output error")
    axes.legend(loc="lower left")


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
