"""Figure: limits of networks trained by gradient descent, momentum and Adam.

a: losses of the limits with their bars, and of networks. b: E along a heavy ball of long memory,
and E + (tau/2) int |m|^2, which falls. c: distance of networks to the limit in LM. d: distance of
one network to its own flow in the step. Data: validation/optimisers.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import DASHES, PAGE, columns, guide, powers, script, style
from matplotlib.figure import Figure

NAMES = {"gradient": "gradient", "heavy_ball": "heavy ball", "adam": "Adam"}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    swing = columns(data / "energies.csv")
    with style() as plt:
        figure, panels = plt.subplots(2, 2, figsize=(PAGE, 4.6))
        (loss, energy), (size, step) = panels
        for number, (name, label) in enumerate(NAMES.items()):
            how = {"color": f"C{number}", "ls": DASHES[number]}
            limit, runs = (
                columns(data / f"limit_{name}.csv"),
                columns(data / f"networks_{name}.csv"),
            )
            loss.plot(limit["s"], limit["loss"], label=f"limit, {label}", **how)
            band = limit["loss"] - limit["error"], limit["loss"] + limit["error"]
            loss.fill_between(limit["s"], *band, color=how["color"], alpha=0.3, lw=0)
            some = slice(None, None, max(len(runs["s"]) // 20, 1))
            for key in (key for key in runs if key != "s"):
                loss.plot(runs["s"][some], runs[key][some], ".", ms=2, color=how["color"])
            rows, errors = columns(data / f"sizes_{name}.csv"), columns(data / f"steps_{name}.csv")
            shapes = np.unique(rows["layers"])
            rms = [np.sqrt(np.mean(rows["error"][rows["layers"] == n] ** 2)) for n in shapes]
            size.plot(shapes**2, rms, "osD"[number], mfc="none", label=label, **how)
            step.plot(errors["h"], errors["error"], "osD"[number], mfc="none", label=label, **how)
        guide(size, shapes**2, 0.6 * rms[0], -0.5, "slope $-1/2$")
        guide(step, errors["h"], 2.0 * errors["error"][0], 1.0, "slope $1$")
        for key, dash, label in (("loss", "-", "$E$"), ("energy", "--", r"$E+\tau\int|m|^2/2$")):
            energy.plot(swing["s"], swing[key], color="k", ls=dash, label=label)
        loss.set(yscale="log", xlabel="training time $s$", ylabel="loss $E$")
        energy.set(yscale="log", xlabel="training time $s$", ylabel="heavy ball, energies")
        size.set(xscale="log", yscale="log", xlabel="blocks $LM$", ylabel="output error")
        step.set(xscale="log", yscale="log", xlabel="step $h$", ylabel="distance to the flow")
        step.set_xticks(errors["h"], [f"{h:g}" for h in errors["h"]])
        step.set_xticks([], minor=True)
        powers(size.xaxis, shapes**2)
        [axes.legend(fontsize=6) for axes in panels.flat]
    return figure


main = script(__doc__, draw)
if __name__ == "__main__":
    sys.exit(main())
