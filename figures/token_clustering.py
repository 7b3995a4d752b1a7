"""Figure: inner products of tokens along depth beside their limit in high dimension, and waits.

Data: validation/token_clustering.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, columns, guide, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    course, dims = columns(data / "course.csv"), columns(data / "dimension.csv")
    order, waits = columns(data / "order.csv"), columns(data / "waits.csv")
    with style() as plt:
        page, (left, second, third, last) = plt.subplots(1, 4, figsize=(PAGE, 2.0))
        left.plot(course["t"], course["gamma"], "k", label=r"$\gamma$")
        for number, dim in enumerate(dims["d"].astype(int)[:3]):
            how = {"ls": DASHES[number + 1], "label": f"$d={dim}$"}
            left.plot(course["t"], course[f"d{dim}"], **how)
        left.set(xlabel="time $t$", ylabel=r"mean $\langle x_t, x_s\rangle$")
        left.legend()
        second.loglog(order["steps"], order["error"], "o", mfc="none")
        guide(second, order["steps"], order["error"][0], -4, "slope $-4$")
        second.set(xlabel="steps in depth", ylabel=r"error of $\gamma$")
        third.loglog(dims["d"], dims["deviation"], "o", mfc="none")
        guide(third, dims["d"], dims["deviation"][0], -0.5, "slope $-1/2$")
        third.set(xlabel="dimension $d$", ylabel=r"deviation from $\gamma$")
        reached = np.isfinite(waits["time"])
        last.semilogy(waits["beta"][reached], waits["time"][reached], "o-", mfc="none")
        last.set(xlabel=r"$\beta$", ylabel="median time to one cluster")
        for axes in (second, third):
            axes.legend()
        powers(second.xaxis, order["steps"], base=2)
        powers(third.xaxis, dims["d"])
        powers(third.yaxis, dims["deviation"], base=2)
        powers(last.yaxis, waits["time"][reached], base=2)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
