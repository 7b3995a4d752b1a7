"""Figure: the velocity in depth, its error over the number of blocks, and what follows from it.

a: relative error of the averaged derivative, i.i.d. and Sobol blocks; dotted, slopes -1/3 and -1.
b: distance of the fall of the loss from the dissipation, and how far the depth marginal moves
beside the blocks. Data: validation/joint_velocity.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from drawing import PAGE, columns, guide, powers, script, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def errors(axes: Axes, found: dict[str, np.ndarray]) -> None:
    n = found["n"]
    for name, label, mark, slope in (
        ("iid", "i.i.d.", "s--", -1 / 3),
        ("sobol", "Sobol", "o-", -1.0),
    ):
        axes.loglog(n, found[name], mark, ms=3, label=label)
        shown = "slope $-1$" if slope == -1 else "slope $-1/3$"
        guide(axes, n, 1.4 * found[name][0], slope, shown, dash=":" if slope == -1 else "-.")
    axes.set(xlabel="blocks $n$", ylabel=r"relative error of $\partial_t V$")
    axes.legend()
    powers(axes.xaxis, n)


def balances(axes: Axes, found: dict[str, np.ndarray]) -> None:
    n = found["n"]
    gap = np.abs(found["fall/dissipation"] - 1.0)
    axes.loglog(n, gap, "o-", ms=3, label=r"$|$fall / dissipation $-\,1|$")
    share = found["marginal moved"] / found["blocks moved"]
    axes.loglog(n, share, "s--", ms=3, label="marginal moved / blocks moved")
    axes.set(xlabel="blocks $n$", ylabel="share", ylim=(None, 3.0))
    axes.legend(loc="upper right")
    axes.set_xticks(n, [f"{count:.0f}" for count in n])
    axes.xaxis.minorticks_off()


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with style() as plt:
        page, panels = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        errors(panels[0], columns(data / "error.csv"))
        balances(panels[1], columns(data / "runs.csv"))
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
