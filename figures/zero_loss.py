"""Figure: zero loss on real digits, and finite networks collapsing on the limit.

Left: loss of the limit over training time (implicit, ten decades), with the mean loss of every
finite network. Middle: output error of the networks against LM, with the fit
a/L + b/sqrt(LM) (thin) and slope -1/2. Right: error in
depth alone against L with slope -1. Data: validation/zero_loss.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, by_shape, columns, folder, guide, save, style

import mfpde
from mfpde.theory._finite_size import fit_finite_size


def draw(data: Path):
    """The figure, from the files of the validation script."""
    limit = mfpde.Solution.load(data / "limit.h5")
    curves, reference, depth = (
        columns(data / f"{name}.csv") for name in ("curves", "reference", "depth")
    )
    shapes, errors = by_shape(columns(data / "networks.csv"), "error")
    fit = fit_finite_size(*shapes.T, errors, resamples=2)
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(PAGE, 2.3), width_ratios=(1.25, 1, 1)
        )
        _losses(left, limit, curves, reference)
        _width(middle, shapes, np.sqrt(np.mean(errors**2, axis=1)), fit)
        right.loglog(depth["layers"], depth["error"], "o-", color="C1", label="measured")
        guide(right, depth["layers"], 1.3 * depth["error"][0], -1.0, "slope $-1$")
        right.set(xlabel="layers $L$", ylabel="output error in depth alone")
        right.set_xticks(depth["layers"], [f"{layers:.0f}" for layers in depth["layers"]])
        right.xaxis.minorticks_off()
        right.legend()
    return figure


def _losses(axes, limit, curves, reference) -> None:
    """The limit over ten decades; the networks, and the descended limit, in the inset."""
    axes.plot(limit.s[1:], limit.loss[1:], color="k", lw=1.3, label="limit")
    inset = axes.inset_axes((0.14, 0.12, 0.42, 0.46))
    for number, width in enumerate(np.unique(curves["width"])):
        for layers in np.unique(curves["layers"]):
            keep = (curves["width"] == width) & (curves["layers"] == layers) & (curves["s"] > 0)
            label = f"$M={width:.0f}$" if layers == curves["layers"].min() else None
            how = {"color": f"C{number}", "ls": DASHES[number % len(DASHES)], "lw": 0.6}
            inset.plot(curves["s"][keep], curves["loss"][keep], label=label, **how)
    last = curves["s"].max()
    inset.plot(reference["s"], reference["loss"], color="k", lw=1.3)
    inset.set_xlim(0.4 * last, last)
    inset.set_ylim(0.97 * curves["loss"].min(), curves["loss"][curves["s"] > 0.4 * last].max())
    inset.tick_params(labelsize=5, pad=1)
    axes.set(xscale="log", yscale="log", xlabel="training time $s$", ylabel="loss $E$")
    handles = [*axes.get_legend_handles_labels()[0], *inset.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="upper right", fontsize=6, handlelength=2.2)


def _width(axes, shapes, errors, fit) -> None:
    for number, layers in enumerate(np.unique(shapes[:, 0])):
        keep = shapes[:, 0] == layers
        size = shapes[keep].prod(axis=1)
        how = {"color": f"C{number}", "mfc": "none", "label": f"$L={layers:.0f}$"}
        axes.loglog(size, errors[keep], "os^Dv"[number % 5], **how)
        axes.loglog(size, fit(*shapes[keep].T), color=f"C{number}", lw=0.5)
    size = np.sort(shapes.prod(axis=1))
    axes.loglog(size, fit.b / np.sqrt(size), color="0.45", lw=0.8, ls=":", label="slope $-1/2$")
    axes.set(xlabel="blocks $LM$", ylabel="output error")
    axes.legend(loc="lower left", fontsize=6, handlelength=1.2)


def main(argv: list[str] | None = None) -> int:
    data = folder("zero_loss", __doc__, argv)
    save(draw(data), data, "zero_loss")
    return 0


if __name__ == "__main__":
    sys.exit(main())
