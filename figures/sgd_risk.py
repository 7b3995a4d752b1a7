"""Figure: risk of one-pass SGD against that of the flow, and how far they are apart at the end.

Data: validation/sgd_risk.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import DASHES, PAGE, columns, guide, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    risk, apart = columns(data / "risk.csv"), columns(data / "apart.csv")
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.3))
        for number, name in enumerate(name for name in risk if name not in ("s", "N0")):
            how = {"color": f"C{number}", "ls": DASHES[1 + number % 4], "label": f"$N={name[1:]}$"}
            left.plot(risk["s"], risk[name], **how)
        left.plot(risk["s"], risk["N0"], "k-", lw=0.8, label="flow")
        left.set(xlabel="training time $s$", ylabel="risk, mean over networks", ylim=(0.0, None))
        left.legend()
        right.loglog(apart["N"], apart["apart"], "ko", ms=4)
        guide(right, apart["N"], apart["apart"][0], -0.5, "slope $-1/2$")
        right.set(xlabel="units $N$", ylabel="RMS distance of risks")
        powers(right.xaxis, apart["N"], base=4)
        right.legend()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
