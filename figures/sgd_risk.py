"""Figure: one-pass SGD against the flow: risk, distance over its bound, distance of outputs.

Data: validation/sgd_risk.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, columns, guide, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    risk, apart = columns(data / "risk.csv"), columns(data / "apart.csv")
    count, rate = apart["N"], apart["1/e"]
    lines = {
        r"$\varepsilon = 1/N$": (count == rate, count, "ko-"),
        rf"$\varepsilon = 1/{rate.max():.0f}$": (rate == rate.max(), count, "C0s--"),
        rf"$N = {count.max():.0f}$, over $1/\varepsilon$": (count == count.max(), rate, "C1^:"),
    }
    with style() as plt:
        page, axes = plt.subplots(1, 3, figsize=(PAGE, 2.3))
        left, middle, right = axes
        for number, name in enumerate(name for name in risk if name not in ("s", "flow")):
            how = {"color": f"C{number}", "ls": DASHES[1 + number % 4], "label": f"$N={name[1:]}$"}
            left.plot(risk["s"], risk[name], **how)
        left.plot(risk["s"], risk["flow"], "k-", lw=0.8, label="flow")
        left.set(xlabel="training time $s$", ylabel="risk, mean over networks", ylim=(0.0, 1.0))
        left.legend(ncols=2)
        for name, (rows, size, mark) in lines.items():
            middle.semilogx(size[rows], apart["ratio"][rows], mark, ms=4, label=name)
        middle.set(xlabel="$N$, or $1/\\varepsilon$", ylabel="$\\sup_s |R_N - R|$ over its bound")
        middle.set_ylim(0.0, None)
        middle.legend()
        both = count == rate
        right.loglog(count[both], apart["outputs"][both], "ko", ms=4)
        guide(right, count[both], apart["outputs"][both][0], -0.5, "slope $-1/2$")
        right.set(xlabel="units $N = 1/\\varepsilon$", ylabel="RMS distance of outputs")
        right.set_ylim(0.03, 1.0)
        right.legend()
        for one in (middle, right):
            powers(one.xaxis, np.unique(count), base=4)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
