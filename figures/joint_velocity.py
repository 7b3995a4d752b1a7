"""The velocity in depth: its error over the number of blocks, what follows from it, its growth.

Left: relative error of the averaged derivative, i.i.d. and Sobol blocks; dotted, the slopes.
Middle: distance of the fall of the loss from the dissipation, and how far the depth marginal moves
beside the blocks. Right: growth of disturbances of the depths against the prediction k·mu/beta²,
for three windows.
Draws from the files of ``validation/joint_velocity.py``, which is run where they are absent.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from drawing import DASHES, PAGE, columns, folder, guide, powers, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def errors(axes: Axes, found: dict[str, np.ndarray]) -> None:
    n = found["n"]
    for name, label, mark, slope in (
        ("iid", "i.i.d., slope $-1/3$", "s--", -1 / 3),
        ("sobol", "Sobol, slope $-1$", "o-", -1.0),
    ):
        axes.loglog(n, found[name], mark, ms=3, label=label)
        guide(axes, n, 1.4 * found[name][0], slope, "_")
    axes.set(xlabel="blocks $n$", ylabel=r"relative error of $\partial_t V$")
    axes.legend()
    powers(axes.xaxis, n)


def balances(axes: Axes, found: dict[str, np.ndarray]) -> None:
    n = found["n"]
    gap = np.abs(found["fall/dissipation"] - 1.0)
    axes.loglog(n, gap, "o-", ms=3, label=r"$|$fall / dissipation $-\,1|$")
    share = found["marginal moved"] / found["blocks moved"]
    axes.loglog(n, share, "s--", ms=3, label="marginal moved / blocks moved")
    axes.set(xlabel="blocks $n$", ylim=(None, 3.0))
    axes.legend(loc="upper right")
    powers(axes.xaxis, n)


def rates(axes: Axes, found: dict[str, np.ndarray]) -> None:
    order = np.argsort(found["mode"])
    axes.loglog(
        found["mode"][order], found["predicted"][order], color="0.5", lw=0.8, label="predicted"
    )
    for window, mark, dash in zip(np.unique(found["window"])[::-1], "os^", DASHES, strict=False):
        here = found["window"] == window
        axes.loglog(
            found["mode"][here],
            np.maximum(found["measured"][here], 1.0),
            marker=mark,
            ms=4,
            ls=dash,
            label=f"window 1/{1 / window:.0f}",
        )
    axes.set(xlabel=r"mode $m$ of $\sin\pi m t$", ylabel="growth rate", ylim=(10, 3e6))
    axes.legend(loc="upper left")
    powers(axes.xaxis, found["mode"], base=2)


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with style() as plt:
        page, panels = plt.subplots(1, 3, figsize=(PAGE, 2.3))
        for axes, panel, name in zip(
            panels, (errors, balances, rates), ("error", "runs", "growth"), strict=True
        ):
            panel(axes, columns(data / f"{name}.csv"))
    return page


def main(argv: list[str] | None = None) -> int:
    data = folder("joint_velocity", __doc__, argv)
    save(draw(data), data, "joint_velocity")
    return 0


if __name__ == "__main__":
    sys.exit(main())
