"""Figure: units of a two-layer relu network on their way to the sparse optimum.

Left: paths of b a, open marks the start, full marks the end. Right: sup |q| over 2 decay, 1 at the
optimum, for draws of the students and (dashed) for units of one sign. Data:
validation/two_layer.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    paths, found = columns(data / "paths.csv"), columns(data / "optimality.csv")
    cone = found["seed"].max()
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.9))
        for unit in np.unique(paths["unit"]):
            of = paths["unit"] == unit
            x, y = paths["x"][of], paths["y"][of]
            left.plot(x, y, color="0.6", lw=0.7)
            named = unit == paths["unit"][0]
            how = {"color": "0.6", "mfc": "none", "ms": 3, "label": "start" if named else None}
            left.plot(x[0], y[0], "o", **how)
            left.plot(x[-1], y[-1], "o", color="C0", ms=4, label="end" if named else None)
        left.plot(0.0, 0.0, "k+")
        left.legend(loc="lower right")
        left.set(xlabel="$b\\,a_1$", ylabel="$b\\,a_2$", aspect="equal")
        for seed in np.unique(found["seed"]):
            of = found["seed"] == seed
            how = {"ls": "--", "label": "one sign"} if seed == cone else {"lw": 0.8}
            how |= {"color": "C1" if seed == cone else "C0"}
            how |= {"label": "students"} if seed == 0 else {}
            right.loglog(1.0 + found["s"][of], found["q"][of], **how)
        right.axhline(1.0, color="k", lw=0.5)
        right.set(xlabel="training time $1+s$", ylabel=r"$\sup\,|q|$ over $2\lambda$")
        right.legend()
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
