"""Figure: starts that separate and starts that do not, and the invariant of relu.

Left: loss along training, the deepest network in colour, the shallowest thin. Right: drift of
|u|² − |(w, b)|² against the step. Data: validation/homogeneous_descent.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import DASHES, PAGE, columns, outside, script, style
from matplotlib.figure import Figure

NAMES = {
    "a": "relu, Gaussian",
    "b": "relu, fixed sign",
    "c": "ramp, $u=0$",
    "d": "ramp, part of the cylinder",
    "e": r"softplus, $u>0$",
}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    layers = sorted(int(path.stem.split("_")[1]) for path in data.glob("a_*.csv"))
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4), width_ratios=(2, 1))
        for number, (name, label) in enumerate(NAMES.items()):
            how = {"color": f"C{number}", "ls": DASHES[number % len(DASHES)]}
            thin, deep = (columns(data / f"{name}_{n}.csv") for n in (layers[0], layers[-1]))
            left.plot(thin["s"], thin["loss"], lw=0.5, **how)
            left.plot(deep["s"], deep["loss"], label=label, **how)
        for floor in columns(data / "floor.csv").values():
            left.axhline(floor[0], color="k", lw=0.5)
        left.set(xscale="symlog", yscale="log", xlabel="training time $s$", ylabel="loss $E$")
        left.set_xlim(left=0.0)
        outside(left)
        found = columns(data / "drift.csv")
        right.plot(found["step"], found["drift"], "ko-", ms=3)
        right.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        right.set(xlabel="step", ylabel=r"drift of $|u|^2-|(w,b)|^2$", xlim=(0.0, None))
        right.set_ylim(bottom=0.0)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
