"""Figure: networks with shared initial weights stay discretisations of a neural ODE.

a: largest jump between neighbouring layers against L, early and late, with slope -1. b: distance of
the trained weights to the deep reference and to the limit. Data: validation/depth_limit.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, guide, outside, pick, powers, script, style
from matplotlib.figure import Figure

MARKS = {"V": ("o", "C0"), "W": ("s", "C1")}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    jumps, depths = (columns(data / f"{name}.csv") for name in ("jumps", "depths"))
    last = int(jumps["step"].max())
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        for number, step in enumerate((max(last // 5, 1), last)):
            of, fill = pick(jumps, step=step), f"C{number}" if step == last else "none"
            for name, (mark, _) in MARKS.items():
                how = {"color": f"C{number}", "mfc": fill, "label": f"${name}$, step {step}"}
                left.loglog(of["layers"], of[name], mark, **how)
        for name, (mark, colour) in MARKS.items():
            how = {"color": colour, "mfc": "none", "label": f"${name}$"}
            right.loglog(depths["layers"], depths[f"deep_{name}"], mark, **how)
            right.loglog(depths["layers"], depths[f"limit_{name}"], "-", color=colour, lw=0.8)
        right.plot([], [], "ko", mfc="none", label="to deep network")
        right.plot([], [], "k-", lw=0.8, label="to limit")
        _slope(left, jumps["layers"], 1.5 * jumps["V"].max(), r"$\max_k |Z_{k+1} - Z_k|$")
        _slope(right, depths["layers"], 2 * depths["limit_V"][0], "distance of trained weights")
    return figure


def _slope(axes, layers, start: float, label: str) -> None:
    """Order one in L."""
    layers = np.unique(layers)
    guide(axes, layers, start, -1.0, "slope $-1$")
    powers(axes.xaxis, layers)
    axes.set(xlabel="layers $L$", ylabel=label)
    outside(axes)


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
