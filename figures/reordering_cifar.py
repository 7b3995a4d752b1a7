"""Figure: places in depth over training, paired accuracies, exchanges, gains beside the published.

Top: t of the blocks of the deepest stage, a line a block, first seed. Below: test accuracy by seed
and the mean (bars); exchanges, mean over seeds; gains. Data: validation/reordering_cifar.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, by, columns, means, pick, script, style
from matplotlib.figure import Figure

COLOURS = {"plain": "0.45", "gap": "C0", "share": "C2", "window": "C1"}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    places, epochs, summary = (columns(data / f"{n}.csv") for n in ("places", "epochs", "summary"))
    summary = {name: column[summary["pairs"] > 1] for name, column in summary.items()}
    deepest = np.lexsort([-places["stage"], places["block"]])[-1]
    run = {name: places[name][deepest] for name in ("data", "architecture", "epochs")}
    places, epochs = pick(places, stage=places["stage"][deepest], **run), pick(epochs, **run)
    first = pick(places, seed=places["seed"].min())
    variants = [name for name in COLOURS if name in epochs["variant"]]
    with style() as plt:
        top, bottom = plt.figure(figsize=(PAGE, 4.4)).subfigures(2, 1)
        above = top.subplots(1, len(variants) - 1, squeeze=False)[0]
        left, middle, right = bottom.subplots(1, 3)
        for axes, variant, dash in zip(above, variants[1:], DASHES, strict=False):
            for block, way in by(pick(first, variant=variant), "block"):
                axes.plot(way["epoch"], way["t"], ls=DASHES[int(block) % 5])
            axes.set(xlabel="epoch", ylabel="place in depth $t$")
            axes.set_title(f'"{variant}"', color=COLOURS[variant])
            found = means(pick(epochs, variant=variant), "exchanges", "epoch")
            middle.plot(*found, color=COLOURS[variant], ls=dash)
        middle.set(xlabel="epoch", ylabel="exchanges per epoch")
        last = pick(epochs, epoch=run["epochs"])
        for _, of in by(last, "seed"):
            found = dict(zip(of["variant"], of["accuracy"], strict=True))
            values = [found.get(name, np.nan) for name in variants]
            left.plot(variants, values, "o-", color="0.6", ms=1.8, lw=0.6)
        left.plot(*means(last, "accuracy", "variant"), "k_", ms=20, mew=2)
        left.set(ylabel="test accuracy", xlim=(-0.5, len(variants) - 0.5))
        for key, of in by(summary, "data", "architecture", "variant", "pairs"):
            bar = [of["gain"] - of["t_low"], of["t_high"] - of["gain"]]
            how = {"xerr": bar, "fmt": "o", "color": COLOURS[key[2]]}
            right.errorbar(of["gain"], ["{}\n{}, {} ({:g})".format(*key)], **how)
        right.axvspan(0.25, 0.55, color="0.85", lw=0)
        right.axvline(0.0, color="0.5", lw=0.6)
        right.set(xlabel="gain (points), grey: published")
    return plt.gcf()


main = script(__doc__, draw, needs="torch")

if __name__ == "__main__":
    sys.exit(main())
