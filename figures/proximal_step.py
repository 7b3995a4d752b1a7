"""Figure: the minimising movement scheme against the implicit step and against the flow.

a: distance of one proximal step to one linearly implicit step, and how far the step moves.
b: distance of proximal steps to the flow at s = 1. Data: validation/proximal_step.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import PAGE, columns, guide, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    single, several = columns(data / "one_step.csv"), columns(data / "scheme.csv")
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        h = single["h"]
        left.loglog(h, single["moved"], "s-", color="C1", label="length of the step")
        left.loglog(h, single["to_implicit"], "o-", color="C0", label="proximal to implicit")
        guide(left, h, 0.6 * single["moved"][0], 1.0, "slope $1$")
        guide(left, h, 0.5 * single["to_implicit"][0], 2.0, "slope $2$", dash="--")
        left.set(xlabel="step $h$", ylabel="COT distance")
        left.set_ylim(top=60 * single["moved"].max())
        left.legend(loc="upper left", ncols=2)
        right.loglog(several["h"], several["to_flow"], "o-", label="proximal steps to flow")
        guide(right, several["h"], 0.6 * several["to_flow"][0], 1.0, "slope $1$")
        right.set(xlabel="step $h$", ylabel="COT distance at $s=1$")
        right.legend()
        for axes, ticks in ((left, h), (right, several["h"])):
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.xaxis.minorticks_off()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
