"""Figure: residual scales of deep ResNets, with the published lines.

a: deviation of outputs over networks after 10 steps. b: change of the input weights U after 50.
c: losses, one curve for each alpha <= sqrt(LM/D), full where alpha = 1. d: a unit that starts alike
in all layers, two of its coordinates. Data: validation/hidden_width.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import PAGE, by, columns, pick, script, style
from matplotlib import cm
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    found, losses = columns(data / "scales.csv"), columns(data / "losses.csv")
    with style() as plt:
        page, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(PAGE, 4.8))
        for number, (dim, of) in enumerate(by(found, "D")):
            how = {"color": f"C{number}", "label": f"$D={dim:g}$"}
            _scales(a, of, "deviation", "published", "os^"[number], **how)
            _scales(b, of, "moved", "line", "os^"[number], **how)
            for alpha in pick(of, bound=1)["alpha"]:
                one, lw = pick(losses, D=dim, alpha=alpha), 1.4 if alpha == 1 else 0.5
                c.semilogy(one["step"], one["loss"], lw=lw, color=f"C{number}")
        for axes, label in ((a, "deviation of outputs"), (b, "RMS change of $U$")):
            axes.set(xlabel=r"scale $\alpha$", ylabel=label)
        c.set(xlabel="step", ylabel="loss", ylim=(None, 5.0))
        a.plot([], [], "k-", lw=0.8, label="published")
        a.plot([], [], "ko", mfc="none", ms=4, label=r"$\alpha > \sqrt{LM/D}$")
        c.plot([], [], "k-", lw=1.4, label=r"$\alpha = 1$; thin: others")
        [axes.legend() for axes in (a, c)]
        _tracks(d, columns(data / "tracker.csv"))
    return page


def _scales(axes, of, name: str, line: str, mark: str, color: str, label: str) -> None:
    inside, beyond = pick(of, bound=1), pick(of, bound=0)
    axes.loglog(inside["alpha"], inside[name], mark, ms=4, color=color, label=label)
    axes.loglog(beyond["alpha"], beyond[name], mark, ms=4, color=color, mfc="none")
    axes.loglog(inside["alpha"], inside[line], color=color, lw=0.8)


def _tracks(axes, tracks) -> None:
    last = tracks["layer"].max()
    for layer, of in by(tracks, "layer")[:: max(1, int(last) // 32)]:
        axes.plot(of["d"], of["e"], lw=0.6, color=cm.viridis(layer / last))
    axes.plot(tracks["d"][0], tracks["e"][0], "ko", ms=4)
    axes.text(0.05, 0.93, "dark: first layer, light: last", transform=axes.transAxes, va="top")
    axes.set(xlabel="fourth coordinate of a column of $U$", ylabel="fifth coordinate")


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
