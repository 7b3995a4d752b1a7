"""Which damping makes Picard's iteration converge to an entropic optimum, and which does not.

Theorem. The damped iteration ρ <- (1 − ω) ρ + ω Gibbs(ρ) for the Gibbs state of an entropic
mean-field ResNet contracts near it if and only if λ < 2/ω − 1, λ the largest eigenvalue of
−(derivative of the Gibbs map), which grows like 1/ε.

Here. The problem of entropic_grid.py. Prediction: with the published ω = .3 Picard converges from
ν where λ < 2/ω − 1, so not at ε = .01; near the solution there it does with ω = 1.8/(1 + λ) and
does not with ω = 2.2/(1 + λ). Takes about 10 seconds on one core, --quick five.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gibbs
import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde.entropic.free_energy import FreeEnergy

DAMPING, LEAST = 0.3, 0.01
FULL = {"cells": 10, "steps": 20, "levels": (0.5, 0.05, 0.01, 0.002)}
QUICK = {"cells": 8, "steps": 10, "levels": (0.5, 0.05, 0.01)}


def stiffness(problem: mfpde.Problem, rho: mfpde.GridMeasure, products: int = 40) -> float:
    """λ at ρ, by power iteration."""
    point = FreeEnergy(problem, rho).at_measure(rho)
    d = point.centred(np.random.default_rng(0).standard_normal(point.logs.shape))
    for _ in range(products):
        d /= np.sqrt(point.inner(d, d))
        image = point.centred(point.curvature(d) - d)
        value, d = point.inner(d, image), image
    return float(value)


def picard(
    problem: mfpde.Problem, start: mfpde.GridMeasure, damping: float, **how: float
) -> mfpde.entropic.Stationary:
    how |= {"method": "picard", "damping": damping, "raise_on_failure": False}
    return mfpde.stationary(problem, start, **how)


def measure(size: Sizes, out: Path) -> list[Claim]:
    x, y = study.standardised(size.data, size.inputs, size.targets)
    rows, known = [], {}
    for eps in size.levels:
        problem = gibbs.problem(x, y, eps)
        nu = gibbs.prior(problem, size.cells, size.steps)
        exact = mfpde.stationary(problem, nu, tol=1e-5, method="newton").final
        cold = picard(problem, nu, DAMPING, tol=1e-5)
        rows.append((eps, stiffness(problem, exact), float(cold.residual), int(cold.success)))
        known[eps] = problem, nu, exact
    study.report(out / "threshold.csv", ("eps", "lambda", "residual", "converged"), rows)
    of = {eps: value for eps, value, _, _ in rows}
    problem, nu, exact = known[LEAST]
    near = mfpde.GridMeasure(0.999 * exact.masses + 0.001 * nu.masses, exact.depth, exact.grid)
    largest = 2 / (1 + of[LEAST])
    below, above = (
        picard(problem, near, share * largest, max_steps=300).residual for share in (0.9, 1.1)
    )
    shown = (f"ε = {eps:g}: λ = {value:.2f}, residual {end:.1e}" for eps, value, end, _ in rows)
    stable = [value < 2 / DAMPING - 1 for value in of.values()]
    return [
        Claim(
            f"Picard with ω = {DAMPING:g} converges where λ < 2/ω − 1 = {2 / DAMPING - 1:.2f}, "
            "and not at ε = .01.",
            ", ".join(shown) + ".",
            [bool(row[3]) for row in rows] == stable and of[LEAST] > 2 / DAMPING - 1,
        ),
        Claim(
            "Near the solution at ε = .01 it does with ω = 1.8/(1 + λ), not with 2.2/(1 + λ).",
            f"2/(1 + λ) = {largest:.4f}: residuals {below:.1e} and {above:.1e}.",
            below <= 1e-5 < 0.01 < above,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK, **study.DIABETES)

if __name__ == "__main__":
    sys.exit(main())
