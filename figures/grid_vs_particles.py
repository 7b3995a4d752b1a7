"""Figure: the PDE on a grid, and the same limit by particles.

a: rho_t(u, w) over depth (down) and training time (across). b: loss with its dissipation, whose
integral gives back what the loss has lost. c: difference of grid and particles under joint
refinement. d: the loss of a grid on its way to zero. Data: validation/grid_vs_particles.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, UNLETTERED, columns, guide, script, style
from matplotlib.figure import Figure

import mfpde

CURVES = {
    "COT": ("D-", "COT"),
    "u": ("s-", "$W_2$ of $u$, $w$"),
    "w": ("x--", ""),
    "E, upwind": ("v--", "$E$, upwind"),
    "E, muscl": ("o-", "$E$, MUSCL"),
}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    run = mfpde.Solution.load(data / "density.h5")
    with style() as plt:
        figure = plt.figure(figsize=(PAGE, 6.4), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=(2.1, 1))
        _densities(top, run)
        energy, joint, zero = bottom.subplots(1, 3)
        _energy(energy, run)
        _joint(joint, columns(data / "joint.csv"))
        line = columns(data / "zero_loss.csv")
        zero.loglog(line["s"][1:], line["loss"][1:], color="k")
        zero.set(xlabel="training time $s$", ylabel="loss $E(s)$", title="target $0.5\\,x+0.4$")
    return figure


def _densities(part, run: mfpde.Solution) -> None:
    rho = run.initial
    depths = [0, rho.levels // 2, rho.levels - 1]
    axes = part.subplots(len(depths), len(run.saved_s), sharex=True, sharey=True)
    u, w = (axis.edges for axis in rho.axes)
    shown = [run.at(s).density[depths] for s in run.saved_s]
    top = max(float(density.max()) for density in shown)
    for column, s, density in zip(axes.T, run.saved_s, shown, strict=True):
        for axis, values in zip(column, density, strict=True):
            how = {"vmin": 0, "vmax": top, "cmap": "Greys", "rasterized": True}
            mesh = axis.pcolormesh(u, w, values.T, **how)
            axis.set(xlim=(-4, 4), ylim=(-4, 4), xticks=(-3, 0, 3), yticks=(-3, 0, 3))
        column[0].set_title(f"$s={s:g}$")
        column[-1].set_xlabel("$u$")
    for axis in axes.flat[1:]:
        axis.set_gid(UNLETTERED)
    for axis, k in zip(axes[:, 0], depths, strict=True):
        axis.set_ylabel(f"$t={rho.depth.nodes[k]:g}$\n$w$")
    part.colorbar(mesh, ax=axes, aspect=30, pad=0.01, label=r"$\rho_t(u, w)$")


def _energy(axes, run: mfpde.Solution) -> None:
    """E(s), and E(0) less what has been dissipated."""
    rate = run.gradient_norm2
    spent = np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(run.s))
    axes.loglog(run.s[1:], run.loss[1:], color="k", label="$E(s)$")
    left = run.loss[0] - spent
    few = np.unique(np.geomspace(1, len(left), 25).astype(int)) - 1
    axes.loglog(
        run.s[1:][few],
        left[few],
        "o",
        mfc="none",
        color="C1",
        label=r"$E(0)-\int\!|\mathrm{grad}\,E|^2$",
    )
    axes.loglog(run.s[1:], rate[1:], "--", color="C0", label=r"$|\mathrm{grad}\,E|^2$")
    axes.set(xlabel="training time $s$", ylabel="energy, dissipation")
    axes.legend()


def _joint(axes, rows: dict[str, np.ndarray]) -> None:
    """Differences over the cells, each curve named at its end."""
    n = rows["cells"]
    for number, (name, (mark, label)) in enumerate(CURVES.items()):
        known = np.isfinite(rows[name])
        x, y = n[known], rows[name][known]
        axes.loglog(x, y, mark, color=f"C{number}")
        low = {"COT": -10, "E, upwind": -8}.get(name, -1)
        where = {"xytext": (5, low), "textcoords": "offset points"}
        axes.annotate(label, (x[-1], y[-1]), fontsize=7, **where)
    for start, slope, dash in ((2.0 * rows["COT"][0], -1, ":"), (2.4 * rows["u"][0], -2, "-.")):
        guide(axes, n, start, slope, "", dash)
        end = (n[-1], start * (n[-1] / n[0]) ** slope)
        where = {"xytext": (5, 0), "textcoords": "offset points", "color": "0.45"}
        axes.annotate(f"slope ${slope}$", end, fontsize=7, **where)
    axes.set(xlabel="cells along an axis", ylabel="grid $-$ particles", xlim=(None, 3.0 * n[-1]))
    axes.set_xticks(n, [f"{int(value)}" for value in n])
    axes.xaxis.minorticks_off()


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
