"""Figure: Lipschitz constant in depth before and after training, over the refinement of depth.

Open marks: start; filled: trained. Data: validation/depth_regularity.py.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from drawing import COLUMN, outside, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with (data / "regularity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with style() as plt:
        page, axes = plt.subplots(figsize=(COLUMN, 2.4))
        for number, name in enumerate(("jumping", "turning", "constant")):
            here = [row for row in rows if row["start"] == name]
            steps = [float(row["steps"]) for row in here]
            how = {"color": f"C{number}", "marker": "os^"[number]}
            after = [float(row["lipschitz"]) for row in here]
            axes.loglog(steps, after, label=f"{name}, trained", **how)
            before = [float(row["lipschitz_0"]) for row in here]
            if min(before) > 0:
                axes.loglog(steps, before, mfc="none", ls=":", label=f"{name}, start", ms=6, **how)
        axes.set(
            xlabel="steps in depth", ylabel=r"$\max_t\,W_2(\rho_t,\rho_{t+\delta})\,/\,\delta$"
        )
        powers(axes.xaxis, steps, base=2)
        outside(axes)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
