"""The long-time limit: where its support is everything E is zero, where E stays it is not.

Theorem (Lu, Ma, Lu, Lu, Ying 2020; Ding, Chen, Li, Wright 2021, Theorem 7). If the flow converges
and its limit has full support, E = 0 there: V is constant on the support of a stationary law, so
that all features are orthogonal to the adjoint state.

Here. Blocks u tanh(w x), target .6 x, which needs uw < 0. Cell masses on the box [a, 2]², whose
walls are barriers that no mass passes, from the uniform law; a from −2 (open) to .2 (no uw < 0),
with fixed depth and with free depth. Measured at the end: E, the share of cells that hold more than
1e-4 of the uniform mass, and for fixed depth the stationarity residual over the box and over all of
[−2, 2]², by depth. Prediction: never E > 0 with full support; behind the barrier the mass gathers
in the corner, E ends on that of the corner cell, the residual is zero within the walls and positive
beyond them at every depth. Takes 40 seconds on one core, --quick ten.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import theory

HELD, BETA, LAYERS = 1e-4, 0.5, 4
FULL = {"cells": 16, "corners": (-2.0, -1.0, -0.5, -0.1, 0.0, 0.2), "s_end": 400.0}
QUICK = {"cells": 12, "corners": (-2.0, 0.2), "s_end": 200.0}


def task() -> mfpde.Problem:
    x = np.linspace(-1.0, 1.0, 8)[:, None]
    return mfpde.Problem(x, 0.6 * x, block=mfpde.SHL(1, bias=False))


def start(corner: float, free: bool, cells: int) -> mfpde.GridMeasure | mfpde.JointGrid:
    """The uniform law on [corner, 2]² at every depth."""
    grid = mfpde.measures.Grid.of_box([[corner, 2.0]] * 2, cells)
    masses = np.full((LAYERS, cells, cells), cells**-2.0)
    if free:
        return mfpde.JointGrid(masses / LAYERS, grid, beta=BETA)
    return mfpde.GridMeasure(masses, mfpde.Depth(LAYERS, "euler"), grid)


def covered(masses: np.ndarray) -> float:
    """Share of the cells with more than HELD times the uniform mass."""
    return float((masses > HELD * masses.sum() / masses.size).mean())


def corner_loss(corner: float, cells: int) -> float:
    """E of all mass in the cell next to the corner."""
    centre = corner + 0.5 * (2.0 - corner) / cells
    rho = mfpde.ParticleMeasure(np.full((LAYERS, 1, 2), centre), mfpde.Depth(LAYERS, "euler"))
    return mfpde.loss(task(), rho)


def residuals(rho: mfpde.GridMeasure) -> np.ndarray:
    """Depth, residual within the walls and in [−2, 2]², rows by depth node."""
    boxes = (None, [[-2.0, 2.0]] * 2)  # None: between the outermost centres
    found = [theory.stationarity(task(), rho, box).per_depth for box in boxes]
    return np.column_stack([rho.depth.nodes, *found])


def measure(size: Sizes, out: Path) -> list[Claim]:
    rows, last = [], {}
    for free in (False, True):
        for corner in size.corners:
            rho = start(corner, free, size.cells)
            how = {"raise_on_failure": False, "max_steps": 5000, "loss_below": 1e-9}
            sol = mfpde.solve(task(), rho, s_end=size.s_end, **how)
            share = covered(sol.final.masses)
            rows.append((int(free), corner, float(sol.loss[0]), float(sol.loss[-1]), share))
            last[free, corner] = sol
            study.say(f"a = {corner:g}, {'free' if free else 'fixed'} depth: {sol}")
    study.report(out / "ends.csv", ("free", "corner", "E(0)", "E", "support"), rows)
    closed = size.corners[-1]
    by_depth = residuals(last[False, closed].final)
    names = ("t", "inside", "everywhere")
    study.report(out / "residuals.csv", names, by_depth.tolist())
    ends = {(bool(row[0]), row[1]): row[3:] for row in rows}
    floor = corner_loss(closed, size.cells)
    claims = []
    for free, name in ((False, "fixed depth"), (True, "free depth")):
        found = [end for (kind, _), end in ends.items() if kind == free]
        positive = [share for loss, share in found if loss > 0.005]
        text = ", ".join(f"({loss:.1e}, {share:.2f})" for loss, share in found)
        holds = found[0][0] < 0.005 and found[0][1] > 0.9 and max(positive) < 0.5
        claims.append(Claim(f"{name}: E > 0 only where support is missing.", text, holds))
        end = ends[free, closed][0]
        shown = f"E at the end {end:.5f}, of the corner cell {floor:.5f}"
        near = abs(end / floor - 1) < 0.02
        claims.append(Claim(f"{name}: behind the barrier E ends on the corner's.", shown, near))
    inside, outside = by_depth[:, 1], by_depth[:, 2]
    shown = f"residuals by depth {np.round(outside, 3)}, within the walls up to {inside.max():.1e}"
    deep = bool(np.all(outside > 20 * np.abs(inside).max()))
    return [*claims, Claim("Every depth has a way out, beyond the walls.", shown, deep)]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
