"""The minimising movement scheme, the implicit step and the flow.

Theorem. The flow is the limit of ρ^{n+1} = argmin E(ρ) + COT²(ρ, ρ^n)/(2h) as h -> 0 (Jordan,
Kinderlehrer, Otto 1998; Ambrosio, Gigli, Savare 2008, Section 11.1; Barboni, Peyre, Vialard 2024
for COT). The linearly implicit Euler step of ``method="implicit"`` is this step with the outputs
linearised at ρ^n and COT² taken along the particles' own indices.

Here. A mean-field ResNet that learns a function of one variable. The proximal problem is solved to
round-off by L-BFGS in the metric's own coordinates; (a) one proximal step against one linearly
implicit Euler step; (b) proximal steps up to s = 1 against the flow; (c) that the coupling by
indices is optimal, so that the minimised functional is the one of the theorem, and that
E(ρ^{n+1}) + COT²/(2h) <= E(ρ^n).

Prediction: (a) O(h²), (b) O(h), (c) to round-off. Takes about half a minute on 2 cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from scipy.optimize import minimize
from study import Claim, Sizes

import mfpde
from mfpde.flows import dual
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.schemes import implicit
from mfpde.runs.clock import Clock

FULL = {"particles": 128, "steps": [0.2, 0.1, 0.05, 0.025]}
QUICK = {"particles": 32, "steps": [0.25, 0.125]}


def proximal(problem: mfpde.Problem, rho: mfpde.ParticleMeasure, h: float) -> mfpde.ParticleMeasure:
    """argmin E + COT²(·, ρ)/(2h) over the particles, from ρ itself.

    In z = √(ω_k a_kj) θ_kj the metric is Euclidean and the functional h-strongly curved.
    """
    root = np.sqrt(rho.depth.weights[:, None] * rho.weights)[:, :, None]

    def functional(z: np.ndarray) -> tuple[float, np.ndarray]:
        moved = rho.with_state(rho.theta + z.reshape(rho.theta.shape) / root)
        slope = (root * mfpde.gradient(problem, moved)).ravel()
        return h * mfpde.loss(problem, moved) + 0.5 * float(z @ z), h * slope + z

    how = {"method": "L-BFGS-B", "options": {"ftol": 0.0, "gtol": 1e-12, "maxiter": 500}}
    found = minimize(functional, np.zeros(rho.theta.size), jac=True, **how)
    return rho.with_state(rho.theta + found.x.reshape(rho.theta.shape) / root)


def linearised(
    problem: mfpde.Problem, rho: mfpde.ParticleMeasure, h: float
) -> mfpde.ParticleMeasure:
    """One linearly implicit Euler step, the building block of ``method="implicit"``."""
    flow = ParticleFlow(problem, rho, Clock())
    return rho.with_state(rho.theta + implicit.euler(flow, flow.at(rho.theta), h, dual.Dense(flow)))


def one_step(problem: mfpde.Problem, rho: mfpde.ParticleMeasure, steps: list[float]) -> list[tuple]:
    """(a, c) Rows: h, COT(proximal, implicit), COT(proximal, ρ), index coupling's excess, decay."""
    rows = []
    for h in steps:
        exact, linear = proximal(problem, rho, h), linearised(problem, rho, h)
        moved = mfpde.cot_distance(exact, rho)
        by_index = mfpde.cot_distance(exact, rho, method="same_index")
        decay = mfpde.loss(problem, rho) - mfpde.loss(problem, exact) - moved**2 / (2 * h)
        rows.append((h, mfpde.cot_distance(exact, linear), moved, by_index / moved - 1.0, decay))
    return rows


def scheme(problem: mfpde.Problem, rho: mfpde.ParticleMeasure, steps: list[float]) -> list[tuple]:
    """(b) Rows: h, COT(scheme, flow) at s = 1."""
    flow = mfpde.solve(problem, rho, s_end=1.0, method="rk45", rtol=1e-9, atol=1e-12).final
    rows = []
    for h in steps:
        state = rho
        for _ in range(round(1.0 / h)):
            state = proximal(problem, state, h)
        rows.append((h, mfpde.cot_distance(state, flow)))
    return rows


def measure(size: Sizes, out: Path) -> list[Claim]:
    law, depth = mfpde.laws.Gaussian(std=[1.0, 1.5, 1.0]), mfpde.Depth(2, "rk4")
    rho = mfpde.ParticleMeasure.from_law(law, depth, count=size.particles)
    single = one_step(study.learning(), rho, [0.2, 0.1, 0.05, 0.025, 0.0125])
    several = scheme(study.learning(), rho, size.steps)
    header = ("h", "to_implicit", "moved", "index_excess", "decay")
    study.report(out / "one_step.csv", header, single)
    study.report(out / "scheme.csv", ("h", "to_flow"), several)
    first, second = (study.orders(*np.array(rows)[:, :2].T) for rows in (single, several))
    excess, decay = max(row[3] for row in single), min(row[4] for row in single)
    return [
        Claim(
            "The implicit step is the proximal step up to O(h²).",
            f"orders {np.round(first, 2)}.",
            bool(np.all(np.abs(first[1:] - 2.0) < 0.15)),
        ),
        Claim(
            "Proximal steps follow the flow up to O(h).",
            f"orders {np.round(second, 2)}.",
            bool(np.all(np.abs(second - 1.0) < 0.2)),
        ),
        Claim(
            "The particles' own indices are an optimal coupling of one step.",
            f"excess at most {excess:.1e} of the distance.",
            excess <= 1e-9,
        ),
        Claim("E(ρ^{n+1}) + COT²/(2h) <= E(ρ^n).", f"smallest margin {decay:.2e}.", decay > 0),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
