"""One limit, computed twice: finite volumes on a grid against quadrature particles.

The flow of rho_t has an Eulerian side (cell masses, fluxes) and a Lagrangian one (particles along
characteristics). They share the passes through depth and nothing of what they approximate.

Here. (a) f = u tanh(wx), p = 2: E(s), marginals (W2 by quantiles) and conditional OT between a
MUSCL grid of n x n cells and particles. Predictions: order 2 of E and marginals; order 1 of COT,
the distance between two sets of n^2 atoms of one law; order 1 of E for upwind fluxes.
(b) f = u tanh(wx + b), target .5x + .4: the grid reaches zero loss, a power law without a plateau.
Takes a minute of one core, --quick ten seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws, transport

FULL = {"levels": [16, 32, 64, 128], "largest_cot": 64, "cells": 128}
FULL |= {"line_cells": (24, 48, 48), "line_end": 1000.0}
QUICK = {"levels": [16, 32, 64], "largest_cot": 32, "cells": 48}
QUICK |= {"line_cells": (12, 24, 24), "line_end": 100.0}
HEADER = ("cells", "E, muscl", "E, upwind", "u", "w", "COT")
X = np.linspace(-1, 1, 16)[:, None]
ODD = mfpde.Problem(X, 1.5 * np.tanh(2 * X), block=mfpde.SHL(1, bias=False))
LINE = mfpde.Problem(X, 0.5 * X + 0.4, block=mfpde.SHL(1))
GAUSS2, GAUSS3 = laws.Gaussian(1.0, dim=2), laws.Gaussian(1.0, dim=3)
TIMES = np.linspace(0.5, 4.0, 8)


def loss_curve(sol: mfpde.Solution) -> np.ndarray:
    return np.array([mfpde.loss(ODD, sol.at(s)) for s in TIMES])


def joint(levels: list[int], largest_cot: int) -> list[tuple[float, ...]]:
    """Differences between grid and particles, refined together: one row for each number of cells.

    Particles: tensor quadrature for E; for marginals n x n carried cells, cut by 8 at the end;
    for COT scrambled Sobol points. The box is wide: what piles up at its walls is 1e-9 of the mass.
    """
    depth, keys = mfpde.Depth(2), {"s_end": TIMES[-1], "save": TIMES, "progress": False}
    tight = {"method": "rk45", "rtol": 1e-8, **keys}
    rule = {"count": (24, 24), "rule": "spectral"}
    exact = mfpde.ParticleMeasure.from_law(GAUSS2, depth, **rule)
    curve = loss_curve(mfpde.solve(ODD, exact, **tight))
    rows = []
    for n in levels:
        start = mfpde.GridMeasure.from_law(GAUSS2, depth, cells=n, box=((-6, 6),) * 2)
        runs = [mfpde.solve(ODD, start, method=name, **keys) for name in ("muscl", "upwind")]
        gaps = [float(np.abs(loss_curve(run) - curve).max()) for run in runs]
        grid, moved = (
            runs[0].final,
            mfpde.solve(ODD, mfpde.MovingGrid.from_grid(start), **tight).final,
        )
        marginals = transport.marginal_distance(grid, moved.refined(8))
        cot = np.nan
        if n <= largest_cot:
            points = mfpde.ParticleMeasure.from_law(GAUSS2, depth, count=n * n)
            points = mfpde.solve(ODD, points, **tight).final
            cot = transport.cot_distance(grid.to_particles(below=1e-9), points)
        rows.append((n, *gaps, *marginals.tolist(), float(cot)))
        study.say(f"{n} x {n} cells")
    return rows


def densities(cells: int) -> mfpde.Solution:
    """The run of (a) at more depths and to later times, for the figure."""
    start = mfpde.GridMeasure.from_law(GAUSS2, mfpde.Depth(4), cells=cells, box=((-4.5, 4.5),) * 2)
    return mfpde.solve(
        ODD, start, s_end=40.0, method="muscl", save=[1.0, 4.0, 40.0], progress=False
    )


def measure(size: Sizes, out: Path) -> list[Claim]:
    rows = joint(size.levels, size.largest_cot)
    study.report(out / "joint.csv", HEADER, rows)
    densities(size.cells).save(out / "density.h5")
    start = mfpde.GridMeasure.from_law(
        GAUSS3, mfpde.Depth(4), cells=size.line_cells, spacing="sinh"
    )
    line = mfpde.solve(LINE, start, s_end=size.line_end, method="muscl", progress=False)
    study.write_series(out / "zero_loss.csv", s=line.s, loss=line.loss)
    n, *columns = np.array(rows).T
    e, first, u, w, cot = (-study.orders(n, column) for column in columns)
    slope = float(study.orders(line.s[[-20, -1]], line.loss[[-20, -1]])[0])
    return [
        Claim("E of grid and particles: order 2", f"orders {e.round(2)}", bool(e[-1] > 1.8)),
        Claim("upwind fluxes: order 1", f"orders {first.round(2)}", bool(0.7 < first[-1] < 1.3)),
        Claim(
            "marginals of u and w: order 2",
            f"orders {u.round(2)}, {w.round(2)}",
            bool(min(u[-1], w[-1]) > 1.7),
        ),
        Claim("COT between n^2 atoms: order 1", f"orders {cot.round(2)}", bool(cot[-1] > 0.7)),
        Claim(
            "the grid goes to zero loss without a plateau",
            f"E({line.s[-1]:g}) = {line.loss[-1]:.2e}, slope {slope:.2f} in log s",
            bool(line.loss[-1] < 1e-3 * line.loss[0] and slope < -0.5),
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
