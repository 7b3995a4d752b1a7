"""Figure: networks with shared initial weights stay discretisations of a neural ODE.

a: largest jump between neighbouring layers against L, early and late, with slope -1. b: distance of
the trained weights to the deep reference and to the limit. Data: validation/depth_limit.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, guide, outside, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    jumps, depths = (columns(data / f"{name}.csv") for name in ("jumps", "depths"))
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        _jumps(left, jumps)
        _distances(right, depths)
    return figure


def _jumps(axes, jumps) -> None:
    last = int(jumps["step"].max())
    for number, step in enumerate((max(last // 5, 1), last)):
        keep = jumps["step"] == step
        for name, mark in (("V", "o"), ("W", "s")):
            fill = f"C{number}" if step == last else "none"
            label = f"${name}$, step {step}"
            axes.loglog(
                jumps["layers"][keep],
                jumps[name][keep],
                mark,
                color=f"C{number}",
                mfc=fill,
                label=label,
            )
    layers = np.unique(jumps["layers"])
    guide(axes, layers, 1.5 * jumps["V"].max(), -1.0, "slope $-1$")
    powers(axes.xaxis, layers)
    axes.set(xlabel="layers $L$", ylabel=r"$\max_k |Z_{k+1} - Z_k|$")
    outside(axes)


def _distances(axes, depths) -> None:
    layers = depths["layers"]
    for name, mark, colour in (("V", "o", "C0"), ("W", "s", "C1")):
        how = {"color": colour, "mfc": "none", "label": f"${name}$"}
        axes.loglog(layers, depths[f"deep_{name}"], mark, **how)
        axes.loglog(layers, depths[f"limit_{name}"], "-", color=colour, lw=0.8)
    axes.plot([], [], "ko", mfc="none", label="to deep network")
    axes.plot([], [], "k-", lw=0.8, label="to limit")
    guide(axes, layers, 2 * depths["limit_V"][0], -1.0, "slope $-1$")
    powers(axes.xaxis, layers)
    axes.set(xlabel="layers $L$", ylabel="distance of trained weights")
    outside(axes)


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
