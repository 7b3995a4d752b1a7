"""Figure: the ResNet's gradient against that of its two-layer surrogate, depth by depth.

Left: |P(t)|/|P(1)| over the data with its exponential bounds, middle-sized layers. Right: ratio of
the gradients' norms for three scales of u. Data: validation/shallow_comparison.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import DASHES, PAGE, columns, script, style
from matplotlib.figure import Figure

SCALES = ("0.5", "1", "3")


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    runs = {scale: columns(data / f"scale_{scale}.csv") for scale in SCALES}
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        one = runs["1"]
        left.fill_between(one["t"], one["least"], one["most"], color="C0", alpha=0.4, label="data")
        for name, label in (("exp_lower", r"$e^{\mp\int_t^1 \mathrm{Lip}}$"), ("exp_upper", None)):
            left.plot(one["t"], one[name], "k--", label=label)
        left.set(xlabel="depth $t$", ylabel="$|P_i(t)|/|P_i(1)|$")
        for number, (scale, run) in enumerate(runs.items()):
            right.plot(run["t"], run["ratio"], ls=DASHES[number], label=f"scale of $u$: {scale}")
        right.axhline(1.0, color="0.6", lw=0.6)
        right.set(xlabel="depth $t$", ylabel="gradient norm, ResNet / surrogate")
        left.legend()
        right.legend()
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
