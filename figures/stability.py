"""Figure: how far two flows from close starts part, beside the bound.

Data: validation/stability.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import COLUMN, DASHES, columns, outside, script, style
from matplotlib.figure import Figure

NAMES = ("eigenvector", "shift", "noise", "scale")


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    found = columns(data / "growth.csv")
    with style() as plt:
        page, axes = plt.subplots(figsize=(COLUMN, 2.4))
        axes.semilogy(found["s"], np.exp(found["bound"]), "k-", label=r"$e^{\int\Lambda}$")
        for number, name in enumerate(NAMES):
            how = {"ls": DASHES[number], "marker": "os^D"[number], "ms": 2.5, "label": name}
            axes.semilogy(found["s"], np.exp(found[name]), **how)
        axes.set(xlabel="training time $s$", ylabel="growth of COT")
        outside(axes)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
