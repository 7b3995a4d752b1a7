"""Figure: leaving bad stationary points by insertion, and by birth-death.

Left: loss along the rounds of escape from three traps. Right: transport alone against transport
with birth-death from a start that is almost trapped. Data: validation/no_bad_minima.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import DASHES, PAGE, columns, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        for number, name in enumerate(("collapsed", "dead", "constant")):
            run = columns(data / f"{name}.csv")
            left.plot(run["s"], run["loss"], ls=DASHES[number], label=name)
            first = run["round"] != [-1.0, *run["round"][:-1]]
            left.plot(run["s"][first], run["loss"][first], "o", color=f"C{number}", ms=3)
        left.set(xscale="symlog", yscale="log", xlabel="training time $s$", ylabel="loss $E$")
        for number, beta in enumerate((0, 1, 10)):
            run = columns(data / f"reaction_{beta}.csv")
            label = "transport" if beta == 0 else f"with birth–death, $\\beta={beta}$"
            right.plot(run["s"], run["loss"], ls=DASHES[number], label=label)
        right.set(yscale="log", xlabel="training time $s$", ylabel="loss $E$")
        left.legend(title="trap (dots: insertions)")
        right.legend()
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
