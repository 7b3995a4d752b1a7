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

import numpy as np
from reporting import Claim, parser, table, verdict, write_csv
from scipy.optimize import minimize

import mfpde
from mfpde import laws
from mfpde.flows import dual
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.schemes import implicit
from mfpde.runs.clock import Clock


def learning_problem(particles: int, seed: int = 0) -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    """y = x + .3 sin πx with hidden states in R, two rk4 steps in depth."""
    x = np.linspace(-1.0, 1.0, 8)[:, None]
    y = x + 0.3 * np.sin(np.pi * x)
    problem = mfpde.Problem(x, y, block=mfpde.SHL(dim=1, activation="tanh"))
    law = laws.Gaussian(std=[1.0, 1.5, 1.0])
    depth = mfpde.Depth(2, "rk4")
    return problem, mfpde.ParticleMeasure.from_law(law, depth, count=particles, seed=seed)


def proximal(problem: mfpde.Problem, rho: mfpde.ParticleMeasure, h: float) -> mfpde.ParticleMeasure:
    """argmin E + COT²(·, ρ)/(2h) over the particles, from ρ itself.

    In z = √(ω_k a_kj) θ_kj the metric is Euclidean and the functional h-strongly curved.
    """
    root = np.sqrt(rho.depth.weights[:, None] * rho.weights)[:, :, None]

    def functional(z: np.ndarray) -> tuple[float, np.ndarray]:
        moved = rho.with_state(rho.theta + z.reshape(rho.theta.shape) / root)
        slope = (root * mfpde.gradient(problem, moved)).ravel()
        return h * mfpde.loss(problem, moved) + 0.5 * float(z @ z), h * slope + z

    found = minimize(
        functional,
        np.zeros(rho.theta.size),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 0.0, "gtol": 1e-12, "maxiter": 500},
    )
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


def slopes(rows: list[tuple]) -> np.ndarray:
    """Observed orders between consecutive rows (h, error, …)."""
    h, error = np.array([row[:2] for row in rows]).T
    return np.diff(np.log(error)) / np.diff(np.log(h))


def main(argv: list[str] | None = None) -> int:
    chosen = parser(__doc__, "proximal_step").parse_args(argv)
    problem, rho = learning_problem(32 if chosen.quick else 128)
    single = one_step(problem, rho, [0.2, 0.1, 0.05, 0.025, 0.0125])
    several = scheme(problem, rho, [0.25, 0.125] if chosen.quick else [0.2, 0.1, 0.05, 0.025])
    header = ("h", "to_implicit", "moved", "index_excess", "decay")
    table(header, single)
    print()
    table(("h", "to_flow"), several)
    write_csv(chosen.out / "one_step.csv", header, single)
    write_csv(chosen.out / "scheme.csv", ("h", "to_flow"), several)
    first, second = slopes(single), slopes(several)
    excess, decay = max(row[3] for row in single), min(row[4] for row in single)
    return verdict(
        [
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
            Claim(
                "E(ρ^{n+1}) + COT²/(2h) <= E(ρ^n).",
                f"smallest margin {decay:.2e}.",
                decay > 0,
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
