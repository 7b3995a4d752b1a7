"""Figure: networks with tied initial weights, trained to the end.

a: mean square of gradient descent and of the implicit scheme on the same flow, in descent's
iterations. b: largest jump between neighbouring layers after training to the end, over L. Data:
validation/long_training.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import PAGE, columns, guide, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    ends = columns(data / "ends.csv")
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        for name, mark, colour in (("descent", "-", "C0"), ("implicit", "o", "C1")):
            series = columns(data / f"{name}.csv")
            keep = series["iteration"] > 0
            how = {"color": colour, "mfc": "none", "label": name}
            left.loglog(series["iteration"][keep], series["loss"][keep], mark, **how)
        left.set(xlabel="iteration of gradient descent", ylabel="mean square")
        left.legend()
        for name, mark, colour in (("V", "o", "C0"), ("W", "s", "C1")):
            right.loglog(ends["layers"], ends[name], mark, color=colour, label=f"$Z={name}$")
        guide(right, ends["layers"], 1.4 * ends["V"][0], -1.0, "slope $-1$")
        powers(right.xaxis, ends["layers"], base=2)
        right.set(xlabel="layers $L$", ylabel=r"$\max_k |Z_{k+1} - Z_k|$ at the end")
        right.legend()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
