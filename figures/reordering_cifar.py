"""Figure: places in depth over training, paired accuracies, exchanges, gains beside the published.

Top: t of the blocks of one stage, a line a block, under the two rules (seed of the first run).
Below: test accuracy of each seed under every variant; pairs of blocks that exchange, mean over
seeds; gains with 95 % intervals against the published range. The deepest stage that was trained
is drawn. Data: validation/reordering_cifar.py.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, script, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = dict[str, str]
VARIANTS = ("plain", "gap", "share", "window")
COLOURS = {"plain": "0.45", "gap": "C0", "share": "C2", "window": "C1"}
PUBLISHED = (0.25, 0.55)


def rows(path: Path) -> list[Row]:
    """Rows of a CSV, as text."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def group(row: Row) -> tuple[str, str, int]:
    return row["data"], row["architecture"], int(row["epochs"])


def deepest(places: list[Row]) -> tuple[tuple[str, str, int], str]:
    """The group and the stage that have the most blocks."""
    row = max(places, key=lambda row: (int(row["block"]), -int(row["stage"])))
    return group(row), row["stage"]


def numbers(found: Iterable[Row], *names: str) -> np.ndarray:
    """Columns as an array, a row each."""
    return np.array([[float(row[name]) for name in names] for row in found])


def paths(axes: Axes, places: list[Row], variant: str) -> None:
    """t of each block over the epochs of the first seed."""
    here = [row for row in places if row["variant"] == variant]
    seed = min(int(row["seed"]) for row in here)
    one = numbers((row for row in here if int(row["seed"]) == seed), "block", "epoch", "t")
    for block in np.unique(one[:, 0]):
        epoch, t = one[one[:, 0] == block, 1:].T
        place = int(block)
        grey = str(0.65 * place / max(one[:, 0].max(), 1))
        axes.plot(epoch, t, color=grey, ls=DASHES[place % len(DASHES)])
        axes.annotate(str(place + 1), (epoch[-1], t[-1]), (3, 0), textcoords="offset points",
                      va="center", fontsize=6)  # fmt: skip
    axes.set(title=f'"{variant}", seed {seed}', xlabel="epoch", ylim=(-0.02, 1.04))
    axes.xaxis.get_major_locator().set_params(integer=True)


def pairs(axes: Axes, epochs: list[Row]) -> None:
    """A grey line a seed, through its accuracy under every variant; means on top."""
    last = {
        (row["variant"], row["seed"]): 100 * float(row["accuracy"])
        for row in epochs
        if row["epoch"] == row["epochs"]
    }
    names = [name for name in VARIANTS if any(variant == name for variant, _ in last)]
    seeds = [seed for variant, seed in last if variant == "plain"]
    table = np.array([[last.get((name, seed), np.nan) for name in names] for seed in seeds])
    axes.plot(range(len(names)), table.T, color="0.75", lw=0.6, marker="o", ms=1.8)
    for place, name in enumerate(names):
        mean = np.nanmean(table[:, place])
        axes.plot([place - 0.2, place + 0.2], [mean, mean], color=COLOURS[name], lw=2)
    axes.set(ylabel="test accuracy (%)", xlim=(-0.4, len(names) - 0.6))
    axes.set_xticks(range(len(names)), names)


def exchanges(axes: Axes, epochs: list[Row]) -> None:
    """Exchanges per epoch, mean over the seeds."""
    for variant, dash in zip(VARIANTS[1:], DASHES, strict=False):
        found = numbers((row for row in epochs if row["variant"] == variant), "epoch", "exchanges")
        if len(found):
            steps = np.unique(found[:, 0])
            means = [found[found[:, 0] == step, 1].mean() for step in steps]
            axes.plot(steps, means, color=COLOURS[variant], ls=dash, label=variant)
    axes.set(xlabel="epoch", ylabel="exchanges per epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()


def gains(axes: Axes, summary: list[Row]) -> None:
    """Gains with intervals, a line for each data set, network and variant that has some pairs."""
    summary = [row for row in summary if int(row["pairs"]) > 1]
    axes.axvspan(*PUBLISHED, color="0.85", lw=0)
    axes.text(PUBLISHED[0], -0.7, " published", va="top", fontsize=6)
    axes.axvline(0.0, color="0.5", lw=0.6)
    labels = []
    for place, row in enumerate(summary):
        ((gain, low, high),) = numbers([row], "gain", "t_low", "t_high")
        colour = COLOURS[row["variant"]]
        axes.plot([low, high], [place, place], color=colour)
        axes.plot(
            gain, place, "o", color=colour, mfc="white" if row["variant"] == "window" else colour
        )
        name, *sizes = row["data"].split("-")
        name += f", {sizes[0]} images" if sizes else ""
        labels.append(f"{name}\n{row['architecture']}, {row['variant']} ({row['pairs']})")
    axes.set(xlabel="gain (points)", ylim=(len(summary) - 0.4, -0.8))
    axes.set_yticks(range(len(labels)), labels, fontsize=6)


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    places, epochs = rows(data / "places.csv"), rows(data / "epochs.csv")
    chosen, stage = deepest(places)
    places = [row for row in places if group(row) == chosen and row["stage"] == stage]
    epochs = [row for row in epochs if group(row) == chosen]
    shown = [name for name in VARIANTS[1:] if any(row["variant"] == name for row in places)]
    with style() as plt:
        page = plt.figure(figsize=(PAGE, 4.4))
        top, bottom = page.subfigures(2, 1)
        above = np.atleast_1d(top.subplots(1, len(shown), sharey=True))
        for axes, variant in zip(above, shown, strict=True):
            paths(axes, places, variant)
        above[0].set_ylabel("place in depth $t$")
        left, middle, right = bottom.subplots(1, 3)
        pairs(left, epochs)
        exchanges(middle, epochs)
        gains(right, rows(data / "summary.csv"))
    return page


main = script(__doc__, draw, needs="torch")

if __name__ == "__main__":
    sys.exit(main())
