"""Figure: how fast the law varies with depth along the flow, and trained weights against depth.

Left: |D| (full), its bound (dashed) and the quotient of exact transport (marks). Right: w of eight
particles at the end of training, from one draw for all depths (dark) and from fresh ones (light).
Data: validation/depth_growth.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import PAGE, columns, outside, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        for number, name in enumerate(("turning", "constant")):
            found, how = columns(data / f"{name}.csv"), {"color": f"C{number}"}
            found = {key: values[found["measured"] > 0] for key, values in found.items()}
            left.plot(found["s"], found["measured"], label=f"{name}, $|D|$", **how)
            left.plot(found["s"], found["bound"], "--", label=f"{name}, bound", **how)
            label = f"{name}, $W_2$ quotient"
            how |= {"mfc": "none", "ms": 4, "ls": "none", "label": label}
            left.plot(found["s"][::4], found["transport"][::4], "o", **how)
        left.set(xlabel="training time $s$", ylabel="rate of change with depth", yscale="log")
        outside(left)
        draws = (("independent", "0.75", 0.7, "fresh draws"), ("tied", "C0", 1.2, "one draw"))
        for name, colour, width, label in draws:
            weights = columns(data / f"weights_{name}.csv")
            lines = [
                right.plot(weights["t"], weights[key], color=colour, lw=width)[0]
                for key in weights
                if key != "t"
            ]
            lines[0].set_label(label)
        right.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.12), frameon=False)
        right.set(xlabel="depth $t$", ylabel="trained $w$")
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
