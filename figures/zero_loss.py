"""Figure: zero loss on real digits, and finite networks going there with the limit.

a: loss of the limit (black) and of networks over training time by the implicit method, and of one
network by gradient descent (dots). b: distance of their outputs to the limit's on inputs between
the data, and what the limit's own are uncertain by (dotted). c: output error of networks at one
time against LM, with the fit a/L + b/sqrt(LM) (thin) and slope -1/2. d: error in depth alone
against L with slope -1. Data: validation/zero_loss.py.
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
    gaps = columns(data / "gaps.csv")
    with style() as plt:
        figure, ((zero, apart), (width, right)) = plt.subplots(2, 2, figsize=(PAGE, 4.6))
        _losses(zero, data, limit, gaps)
        _gaps(apart, gaps)
        _width(width, *by_shape(columns(data / "networks.csv"), "error"))
        right.loglog(depth["layers"], depth["error"], "o-", color="C1", label="measured")
        guide(right, depth["layers"], 1.3 * depth["error"][0], -1.0, "slope $-1$")
        right.set(xlabel="layers $L$", ylabel="output error in depth alone")
        right.set_xticks(depth["layers"], [f"{layers:.0f}" for layers in depth["layers"]])
        right.xaxis.minorticks_off()
        right.legend()
    return figure


def _shapes(gaps) -> list[tuple[int, int]]:
    """(L, M) of the networks that go to zero loss, by their blocks."""
    pairs = {(int(a), int(b)) for a, b in zip(gaps["layers"], gaps["width"], strict=True)}
    return sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair))


def _look(number: int) -> dict:
    return {"color": f"C{number}", "ls": DASHES[number % len(DASHES)], "lw": 0.9}


def _losses(axes: Axes, data: Path, limit: mfpde.Solution, gaps) -> None:
    """One line for each network, thicker for the limit."""
    axes.loglog(limit.s[1:], limit.loss[1:], color="k", lw=1.8, label="limit")
    for number, (layers, width) in enumerate(_shapes(gaps)):
        line = columns(data / f"to_zero_{layers}_{width}.csv")
        label = rf"$L \times M = {layers} \times {width}$"
        axes.loglog(line["s"][1:], line["loss"][1:], label=label, **_look(number))
    plain = columns(data / "descent.csv")
    late = plain["s"] >= 1
    every = np.unique(np.geomspace(1, late.sum(), 14).astype(int)) - 1
    dots = {"color": "k", "ls": "", "marker": ".", "ms": 4, "label": "gradient descent"}
    axes.loglog(plain["s"][late][every], plain["loss"][late][every], **dots)
    axes.set(xlabel="training time $s$", ylabel="loss $E$", ylim=(1e-13, 2))
    axes.legend(fontsize=6, loc="lower left")


def _gaps(axes: Axes, gaps) -> None:
    for number, shape in enumerate(_shapes(gaps)):
        keep = (gaps["layers"] == shape[0]) & (gaps["width"] == shape[1])
        axes.loglog(gaps["s"][keep], gaps["unseen"][keep], **_look(number))
    axes.loglog(
        gaps["s"][keep],
        gaps["uncertain"][keep],
        color="k",
        ls=":",
        label="uncertainty of the limit",
    )
    axes.set(xlabel="training time $s$", ylabel="distance to the limit, new inputs")
    axes.legend(fontsize=6)


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
