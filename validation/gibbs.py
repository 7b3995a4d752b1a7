"""Entropic problems on a grid, and what is written of their optima."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from study import write_csv, write_series

import mfpde


def problem(x: np.ndarray, y: np.ndarray, eps: float) -> mfpde.Problem:
    """τ = ε and r = ε (.5|a|² + .05|a|⁴), f(x, a) = a0 tanh(a1 x + a2): Daudin, Delarue 2025."""
    decay = {"weight_decay": eps, "quartic_decay": 0.2 * eps, "temperature": eps}
    return mfpde.Problem(x[:, None], y, block=mfpde.SHL(dim=1, activation="tanh"), **decay)


def prior(problem: mfpde.Problem, cells: int, steps: int) -> mfpde.GridMeasure:
    """ν at every depth, on [−2.5, 2.5]³."""
    grid = mfpde.measures.Grid.of_box([[-2.5, 2.5]] * 3, cells)
    return mfpde.entropic.prior(problem, mfpde.Depth(steps, "rk4"), grid)


def write(
    out: Path,
    x: np.ndarray,
    y: np.ndarray,
    histories: Mapping[tuple[float, int], Any],
    best: Mapping[float, Any],
    fine: mfpde.GridMeasure,
) -> None:
    """Histories by (ε, method), fitted curves by ε, the density of (a0, a1) at three depths."""
    rows = [
        (*key, row.forward + row.adjoint, row.J, row.residual)
        for key, history in histories.items()
        for row in history
        if row.factor == 1.0
    ]
    write_csv(out / "histories.csv", ("eps", "method", "passes", "J", "residual"), rows)
    write_series(out / "data.csv", x=x, y=y)
    points, curves = np.linspace(x.min() - 0.2, x.max() + 0.2, 121), []
    for eps, result in best.items():
        values = mfpde.predict(problem(x, y, eps), result.final, points[:, None])[:, 0]
        curves += [(eps, *pair) for pair in zip(points.tolist(), values.tolist(), strict=True)]
    write_csv(out / "curves.csv", ("eps", "x", "value"), curves)
    part, rows = fine.marginal((0, 1)), []
    for k in (0, part.levels // 2, part.levels - 1):
        columns = [
            np.full(part.density[k].size, part.depth.nodes[k]),
            *part.grid.points.reshape(-1, 2).T,
        ]
        rows += np.column_stack([*columns, part.density[k].ravel()]).tolist()
    write_csv(out / "densities.csv", ("t", "a0", "a1", "density"), rows)
