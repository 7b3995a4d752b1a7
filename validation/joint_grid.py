"""The joint flow in depth and parameter, by blocks and on a grid in (t, θ).

Flow (Lu et al. 2020). ∂_s ρ = div_(θ,t)(ρ ∇_(θ,t) V) on Θ x [0,1] with a price of depth beta.

Here. Blocks u tanh(w x) from a smooth law that turns with depth, to the same time s = .1, by Sobol
blocks and by finite volumes in (t, θ), refined together. Prediction: E agrees under refinement, to
far less than what moving in depth adds to its fall. Takes 20 seconds on one core, --quick five.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws

FULL, QUICK = {"grids": (8, 16, 32), "reference": 32768}, {"grids": (8, 16), "reference": 4096}


def smooth_law(t: float) -> laws.Law:
    return laws.Gaussian([0.35, 0.35], [1.5 * np.cos(np.pi * t), 1.2 + 0.8 * np.sin(np.pi * t / 2)])


def by_blocks(problem: mfpde.Problem, count: int, beta: float) -> mfpde.Solution:
    rho = mfpde.JointMeasure.from_law(smooth_law, count=count, beta=beta)
    return mfpde.solve(problem, rho, s_end=0.1, method="rk4", step=0.01)


def by_grid(problem: mfpde.Problem, cells: int) -> float:
    how = {"depth_cells": cells, "cells": 2 * cells, "box": ((-4, 4), (-2, 4.5)), "beta": 0.2}
    rho = mfpde.JointGrid.from_law(smooth_law, **how)
    return float(mfpde.solve(problem, rho, s_end=0.1, method="muscl").loss[-1])


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem = study.learning(0.5, 32, bias=False)
    free, frozen = (by_blocks(problem, size.reference, beta).loss for beta in (0.2, np.inf))
    found = [(cells, by_grid(problem, cells)) for cells in size.grids]
    rows = [(cells, loss, float(abs(loss - free[-1]))) for cells, loss in found]
    study.report(out / "grids.csv", ("cells", "loss", "difference"), rows)
    fall, share = free[0] - free[-1], frozen[-1] - free[-1]
    return [
        Claim(
            "Grid and blocks agree under refinement.",
            f"difference {rows[-1][2]:.1e} at {rows[-1][0]} cells ({rows[0][2]:.1e} at "
            f"{rows[0][0]}) of a fall of {fall:.1e}, to which depth adds {share:.1e}.",
            bool(rows[-1][2] < 0.5 * rows[0][2] and rows[-1][2] < 0.1 * share),
        )
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
