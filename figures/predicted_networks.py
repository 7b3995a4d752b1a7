"""Figure: finite networks predicted from the limit, against networks that are trained.

a: predicted over measured standard deviation of the outputs over the blocks that fluctuations go
down with, LM for independent layers (circles), M for tied ones (squares), filled where the
prediction trusts itself. b: share of losses inside the predicted 95 % band. Grey: two standard
errors. c: the measured deviation of the sine's outputs over depth, which helps independent layers
alone; lines are predictions. Data: validation/predicted_networks.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, by, columns, expected, pick, powers, script, style
from matplotlib.figure import Figure

MARKS = {"independent": ("o", "C0"), "tied": ("s", "C1")}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    rows = columns(data / "networks.csv")
    rows["blocks"] = rows["width"] * np.where(rows["coupling"] == "tied", 1.0, rows["layers"])
    error, spread = np.sqrt(np.array([2.0, 4 * 0.95 * 0.05]) / rows["networks"][0])
    width = np.quantile(np.unique(rows["width"]), 0.5, method="nearest")
    with style() as plt:
        figure, (left, share, right) = plt.subplots(1, 3, figsize=(PAGE, 2.3))
        for number, (problem, of) in enumerate(by(rows, "problem")):
            how = {"color": f"C{number}", "ms": 3}
            left.plot([], [], "d", label=problem, **how)
            for (coupling, trusted), one in by(of, "coupling", "trusted"):
                ratio, mark = one["predicted"] / one["measured"], MARKS[coupling][0]
                how["fillstyle"] = "full" if trusted else "none"
                left.semilogx(one["blocks"], ratio, mark, **how)
        sine = pick(rows, problem="sine", s=rows["s"].max(), width=width)
        for coupling, (mark, color) in MARKS.items():
            how = {"color": color, "label": coupling}
            of, one = pick(rows, coupling=coupling, trusted=1.0), pick(sine, coupling=coupling)
            share.semilogx(of["blocks"], of["covered"], mark, ms=3, color=color)
            right.loglog(one["layers"], one["measured"], mark, ms=4, **how)
            right.loglog(one["layers"], one["predicted"], color=color)
        expected(left, 1.0, error)
        expected(share, 0.95, spread)
        for axes, label in ((left, "predicted / measured"), (share, "losses in the 95 % band")):
            axes.set(xlabel="$LM$ (independent), $M$ (tied)", ylabel=label)
            powers(axes.xaxis, rows["blocks"])
        left.legend()
        right.set(xlabel="layers $L$", ylabel=rf"deviation, sine, $M={width:g}$")
        right.legend()
        powers(right.xaxis, sine["layers"], 2)
        powers(right.yaxis, sine["measured"], 2)
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
