"""Figure: networks and limit in conditional optimal transport along training.

a: distance of networks to the limit, of samples of the limit to it (the sampling bias alone),
and the same-index distance between network and samples, at the largest L. b: the same-index
distance at the last time against LM, with its fit. c: growth of the distance to the limit,
beside what the linearised flow allows, e^{int Lambda ds}, and e^{Cs}.
Data: validation/consistency.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, columns, script, sizes, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    rows, expansion = columns(data / "distances.csv"), columns(data / "expansion.csv")
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.9))
        _along(left, rows)
        last = rows["s"] == rows["s"].max()
        end = {name: values[last] for name, values in rows.items()}
        sizes(middle, end, "same_index", "same-index distance at the end")
        middle.legend(
            fontsize=6, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.06), borderaxespad=0.0
        )
        _growth(right, rows, expansion)
    return figure


def _mean(rows, layers: float, width: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    keep = (rows["layers"] == layers) & (rows["width"] == width)
    times = np.unique(rows["s"])
    return times, np.array([rows[name][keep & (rows["s"] == s)].mean() for s in times])


def _along(axes, rows) -> None:
    layers = rows["layers"].max()
    for number, width in enumerate(np.unique(rows["width"])):
        how = {"color": f"C{number}"}
        axes.plot(*_mean(rows, layers, width, "network"), "-", label=f"$M={width:.0f}$", **how)
        axes.plot(*_mean(rows, layers, width, "samples"), "o", mfc="none", ms=4, **how)
        times, same = _mean(rows, layers, width, "same_index")
        axes.plot(times[1:], same[1:], "--", **how)
    axes.plot([], [], "k-", label="network to limit")
    axes.plot([], [], "ko", mfc="none", label="samples to limit")
    axes.plot([], [], "k--", label="same index")
    axes.set(yscale="log", xlabel="training time $s$", ylabel=f"COT distance, $L={layers:.0f}$")
    axes.legend(
        fontsize=6, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.06), borderaxespad=0.0
    )


def _growth(axes, rows, expansion) -> None:
    layers = rows["layers"].max()
    for number, width in enumerate(np.unique(rows["width"])):
        times, distance = _mean(rows, layers, width, "network")
        how = {"color": f"C{number}", "ls": DASHES[number], "label": f"$M={width:.0f}$"}
        axes.plot(times, distance / distance[0], **how)
    most = expansion["rate"].max()
    axes.plot(expansion["s"], np.exp(expansion["integral"]), "k-", label=r"$e^{\int\Lambda}$")
    axes.plot(expansion["s"], np.exp(most * expansion["s"]), "k:", label="$e^{Cs}$")
    axes.set(yscale="log", xlabel="training time $s$", ylabel="growth of the distance")
    axes.set_ylim(0.8, 10 * np.exp(expansion["integral"][-1]))
    axes.legend(
        fontsize=6, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.06), borderaxespad=0.0
    )


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
