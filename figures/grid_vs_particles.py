"""Figure: the PDE on a grid, and the same limit by particles.

a: rho_t(u, w) over depth (down) and training time (across). b: loss with its dissipation, whose
integral gives back what the loss has lost. c: difference of grid and particles under joint
refinement. d: the loss of a grid on its way to zero. Data: validation/grid_vs_particles.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, above, columns, densities, guide, script, style, ticks
from matplotlib.figure import Figure

import mfpde

CURVES = {
    "COT": ("D-", "COT"),
    "u": ("s-", "$W_2$ of $u$"),
    "w": ("x--", "$W_2$ of $w$"),
    "E, upwind": ("v--", "$E$, upwind"),
    "E, muscl": ("o-", "$E$, MUSCL"),
}


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    run, rows = mfpde.Solution.load(data / "density.h5"), columns(data / "joint.csv")
    line = columns(data / "zero_loss.csv")
    with style() as plt:
        figure = plt.figure(figsize=(PAGE, 6.6))
        top, bottom = figure.subfigures(2, 1, height_ratios=(2.0, 1))
        densities(top, run)
        energy, joint, zero = bottom.subplots(1, 3)
        rate, s = run.gradient_norm2, run.s[1:]
        left = run.loss[0] - np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(run.s))
        few = np.unique(np.geomspace(1, len(left), 25).astype(int)) - 1
        energy.loglog(s, run.loss[1:], color="k", label="$E(s)$")
        energy.loglog(s[few], left[few], "C1o", mfc="none", label=r"$E(0)-\int|\mathrm{grad}E|^2$")
        energy.loglog(s, rate[1:], "--", color="C0", label=r"$|\mathrm{grad}E|^2$")
        energy.set(xlabel="training time $s$", ylabel="energy, dissipation")
        for number, (name, (mark, label)) in enumerate(CURVES.items()):
            joint.loglog(rows["cells"], rows[name], mark, color=f"C{number}", label=label)
        guide(joint, rows["cells"], 2.0 * rows["COT"][0], -1, "slope $-1$")
        guide(joint, rows["cells"], 2.4 * rows["u"][0], -2, "slope $-2$", "-.")
        ticks(joint.xaxis, rows["cells"])
        joint.set(xlabel="cells along an axis", ylabel="grid $-$ particles")
        zero.loglog(line["s"][1:], line["loss"][1:], color="k", label="target $0.5\\,x+0.4$")
        zero.set(xlabel="training time $s$", ylabel="loss $E(s)$")
        for axes in (energy, joint, zero):
            above(axes)
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
