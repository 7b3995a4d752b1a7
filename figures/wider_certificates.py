"""Figure: certificates of other depth integrators, and of classification down to a level.

Left: least readout certified over the number of steps. Right: lowest level of the logistic loss
that is certified over the readout; above the start's log 2 nothing is. Data:
validation/wider_certificates.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, columns, powers, script, style
from matplotlib.figure import Figure

NAMES = {"euler": "Euler", "midpoint": "midpoint", "heun": "Heun", "rk4": "rk4"}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    steps, levels = columns(data / "steps.csv"), columns(data / "levels.csv")
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.3))
        for number, (name, label) in enumerate(NAMES.items()):
            how = {"marker": "os^D"[number], "ls": DASHES[number], "mfc": "none", "label": label}
            left.semilogx(steps["steps"], steps[name], **how)
        left.set(xlabel="steps in depth", ylabel="least readout $c$ certified")
        powers(left.xaxis, steps["steps"], base=2)
        left.legend()
        for kind, label in enumerate(("Euler", "rk4")):
            of = levels["rk4"] == kind
            how = {"marker": "oD"[kind], "ls": DASHES[3 * kind], "color": f"C{3 * kind}"}
            right.loglog(levels["readout"][of], levels["lowest"][of], label=label, **how)
        right.axhline(np.log(2.0), color="0.45", lw=0.8, ls=":")
        right.text(levels["readout"].max(), np.log(2.0), "$E(0)$", ha="right", va="bottom")
        right.set_xticks(readouts := np.unique(levels["readout"]), [f"{c:g}" for c in readouts])
        right.xaxis.minorticks_off()
        right.set(xlabel="readout $c$", ylabel="lowest level certified")
        right.legend()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
