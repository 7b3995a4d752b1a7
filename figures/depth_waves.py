"""Figure: growth of waves in the depths of blocks, for three windows.

a: growth rate over the mode, with the prediction k mu/beta^2; waves that do not grow are missing.
b: measured over predicted against waves per window. Data: validation/depth_waves.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    found = columns(data / "growth.csv")
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        order = np.argsort(found["mode"])
        predicted = found["predicted"][order]
        left.loglog(found["mode"][order], predicted, color="0.5", lw=0.8, label="predicted")
        right.axhline(1.0, color="0.5", lw=0.8)
        for number, window in enumerate(np.unique(found["window"])[::-1]):
            here = found["window"] == window
            mode, measured = found["mode"][here], found["measured"][here]
            how = {"color": f"C{number}", "mfc": "none", "label": f"window 1/{1 / window:.0f}"}
            grown = measured > 0.1 * found["predicted"][here]
            left.loglog(mode[grown], measured[grown], "os^"[number], **how)
            share = measured / found["predicted"][here]
            right.plot(mode * window / 2, share, "os^"[number] + "-", lw=0.6, **how)
        left.set(xlabel=r"mode $m$ of $\sin\pi m t$", ylabel="growth rate")
        powers(left.xaxis, found["mode"], base=2)
        right.set(xlabel="waves per window", ylabel="measured / predicted rate", ylim=(-0.05, 1.15))
        left.legend(loc="upper left")
        right.legend(loc="lower left")
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
