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
from drawing import DASHES, PAGE, columns, guide, pick, script, sizes, style, ticks
from matplotlib.figure import Figure

import mfpde


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    names = ("depth", "gaps", "descent", "networks")
    depth, gaps, plain, networks = (columns(data / f"{name}.csv") for name in names)
    limit = mfpde.Solution.load(data / "limit.h5")
    shapes = {*zip(gaps["layers"].astype(int), gaps["width"].astype(int), strict=True)}
    with style() as plt:
        figure, ((zero, apart), (width, alone)) = plt.subplots(2, 2, figsize=(PAGE, 4.6))
        zero.loglog(limit.s[1:], limit.loss[1:], color="k", lw=1.8, label="limit")
        for number, (n, m) in enumerate(sorted(shapes, key=lambda one: (one[0] * one[1], one))):
            run, of = columns(data / f"to_zero_{n}_{m}.csv"), pick(gaps, layers=n, width=m)
            how = {"color": f"C{number}", "ls": DASHES[number % len(DASHES)], "lw": 0.9}
            zero.loglog(
                run["s"][1:], run["loss"][1:], label=rf"$L \times M = {n} \times {m}$", **how
            )
            apart.loglog(of["s"], of["unseen"], **how)
        late = np.flatnonzero(plain["s"] >= 1)
        some = late[np.unique(np.geomspace(1, late.size, 14).astype(int)) - 1]
        zero.loglog(plain["s"][some], plain["loss"][some], "k.", ms=4, label="gradient descent")
        zero.set(xlabel="training time $s$", ylabel="loss $E$", ylim=(1e-13, 2))
        apart.loglog(of["s"], of["uncertain"], "k:", label="uncertainty of the limit")
        apart.set(xlabel="training time $s$", ylabel="distance to the limit, new inputs")
        sizes(width, networks, "error", "output error", lift=1.6, form="sum")
        alone.loglog(depth["layers"], depth["error"], "o-", color="C1", label="measured")
        guide(alone, depth["layers"], 1.3 * depth["error"][0], -1.0, "slope $-1$")
        alone.set(xlabel="layers $L$", ylabel="output error in depth alone")
        ticks(alone.xaxis, depth["layers"])
        for axes in (zero, apart, width, alone):
            axes.legend(fontsize=6)
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
