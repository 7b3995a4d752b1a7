"""Figure: distance of the limit on minibatches to the limit on all data, over the step.

Data: validation/minibatch_noise.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import COLUMN, columns, guide, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    noise = columns(data / "noise.csv")
    with style() as plt:
        page, axes = plt.subplots(figsize=(COLUMN, 2.3))
        axes.loglog(noise["step"], noise["error"], "o-", label="measured")
        guide(axes, noise["step"], 0.5 * noise["error"][0], 0.5, "slope $1/2$")
        guide(axes, noise["step"], 1.5 * noise["error"][0], 1.0, "slope $1$", dash="--")
        powers(axes.xaxis, noise["step"], 2)
        axes.set(xlabel="step $h$", ylabel="noise of minibatches")
        axes.legend()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
