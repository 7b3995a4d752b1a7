"""Figure: traps that differ by depth, and the fall of E when one block of a trap is replaced.

Left: the stationarity residual by depth. Right: n times the fall of E over the residual, against
the number n of blocks. Data: validation/depth_traps.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import PAGE, columns, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        for name, marker in (("compressing", "o-"), ("dead", "s--")):
            found = columns(data / f"{name}.csv")
            left.plot(found["t"], found["residual"], marker, ms=3, label=name)
        left.set(xlabel="depth $t$", ylabel=r"$\int V\,d\rho_t-\inf V$")
        left.set_ylim(bottom=0.0)
        left.legend()
        found = columns(data / "replaced.csv")
        right.semilogx(found["blocks"], found["fall"] / found["residual"], "ko-", ms=3)
        right.axhline(1.0, color="k", lw=0.5)
        right.set(xlabel="blocks $n$", ylabel=r"$n\,\Delta E$ over residual", ylim=(0.0, 1.1))
        powers(right.xaxis, found["blocks"], 2)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
