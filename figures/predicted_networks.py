"""Figure: finite networks predicted from the limit, against networks that are trained.

a: predicted over measured standard deviation of the outputs over the blocks that fluctuations go
down with, LM for independent layers (circles) and M for tied ones (squares), filled where the
prediction trusts itself; grey: two standard errors of the measured deviation. b: share of
losses inside the predicted 95 % band, with the two standard errors that are expected. c: the
measured deviation of the sine's outputs over depth, which helps independent layers alone; lines are
predictions. Data: validation/predicted_networks.py.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, powers, script, style
from matplotlib.figure import Figure

MARKS = {"independent": "o", "tied": "s"}
TEXT = ("problem", "coupling")


def read(path: Path) -> dict[str, np.ndarray]:
    """Columns by name; the first two are words."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: np.array([row[name] if name in TEXT else float(row[name]) for row in rows])
        for name in rows[0]
    }


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    rows = read(data / "networks.csv")
    blocks = rows["width"] * np.where(rows["coupling"] == "independent", rows["layers"], 1.0)
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.3))
        _ratios(left, rows, blocks)
        _coverage(middle, rows, blocks)
        _depth(right, rows)
    return figure


def _ratios(axes, rows, blocks) -> None:
    axes.axhspan(*_expected(rows), color="0.9")
    axes.axhline(1.0, color="0.5", lw=0.8)
    for number, problem in enumerate(np.unique(rows["problem"])):
        for coupling, mark in MARKS.items():
            for trusted in (1.0, 0.0):
                keep = (rows["problem"] == problem) & (rows["coupling"] == coupling)
                keep &= rows["trusted"] == trusted
                how = {"mfc": f"C{number}" if trusted else "none", "color": f"C{number}", "ms": 3}
                label = problem if trusted and coupling == "tied" else None
                ratio = rows["predicted"][keep] / rows["measured"][keep]
                axes.semilogx(blocks[keep], ratio, mark, label=label, **how)
    axes.set(xlabel="$LM$ (independent), $M$ (tied)", ylabel="predicted / measured")
    powers(axes.xaxis, blocks)
    axes.legend()


def _expected(rows) -> tuple[float, float]:
    error = 2.0 / np.sqrt(2.0 * rows["networks"][0])
    return 1.0 - error, 1.0 + error


def _coverage(axes, rows, blocks) -> None:
    spread = 2.0 * np.sqrt(0.95 * 0.05 / rows["networks"][0])
    axes.axhspan(0.95 - spread, min(0.95 + spread, 1.0), color="0.9")
    axes.axhline(0.95, color="0.5", lw=0.8)
    for coupling, mark in MARKS.items():
        keep = (rows["coupling"] == coupling) & (rows["trusted"] == 1.0)
        color = "C0" if coupling == "independent" else "C1"
        axes.semilogx(blocks[keep], rows["covered"][keep], mark, ms=3, color=color, label=coupling)
    axes.set(xlabel="$LM$ (independent), $M$ (tied)", ylabel="losses in the 95 % band")
    powers(axes.xaxis, blocks)
    axes.legend()


def _depth(axes, rows) -> None:
    width = np.median(np.unique(rows["width"]))
    width = rows["width"][np.abs(rows["width"] - width).argmin()]
    last = (rows["problem"] == "sine") & (rows["s"] == rows["s"].max()) & (rows["width"] == width)
    for coupling, mark in MARKS.items():
        keep = last & (rows["coupling"] == coupling)
        color = "C0" if coupling == "independent" else "C1"
        axes.loglog(rows["layers"][keep], rows["measured"][keep], mark, ms=4, color=color)
        axes.loglog(rows["layers"][keep], rows["predicted"][keep], color=color, label=coupling)
    axes.set(xlabel="layers $L$", ylabel=rf"deviation, sine, $M={width:g}$")
    powers(axes.xaxis, rows["layers"][last], 2)
    powers(axes.yaxis, rows["measured"][last], 2)
    axes.legend()


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
