"""Figure: residual scales of deep ResNets, with the published lines.

a: deviation of outputs over networks after 10 steps. b: change of the input weights U after 50.
c: losses, one curve for each alpha <= sqrt(LM/D), full where alpha = 1. d: a unit that starts alike
in all layers, two of its coordinates, from first (dark) to last layer. Data:
validation/hidden_width.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, script, style
from matplotlib.figure import Figure

MARKS = "os^"


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    found, losses = columns(data / "scales.csv"), columns(data / "losses.csv")
    with style() as plt:
        page, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(PAGE, 4.8))
        for number, dim in enumerate(np.unique(found["D"])):
            of = found["D"] == dim
            _scales(a, found, of, "deviation", "published", number, f"$D={dim:g}$")
            _scales(b, found, of, "moved", "line", number, f"$D={dim:g}$")
            for alpha in found["alpha"][of & (found["bound"] == 1)]:
                one = (losses["D"] == dim) & (losses["alpha"] == alpha)
                how = {"lw": 1.4 if alpha == 1 else 0.5, "color": f"C{number}"}
                c.semilogy(losses["step"][one], losses["loss"][one], **how)
        a.set(xlabel=r"scale $\alpha$", ylabel="deviation of outputs")
        b.set(xlabel=r"scale $\alpha$", ylabel="RMS change of $U$")
        c.set(xlabel="step", ylabel="loss", ylim=(None, 5.0))
        a.plot([], [], "k-", lw=0.8, label="published")
        a.plot([], [], "ko", mfc="none", ms=4, label=r"$\alpha > \sqrt{LM/D}$")
        c.plot([], [], "k-", lw=1.4, label=r"$\alpha = 1$")
        c.plot([], [], "k-", lw=0.5, label=r"other $\alpha$")
        a.legend()
        c.legend()
        _tracks(d, columns(data / "tracker.csv"))
    return page


def _scales(axes, found, of, name, line, number, label) -> None:
    alpha, inside = found["alpha"][of], found["bound"][of] == 1
    how = {"color": f"C{number}", "ls": "none", "marker": MARKS[number], "ms": 4}
    axes.loglog(alpha[inside], found[name][of][inside], label=label, **how)
    axes.loglog(alpha[~inside], found[name][of][~inside], mfc="none", **how)
    axes.loglog(alpha[inside], found[line][of][inside], color=f"C{number}", lw=0.8)


def _tracks(axes, tracks) -> None:
    from matplotlib import cm

    last = tracks["layer"].max()
    for layer in np.unique(tracks["layer"])[:: max(1, int(last) // 32)]:
        of = tracks["layer"] == layer
        axes.plot(tracks["d"][of], tracks["e"][of], lw=0.6, color=cm.viridis(layer / last))
    axes.plot(tracks["d"][0], tracks["e"][0], "ko", ms=4)
    axes.text(0.05, 0.93, "dark: first layer, light: last", transform=axes.transAxes, va="top")
    axes.set(xlabel="fourth coordinate of a column of $U$", ylabel="fifth coordinate")


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
