"""Figure: two-layer linear networks, their certified rates and their width.

a: white starts alpha Id; dashed, the certified rate. b: one pair of entries of the identity scaled
by r. c: networks of n neurons, five draws each, and the population. Data:
validation/linear_networks.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, outside, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    found, runs = columns(data / "closure.csv"), columns(data / "widths.csv")
    with style() as plt:
        page, (a, b, c) = plt.subplots(1, 3, figsize=(PAGE, 2.3), sharey=True)
        for axes, family, name in ((a, 0, r"\alpha"), (b, 1, "r")):
            values = np.unique(found["value"][found["family"] == family])
            for number, value in enumerate(values):
                of = (found["family"] == family) & (found["value"] == value)
                s, loss = found["s"][of], found["loss"][of]
                colour = plt.cm.viridis(0.9 * number / max(1, len(values) - 1))
                label = (
                    f"${name}={value:g}$" if number in (0, len(values) - 1) or not family else None
                )
                axes.semilogy(s, loss, color=colour, label=label)
                bound = loss[0] * np.exp(-2.0 * found["gap"][of] * s)
                if not family:
                    axes.semilogy(s, bound, "--", color=colour, lw=0.8)
            if not family:
                axes.plot([], [], "k--", lw=0.8, label="certified")
            axes.legend(fontsize=6)
        widths = np.unique(runs["n"])
        for number, n in enumerate(widths):
            for seed in np.unique(runs["seed"]):
                of = (runs["n"] == n) & (runs["seed"] == seed)
                label = f"$n={n:g}$" if seed == 0 else None
                c.semilogy(runs["s"][of], runs["loss"][of], color=f"C{number}", lw=0.7, label=label)
        one = (found["family"] == 0) & (found["value"] == 1.0)
        c.semilogy(found["s"][one], found["loss"][one], "k--", label="population")
        outside(c)
        a.set(ylabel="loss gap", ylim=(1e-11, 10.0))
        for axes in (a, b, c):
            axes.set_xlabel("training time $s$")
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
