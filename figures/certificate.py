"""Figure: certified runs inside their promises, and how pessimistic certificates are.

a, b: loss against the promised rate, and COT(rho_0, rho_s) and path length against the promised
bound, for SHL and linear blocks. c: certified PL constant against lambda_min(K)/N at rho_0 as the
readout grows; in the grey region no certificate passes. Data: validation/certificate.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, above, columns, pick, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    with style() as plt:
        figure, (loss, way, scale) = plt.subplots(1, 3, figsize=(PAGE, 2.5))
        for number, (name, dash) in enumerate((("SHL", "-"), ("linear", "-."))):
            run, bound = columns(data / f"{name}.csv"), columns(data / f"{name}_bound.csv")
            time, start, most = bound["rate"][0] * run["s"], run["promise"][0], bound["distance"][0]
            how = {"color": f"C{number}", "ls": dash}
            loss.semilogy(time, run["excess"] / start, label=name, **how)
            way.semilogx(time[1:], run["length"][1:] / most, label=f"{name}, length", **how)
            short = run["distance"][1:] / most
            way.semilogx(time[1:], short, alpha=0.5, label=f"{name}, COT", **how)
        loss.plot(time, run["promise"] / start, "k:", label="promised")
        way.axhline(1.0, color="k", ls=":", label="bound")
        _scale(scale, columns(data / "scale.csv"))
        for axes, label in ((loss, "excess loss, relative"), (way, "share of the bound")):
            axes.set(xlabel="$s$ times certified rate", ylabel=label)
            above(axes)
        loss.set_ylim(1e-9, 3)
        way.set_ylim(0, 1.1)
    return figure


def _scale(axes, scale) -> None:
    uniform = pick(scale, integral=0)
    axes.loglog(uniform["c"], uniform["kernel_m"], "k-", label=r"$\lambda_{\min}(K)/N$")
    for integral, mark, label in ((0, "o", "uniform"), (1, "s", "integral")):
        found = pick(scale, integral=integral, passed=1)
        how = {"mfc": "none", "label": f"certified, {label}"}
        axes.loglog(found["c"], found["certified_m"], mark, **how)
    failing = pick(uniform, passed=0)["c"].max()
    axes.axvspan(scale["c"].min(), failing, color="0.9", lw=0)
    middle = np.sqrt(scale["c"].min() * failing), scale["kernel_m"].max()
    axes.text(*middle, "nothing\ncertified", ha="center", va="top", fontsize=6)
    axes.set(xlabel="readout scale $c$", ylabel="Polyak–Łojasiewicz constant $m$")
    above(axes)


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
