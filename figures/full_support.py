"""Figure: E at the end against the support that is left, and the way out at every depth.

Left: one point for each barrier, fixed and free depth. Right: the stationarity residual by depth
behind the tightest barrier, over the walls' inside and over [−2, 2]². Data:
validation/full_support.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import PAGE, columns, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    ends, found = columns(data / "ends.csv"), columns(data / "residuals.csv")
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        for free, marker, label in ((0, "o", "fixed depth"), (1, "s", "free depth")):
            of = ends["free"] == free
            how = {"marker": marker, "ls": "", "mfc": "none" if free else None, "label": label}
            left.semilogy(ends["support"][of], ends["E"][of], **how)
        left.set(xlabel="share of cells that hold mass", ylabel=r"loss $E$ at the end")
        left.legend()
        right.plot(found["t"], found["everywhere"], "o-", label=r"over $[-2,2]^2$")
        right.plot(found["t"], found["inside"], "s--", label="within the walls")
        right.set(xlabel="depth $t$", ylabel=r"$\int V\,d\rho_t-\inf V$")
        right.set_ylim(bottom=-0.02)
        right.legend()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
