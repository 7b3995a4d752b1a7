"""Figure: claimed against true errors of the limit.

Left: every case of the study; on the line the bar is exact, below it too small; crosses are cases
whose reference is not good enough to tell. Right: the share of cases whose true error is below a
multiple of the claim. Data: validation/limit_calibration.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    rows = columns(data / "cases.csv")
    claimed, true = rows["claimed"], np.maximum(rows["true"], 1e-16)
    usable = rows["reference"] <= 0.1 * claimed
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
        left.loglog(true[usable], claimed[usable], "o", mfc="none", ms=3, label="cases")
        left.loglog(true[~usable], claimed[~usable], "x", color="0.6", ms=3, label="reference poor")
        ends = np.array([min(true.min(), claimed.min()), max(true.max(), claimed.max())])
        left.loglog(ends, ends, color="k", lw=0.8, label="claimed = true")
        left.loglog(ends, 3 * ends, color="0.5", lw=0.8, ls=":", label="claimed = 3 true")
        left.set(xlabel="true error", ylabel="claimed error")
        left.legend()
        ratio = np.sort(true[usable] / claimed[usable])
        share = np.arange(1, ratio.size + 1) / ratio.size
        right.step(ratio, share, where="post", color="C0", label="cases")
        right.axvline(1.0, color="k", lw=0.8, label="the bar")
        right.set(xlabel="true error / claimed error", ylabel="share of cases", xscale="log")
        right.legend(loc="upper left")
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
