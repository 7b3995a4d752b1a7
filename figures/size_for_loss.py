"""Figure: how deep and wide a network must be for a small loss with high probability.

a: P(E <= eps) over (L, M) by Monte Carlo at one margin above the limit's loss, with the frontier
of probability .95 by the fitted law (dashed) and by the theorem's shape (dash-dotted); rings mark
shapes whose Clopper-Pearson interval lies above .95, crosses those below. b: blocks L M* on the
frontier against the room that the limit and depth leave to width, with the fitted law (lines).
c: the limit's loss with and without the decaying regulariser. Data: validation/size_for_loss.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, above, by, columns, guide, means, pick, script, style, surface, ticks
from matplotlib.figure import Figure

GOAL = 0.95


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    frontier, law, limit = (columns(data / f"{name}.csv") for name in ("frontier", "law", "limit"))
    phases = by(columns(data / "phase.csv"), "margin")
    margin, phase = min(phases, key=lambda one: abs(np.mean(one[1]["p"] >= GOAL) - 0.5))
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.9))
        shapes = np.stack([phase["layers"], phase["width"]], axis=1)
        image = surface(left, shapes, phase["p"], vmin=0, vmax=1, cmap="Greys", alpha=0.75)
        figure.colorbar(image, ax=left, label=rf"$P(E \leq {1 + margin:g}\,E_\infty)$")
        sure, failing = phase["low"] >= GOAL, phase["high"] < GOAL
        for name, mark, kept in (("above", "o", sure), ("below", "x", failing)):
            how = {"color": "k", "mfc": "w", "ms": 4, "mew": 0.7, "label": f"{name} {GOAL:g}"}
            left.plot(phase["width"][kept], phase["layers"][kept], mark, **how)
        epsilon = margin * limit["loss"]
        law["asked"] = np.isfinite(law["blocks"]) & np.isclose(law["eta"], 1 - GOAL)
        of = pick(law, margin=margin, asked=True)
        left.plot(of["blocks"] / of["layers"], of["layers"], "C4--", lw=1.5, label="fitted law")
        n, m = limit["of_depth"] / epsilon, limit["of_width"] / (epsilon**2 * (1 - GOAL))
        left.plot([*m, *m, 1e9], [1e9, *n, *n], "C1-.", lw=1.5, label="theorem")
        for number, (eta, of) in enumerate(by(frontier, "eta")):
            how = {"mfc": "none", "label": rf"$\eta={eta:g}$"}
            middle.loglog(of["room"], of["blocks"], ("C0o", "C1s")[number % 2], **how)
            middle.loglog(*means(of, "by_law", "room"), f"C{number % 2}", lw=0.7)
        room = np.sort(frontier["room"])
        guide(middle, room, frontier["blocks"].max(), -2.0, "slope $-2$")
        ticks(middle.xaxis, [t for t in (0.01, 0.02, 0.05, 0.1, 0.2) if room[0] <= t <= room[-1]])
        middle.set(xlabel=r"room in $\log\varepsilon$", ylabel="blocks $LM$ needed")
        for name, dash in (("plain", "-"), ("decaying", "--")):
            right.loglog(*means(columns(data / f"{name}.csv"), "loss", "s"), dash, label=name)
        right.set(xlabel="training time $s$", ylabel="limit's loss $E$", xlim=(0.01, None))
        [above(axes) for axes in (left, middle, right)]
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
