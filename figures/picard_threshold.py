"""Figure: where damped Picard iteration converges to an entropic optimum.

The stiffness lambda of the Gibbs map over eps; dashed, the largest that damping .3 contracts.
Filled: Picard converged from the prior; open: it did not. Data: validation/picard_threshold.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import COLUMN, columns, script, style
from matplotlib.figure import Figure

DAMPING = 0.3


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    rows = columns(data / "threshold.csv")
    eps, stiffness, done = rows["eps"], rows["lambda"], rows["converged"] == 1
    with style() as plt:
        page, axes = plt.subplots(figsize=(COLUMN, 2.3))
        axes.loglog(eps, stiffness, "-", color="C0", lw=0.8)
        axes.loglog(eps[done], stiffness[done], "o", color="C0", label="converges")
        axes.loglog(eps[~done], stiffness[~done], "o", color="C0", mfc="white", label="does not")
        most = rf"$2/\omega-1$, $\omega={DAMPING}$"
        axes.axhline(2 / DAMPING - 1, color="0.45", ls="--", lw=0.8, label=most)
        axes.set(xlabel=r"temperature $\varepsilon$", ylabel=r"stiffness $\lambda$")
        axes.legend()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
