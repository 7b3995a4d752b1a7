"""Blocks that move in depth: losses, exchanges, and the paths of blocks in depth and parameter.

a, b: the loss with fixed depths, in the joint flow and under the published reordering, for blocks
that start in the wrong order and for blocks of one kind. c: paths of blocks in (t, u) from the ring
to the dot, steep blocks (u > 0) passing flat ones (u < 0). d: exchanged pairs; e: displacement of
the depth marginal. Data: validation/joint_flow.py.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from drawing import DASHES, PAGE, columns, outside, script, style

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
    for color, dash, label in (("C0", "-", "steep"), ("C1", "--", "flat")):
        axes.plot([], [], color=color, lw=0.8, ls=dash, label=label)
    axes.plot([], [], "ko", ms=2.5, mfc="white", mew=0.6, label="start")
    axes.plot([], [], "ko", ms=2.5, mew=0, label="end")
    axes.legend(loc="center", ncols=2)


def motion(axes: Axes, found: dict[str, dict[str, np.ndarray]], name: str, label: str) -> None:
    for number, flow in enumerate(("joint", "reordering"), start=1):
        run = found[flow]
        axes.semilogx(run["s"][1:], run[name][1:], f"C{number}", ls=DASHES[number], label=flow)
    axes.set(xlabel="training time $s$", ylabel=label, ylim=(0, None))
    axes.legend()


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    wrong, kind = (series(data / f"{name}.csv") for name in ("wrong_order", "one_kind"))
    with style() as plt:
        page = plt.figure(figsize=(PAGE, 4.4))
        top, bottom = page.subfigures(2, 1)
        above, below = top.subplots(1, 2), bottom.subplots(1, 3)
        losses(above[0], wrong, "blocks in the wrong order")
        losses(above[1], kind, "blocks of one kind")
        outside(above[1])
        paths(below[0], columns(data / "wrong_order_paths.csv"))
        motion(below[1], wrong, "exchanged", "share of pairs exchanged")
        motion(below[2], wrong, "marginal", "$W_1$ of depth marginal to uniform")
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
