"""Blocks that move in depth: losses, exchanges, and the paths of blocks in depth and parameter.

Top: the loss with fixed depths, in the joint flow and under the published reordering, for blocks
that start in the wrong order and for blocks of one kind. Bottom left: paths of blocks in (t, u)
from the ring to the dot, steep blocks (u > 0) passing flat ones (u < 0). Bottom right: exchanged
pairs, and the displacement of the depth marginal, over training time.
Draws from the files of ``validation/joint_flow.py``, which is run where they are absent.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from drawing import DASHES, PAGE, columns, folder, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOWS = ("fixed", "joint", "reordering")


def series(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """For each flow its columns."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "flow"]
    return {
        flow: {
            name: np.array([float(row[name]) for row in rows if row["flow"] == flow])
            for name in names
        }
        for flow in FLOWS
    }


def losses(axes: Axes, found: dict[str, dict[str, np.ndarray]], title: str) -> None:
    for (flow, run), dash in zip(found.items(), DASHES, strict=False):
        axes.loglog(run["s"][1:], run["loss"][1:], ls=dash, label=flow)
    axes.set(xlabel="training time $s$", ylabel=r"loss $E(\rho_s)$", title=title)
    axes.legend()


def paths(axes: Axes, moved: dict[str, np.ndarray]) -> None:
    for block in np.unique(moved["block"]):
        here = moved["block"] == block
        t, u = moved["t"][here], moved["u"][here]
        steep = u[0] > 0
        color = "C0" if steep else "C1"
        axes.plot(t, u, color=color, lw=0.5, ls="-" if steep else "--", alpha=0.6)
        axes.plot(t[0], u[0], "o", ms=2.5, mfc="white", mec=color, mew=0.6)
        axes.plot(t[-1], u[-1], "o", ms=2.5, color=color, mew=0)
    axes.set(xlabel="depth $t$", ylabel="$u$", xlim=(-0.03, 1.03))


def motion(axes: Axes, found: dict[str, dict[str, np.ndarray]]) -> None:
    for flow, color in (("joint", "C1"), ("reordering", "C2")):
        run = found[flow]
        axes.semilogx(run["s"][1:], run["exchanged"][1:], color=color, label=f"pairs, {flow}")
        axes.semilogx(
            run["s"][1:], run["marginal"][1:], color=color, ls="--", label=f"marginal, {flow}"
        )
    axes.set(xlabel="training time $s$", ylabel="share exchanged; $W_1$ of marginal", ylim=(0, 1.1))
    axes.legend(ncols=2)


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    wrong, kind = (series(data / f"{name}.csv") for name in ("wrong_order", "one_kind"))
    with style() as plt:
        page, ((first, second), (third, fourth)) = plt.subplots(2, 2, figsize=(PAGE, 4.6))
        losses(first, wrong, "blocks in the wrong order")
        losses(second, kind, "blocks of one kind")
        paths(third, columns(data / "wrong_order_paths.csv"))
        motion(fourth, wrong)
    return page


def main(argv: list[str] | None = None) -> int:
    data = folder("joint_flow", __doc__, argv)
    save(draw(data), data, "joint_flow")
    return 0


if __name__ == "__main__":
    sys.exit(main())
