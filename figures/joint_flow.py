"""Figure: blocks that move in depth, their losses, exchanges and paths.

a, b: the loss with fixed depths, in the joint flow and under the published reordering, for blocks
that start in the wrong order and for blocks of one kind. c: paths of blocks in (t, u) from the ring
to the dot, steep blocks (u > 0) passing flat ones (u < 0). d: exchanged pairs; e: displacement of
the depth marginal. Data: validation/joint_flow.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, by, columns, outside, pick, script, style
from matplotlib.figure import Figure

from mfpde import plots

FLOWS = ("fixed", "joint", "reordering")


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    wrong, kind = (columns(data / f"{name}.csv") for name in ("wrong_order", "one_kind"))
    with style() as plt:
        page = plt.figure(figsize=(PAGE, 4.4))
        top, bottom = page.subfigures(2, 1)
        (left, right), (moves, *below) = top.subplots(1, 2), bottom.subplots(1, 3)
        first = left, wrong, "in the wrong order"
        for axes, rows, order in (first, (right, kind, "of one kind")):
            _series(axes, rows, "loss", r"loss $E(\rho_s)$", FLOWS)
            axes.set(yscale="log", title=f"blocks {order}")
        outside(right)
        _series(below[0], wrong, "exchanged", "share of pairs exchanged", FLOWS[1:])
        _series(below[1], wrong, "marginal", "$W_1$ of depth marginal to uniform", FLOWS[1:])
        below[0].legend()
        plt.setp(below, ylim=(0.0, None))
        moved = by(columns(data / "wrong_order_paths.csv"), "block")
        ways = np.array([[of["t"], of["u"]] for _, of in moved]).transpose(0, 2, 1)
        steep = ways[:, 0, 1] > 0
        for some, color, name in ((steep, "C0", "steep"), (~steep, "C1", "flat")):
            plots.ways(ways[some], color=color, size=5.0, alpha=0.6, ax=moves)
            moves.text(0.5, ways[some, 0, 1].mean() / 3, name, color=color)
        moves.set(xlabel="depth $t$", ylabel="$u$", xlim=(-0.03, 1.03))
    return page


def _series(axes, rows, name: str, label: str, flows: tuple[str, ...]) -> None:
    for flow in flows:
        run, number = pick(rows, flow=flow), FLOWS.index(flow)
        axes.semilogx(run["s"][1:], run[name][1:], f"C{number}", ls=DASHES[number], label=flow)
    axes.set(xlabel="training time $s$", ylabel=label)


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
