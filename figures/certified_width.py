"""Figure: the probability that a draw of M features is certified, and their least eigenvalue.

Left: P(certified) against M; right: λ_min over its limit, medians of the same draws. Data:
validation/certified_width.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import DASHES, PAGE, columns, outside, powers, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    found, half = columns(data / "curves.csv"), columns(data / "half.csv")
    with style() as plt:
        page, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        cases = zip(half["N"], half["spread"], half["L"], strict=True)
        for number, (n, spread, layers) in enumerate(cases):
            of = (found["N"] == n) & (found["spread"] == spread) & (found["L"] == layers)
            how = {"ls": DASHES[number % len(DASHES)], "color": f"C{number}"}
            left.semilogx(found["M"][of], found["P"][of], **how)
            label = f"$N={n:g}$, spread {spread:g}, $L={layers:g}$"
            right.semilogx(
                found["M"][of], found["least"][of] / half["least"][number], label=label, **how
            )
        linear = found["N"] == 0
        left.semilogx(found["M"][linear], found["P"][linear], "k:", label="linear blocks")
        left.axhline(0.5, color="k", lw=0.5)
        left.set(xlabel="width $M$", ylabel="P(certified)")
        left.legend()
        right.set(xlabel="width $M$", ylabel=r"$\lambda_{\min}$ over its limit")
        powers(right.xaxis, found["M"][found["N"] > 0], 2)
        outside(right)
    return page


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
