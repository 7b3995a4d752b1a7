"""Figure: linear blocks against their exact solution.

Left: error of Euler networks of L layers at s = 0.3 against the infinite-depth solution. Right:
excess loss of particles on the closure, and the bounds in infinite and finite depth. Data:
validation/linear_exact.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import PAGE, columns, guide, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    scalar, series = columns(data / "scalar.csv"), columns(data / "matrix.csv")
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        left.loglog(scalar["layers"], abs(scalar["error"]), "o", label="exact networks")
        guide(left, scalar["layers"], 1.4 * abs(scalar["error"][0]), -1.0, "slope $-1$")
        left.set(xlabel="layers $L$", ylabel="error of the multiplier $\\Pi$")
        left.set_xticks(scalar["layers"], [f"{n:.0f}" for n in scalar["layers"]])
        left.xaxis.minorticks_off()
        left.legend()
        right.semilogy(series["s"], series["closure"], label="closure", color="k")
        right.semilogy(
            series["s"][::4], series["particles"][::4], "o", mfc="none", label="particles"
        )
        right.semilogy(series["s"], series["bound_layers"], "--", label="bound, depth $L$")
        right.semilogy(series["s"], series["bound_infinite"], ":", label="bound, infinite depth")
        right.set(xlabel="training time $s$", ylabel=r"excess loss $E-\ell^*$")
        right.legend()
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
