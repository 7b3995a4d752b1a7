"""Figure: certified runs inside their promises, and how pessimistic certificates are.

a, b: loss against the promised rate, and COT(rho_0, rho_s) and path length against the promised
bound, for SHL and linear blocks. c: certified PL constant against lambda_min(K)/N at rho_0 as the
readout grows; in the grey region no certificate passes. Data: validation/certificate.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with style() as plt:
        figure, axes = plt.subplots(1, 3, figsize=(PAGE, 2.3))
        for number, name in enumerate(("SHL", "linear")):
            _run(
                axes,
                columns(data / f"{name}.csv"),
                columns(data / f"{name}_bound.csv"),
                number,
                name,
            )
        axes[0].set(yscale="log", xlabel="$s$ times certified rate", ylabel="excess loss, relative")
        axes[0].set_ylim(1e-9, 3)
        axes[1].set(xscale="log", xlabel="$s$ times certified rate", ylabel="share of the bound")
        axes[1].axhline(1.0, color="0.45", lw=0.8, ls=":")
        axes[1].text(
            0.98, 1.02, "bound", ha="right", fontsize=6, transform=axes[1].get_yaxis_transform()
        )
        _scale(axes[2], columns(data / "scale.csv"))
        axes[0].legend(loc="upper right")
        axes[1].set_ylim(0, 1.75)
        axes[1].legend(loc="upper left", fontsize=6, ncols=2, columnspacing=0.8, handlelength=1.5)
        axes[2].legend(loc="lower right", fontsize=6)
    return figure


def _run(axes, run, bound, number, name) -> None:
    rate, most, colour = bound["rate"][0], bound["distance"][0], f"C{number}"
    time = rate * run["s"]
    start = run["promise"][0]
    dash = ("-", "-.")[number]
    axes[0].plot(time, run["excess"] / start, dash, color=colour, label=name)
    if number == 0:
        axes[0].plot(time, run["promise"] / start, "k:", label="promised")
    axes[1].plot(time[1:], run["length"][1:] / most, dash, color=colour, label=f"{name}, length")
    axes[1].plot(
        time[1:], run["distance"][1:] / most, dash, alpha=0.5, color=colour, label=f"{name}, COT"
    )


def _scale(axes, scale) -> None:
    uniform = scale["integral"] == 0
    axes.loglog(
        scale["c"][uniform], scale["kernel_m"][uniform], "k-", label=r"$\lambda_{\min}(K)/N$"
    )
    for integral, mark in ((0, "o"), (1, "s")):
        keep = (scale["integral"] == integral) & (scale["passed"] == 1)
        label = "certified, " + ("integral" if integral else "uniform")
        axes.loglog(scale["c"][keep], scale["certified_m"][keep], mark, mfc="none", label=label)
    failing = scale["c"][uniform & (scale["passed"] == 0)].max()
    axes.axvspan(scale["c"].min(), failing, color="0.9", lw=0)
    middle = np.sqrt(scale["c"].min() * failing), scale["kernel_m"].max()
    axes.text(*middle, "nothing\ncertified", ha="center", va="top", fontsize=6)
    axes.set(xlabel="readout scale $c$", ylabel="Polyak–Łojasiewicz constant $m$")


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
