"""Transport rays at three depths, distances along training, and the price of depth.

Draws from the data of ``validation/conditional_ot.py``, which is run first where they are absent.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "validation"))

import conditional_ot  # noqa: E402
from reporting import read_csv  # noqa: E402

from mfpde import plots  # noqa: E402


def columns(path: Path) -> dict[str, np.ndarray]:
    """A CSV of numbers, by column."""
    rows = read_csv(path)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def rays(axes: Axes, data: dict[str, np.ndarray], t: float) -> None:
    """Where the optimal plan sends each atom of ρ_0 at one depth, in the plane (w, u)."""
    here = data["t"] == t
    start = np.column_stack([data["w0"], data["u0"]])[here]
    end = np.column_stack([data["w1"], data["u1"]])[here]
    axes.add_collection(
        LineCollection(list(np.stack([start, end], axis=1)), colors="0.72", linewidths=0.4)
    )
    axes.plot(*start.T, "o", ms=1.6, mfc="white", mec="0.3", mew=0.4, label=r"$\rho_0$")
    axes.plot(*end.T, "o", ms=1.6, color="C1", mew=0, label=r"$\rho_\infty$")
    axes.set(title=f"depth $t = {t:g}$", xlabel="$w$")


def along_training(axes: Axes, data: dict[str, np.ndarray]) -> None:
    """Distances from the start and to the end, against their bounds."""
    s, inner = data["s"], slice(1, -1)
    axes.loglog(s[1:], data["from_start"][1:], color="C0", label=r"COT$(\rho_0,\rho_s)$")
    axes.loglog(s[1:], data["length"][1:], color="C0", ls=":", label="path length")
    axes.loglog(s[inner], data["to_end"][inner], color="C1", label=r"COT$(\rho_s,\rho_\infty)$")
    axes.loglog(s[inner], data["end_bound"][inner], color="C1", ls="--", label=r"$\sqrt{2E(s)/m}$")
    axes.set(xlabel="training time $s$", ylim=(data["to_end"][-2] / 40, None))
    axes.legend(loc="lower left", ncols=2, columnspacing=1.0, handlelength=1.4)


def figure(folder: Path) -> Figure:
    """The whole figure from a folder of data."""
    moved, training = columns(folder / "rays.csv"), columns(folder / "evolution.csv")
    joint = columns(folder / "joint.csv")
    with plots.style() as plt:
        page = plt.figure(figsize=(plots.PAGE, 4.3))
        top, bottom = page.subfigures(2, 1, height_ratios=(1.15, 1))
        panels = top.subplots(1, 3, sharex=True, sharey=True)
        for axes, t in zip(panels, np.unique(moved["t"]), strict=True):
            rays(axes, moved, float(t))
        panels[0].set_ylabel("$u$")
        panels[0].legend(loc="lower left", handletextpad=0.1, markerscale=2)
        left, middle, right = bottom.subplots(1, 3)
        along_training(left, training)
        middle.semilogx(training["s"][1:], training["depth_rate"][1:], color="C2")
        middle.set(
            xlabel="training time $s$", ylabel=r"$\max_t\,W_2(\rho_t,\rho_{t+\delta})/\delta$"
        )
        right.semilogx(joint["beta"], joint["ratio"], "o-", color="C3")
        right.axhline(1.0, color="0.5", lw=0.6)
        right.set(xlabel=r"price of depth $\beta$", ylabel=r"$W_\beta\,/\,$COT", ylim=(0, 1.08))
    return page


def main(argv: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=ROOT / "out" / "conditional_ot")
    options.add_argument("--out", type=Path, default=ROOT / "out" / "figures")
    chosen = options.parse_args(argv)
    if not (chosen.data / "evolution.csv").exists():
        conditional_ot.main(["--out", str(chosen.data)])
    with plots.style():  # colours of the cycle are looked up when the file is drawn
        plots.save(figure(chosen.data), chosen.out, "conditional_ot")


if __name__ == "__main__":
    main()
