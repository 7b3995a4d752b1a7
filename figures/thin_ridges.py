"""Figure: error of E(100) on thin ridges against the processor time it takes.

Dotted: one per cent. Data: validation/thin_ridges.py.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from drawing import COLUMN, outside, script, style
from matplotlib.figure import Figure

MARKS = {"Sobol": ("o", "C1"), "moving": ("s", "C0"), "fixed": ("^", "0.35")}
NAMES = {"Sobol": "Sobol particles", "moving": "moving grid", "fixed": "fixed grid"}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with (data / "late.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with style() as plt:
        page, axes = plt.subplots(figsize=(COLUMN, 2.4))
        for kind, (mark, color) in MARKS.items():
            found = [row for row in rows if kind in row["method"]]
            x = [float(row["processor seconds"]) for row in found]
            y = [float(row["relative error"]) for row in found]
            axes.loglog(x, y, mark, color=color, label=NAMES[kind])
        axes.axhline(0.01, color="0.45", lw=0.8, ls=":", label="1 %")
        axes.set(xlabel="processor time (seconds)", ylabel="relative error of $E(100)$")
        seconds = [float(row["processor seconds"]) for row in rows]
        axes.set_xlim(0.5 * min(seconds), 10 ** np.ceil(np.log10(max(seconds)) + 0.1))
        outside(axes)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
