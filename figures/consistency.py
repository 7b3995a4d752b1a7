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
from drawing import DASHES, PAGE, above, by, columns, means, pick, script, sizes, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    rows, growth = columns(data / "distances.csv"), columns(data / "expansion.csv")
    layers, s = rows["layers"].max(), growth["s"]
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.9))
        for number, (width, of) in enumerate(by(pick(rows, layers=layers), "width")):
            color, label = f"C{number}", f"$M={width:.0f}$"
            times, far = means(of, "network", "s")
            left.plot(times, far, "-", label=label, color=color)
            left.plot(*means(of, "samples", "s"), "o", mfc="none", ms=4, color=color)
            left.plot(times[1:], means(of, "same_index", "s")[1][1:], "--", color=color)
            right.plot(times, far / far[0], color=color, ls=DASHES[number], label=label)
        left.plot([], [], "k-", label="network to limit")
        left.plot([], [], "ko", mfc="none", label="samples to limit")
        left.plot([], [], "k--", label="same index")
        sizes(middle, pick(rows, s=rows["s"].max()), "same_index", "same-index distance at the end")
        right.plot(s, np.exp(growth["integral"]), "k-", label=r"$e^{\int\Lambda}$")
        right.plot(s, np.exp(growth["rate"].max() * s), "k:", label="$e^{Cs}$")
        right.set_ylim(0.8, 10 * np.exp(growth["integral"][-1]))
        for axes, label in (
            (left, f"COT distance, $L={layers:.0f}$"),
            (right, "growth of the distance"),
        ):
            axes.set(yscale="log", xlabel="training time $s$", ylabel=label)
        for axes in (left, middle, right):
            above(axes)
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
