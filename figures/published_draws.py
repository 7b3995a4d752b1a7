"""Figure: the coefficients of width and depth for each draw of the data.

Shaded: within 25 % of the published pair. Data: validation/published_draws.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import COLUMN, columns, outside, script, style
from matplotlib.figure import Figure

A, B = 0.22, 0.15


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    draws = columns(data / "draws.csv")
    with style() as plt:
        page, axes = plt.subplots(figsize=(COLUMN, 2.4))
        box = (0.75 * A, 0.75 * B), 0.5 * A, 0.5 * B
        axes.add_patch(plt.Rectangle(*box, color="0.9", lw=0, label="published, 25 %"))
        axes.plot(draws["a"][1:], draws["b"][1:], "o", color="C0", mfc="none", label="other draws")
        axes.plot(draws["a"][0], draws["b"][0], "o", color="C0", label="draw studied")
        axes.plot(A, B, "k+", ms=8, label="published")
        axes.set(xlabel=r"$a$ of $\sqrt{D}/\sqrt{LM}$", ylabel="$b$ of $1/L$")
        axes.set_xlim(0, 1.1 * max(draws["a"].max(), 1.25 * A))
        axes.set_ylim(0, 1.1 * max(draws["b"].max(), 1.25 * B))
        outside(axes, handletextpad=0.2)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
