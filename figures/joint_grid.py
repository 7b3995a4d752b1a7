"""Figure: the joint flow by blocks and on a grid in (t, θ), refined together.

Data: validation/joint_grid.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import COLUMN, columns, guide, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    rows = columns(data / "grids.csv")
    with style() as plt:
        page, axes = plt.subplots(figsize=(COLUMN, 2.3))
        axes.loglog(rows["cells"], rows["difference"], "o-", label="measured")
        guide(axes, rows["cells"], 1.3 * rows["difference"][0], -2.0, "slope $-2$")
        axes.set_xticks(rows["cells"], [f"{n:.0f}" for n in rows["cells"]])
        axes.xaxis.minorticks_off()
        axes.set(xlabel="cells in depth", ylabel=r"$|E_{\mathrm{grid}} - E_{\mathrm{blocks}}|$")
        axes.legend()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
