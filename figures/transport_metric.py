"""Figure: optimal transport on Θ x [0,1] tends to conditional transport as depth gets dear.

Data: validation/transport_metric.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import COLUMN, columns, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    joint = columns(data / "joint.csv")
    with style() as plt:
        page, axes = plt.subplots(figsize=(COLUMN, 2.3))
        axes.axhline(1.0, color="0.5", lw=0.6)
        axes.semilogx(joint["beta"], joint["ratio"], "o-", color="C3", label=r"$W_\beta$ / COT")
        axes.set(xlabel=r"price of depth $\beta$", ylabel=r"$W_\beta\,/\,$COT", ylim=(0, 1.08))
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
