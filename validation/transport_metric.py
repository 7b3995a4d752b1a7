"""The conditional optimal transport distance, held against its definition.

Theorem (Barboni, Peyre, Vialard 2024, Section 2). COT²(ρ, ρ') = ∫ W₂²(ρ_t, ρ'_t) dt is a metric,
the limit of optimal transport on Θ x [0,1] as moving in depth gets dear.

Here. (a) 8 depths x 64 atoms, exact transport on Θ x [0,1] for depth prices beta;
 (b) the metric axioms on random measures of unequal sizes, weights and depth axes;
 (c) what the distance says between two independent samples of one law (sampling bias).

Prediction: (a) equal to 1e-12 at beta = 100; (b) to round-off; (c) far from 0, but 0 debiased.
Takes a few seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws, transport

BETAS = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
FULL = {"triples": 20, "depth_steps": 6, "particles": 256}
QUICK = {"triples": 4, "depth_steps": 2, "particles": 64}


def joint_limit() -> tuple[list[tuple[float, float]], float]:
    """(a) Rows (beta, W_beta / COT) and the error |W² − COT²| of the last one."""
    rng = np.random.default_rng(0)
    t = (np.arange(8) + 0.5) / 8
    mu, nu = ((t, rng.normal(size=(8, 64, 3)) * (1.0 + t[:, None, None])) for _ in range(2))
    exact = mfpde.cot_distance(mu, nu)
    values = [transport.joint_distance(mu, nu, beta=beta) for beta in BETAS]
    rows = [(beta, value / exact) for beta, value in zip(BETAS, values, strict=True)]
    return rows, abs(values[-1] ** 2 - exact**2)


def random_measure(rng: np.random.Generator) -> tuple:
    """Arrays (t, theta, weights) of random sizes in R²."""
    nodes, atoms = rng.integers(2, 7), rng.integers(5, 60)
    weights = rng.random((nodes, atoms))
    return (
        np.sort(rng.random(nodes)),
        rng.normal(size=(nodes, atoms, 2)) * rng.uniform(0.5, 2.0),
        weights / weights.sum(axis=1, keepdims=True),
    )


def axioms(triples: int) -> tuple[float, float, float]:
    """(b) Largest d(μ,μ)², asymmetry and triangle defect over random triples."""
    rng = np.random.default_rng(0)
    own, asymmetry, triangle = 0.0, 0.0, -np.inf
    for _ in range(triples):
        mu, nu, xi = (random_measure(rng) for _ in range(3))
        d = mfpde.cot_distance(mu, nu)
        own = max(own, mfpde.cot_distance(mu, mu) ** 2)
        asymmetry = max(asymmetry, abs(d - mfpde.cot_distance(nu, mu)))
        detour = mfpde.cot_distance(mu, xi) + mfpde.cot_distance(xi, nu)
        triangle = max(triangle, d - detour)
    return own, asymmetry, triangle


def sampling(size: Sizes) -> transport.SampleDistance:
    """(c) Two independent i.i.d. samples of one law, compared as if they were two networks."""
    law, depth = laws.Gaussian(std=[0.5, 1.5, 1.0]), mfpde.Depth(size.depth_steps, "rk4")
    how = {"count": size.particles, "rule": "iid", "coupling": "independent"}
    return transport.sample_distance(
        *(mfpde.ParticleMeasure.from_law(law, depth, seed=seed, **how) for seed in (1, 2))
    )


def measure(size: Sizes, out: Path) -> list[Claim]:
    joint, error = joint_limit()
    study.report(out / "joint.csv", ("beta", "ratio"), joint)
    own, asymmetry, triangle = axioms(size.triples)
    bias = sampling(size)
    study.say(f"\n{bias}")
    return [
        Claim(
            "Transport on Θ x [0,1] equals COT once depth is dear.",
            f"|W² − COT²| = {error:.1e} at beta = {BETAS[-1]:g}; the plain W₂ "
            f"(beta = 1) is {joint[2][1]:.3f} of COT.",
            error < 1e-12,
        ),
        Claim(
            "COT is a metric.",
            f"d(mu,mu)² <= {own:.1e}, asymmetry <= {asymmetry:.1e}, largest d(mu,nu) − "
            f"d(mu,xi) − d(xi,nu) = {triangle:.2g}.",
            own <= 1e-13 and asymmetry <= 1e-12 and triangle <= 1e-12,
        ),
        Claim(
            "Sampling bias decides what a distance between networks may be compared with.",
            f"independent samples of one law are {np.sqrt(bias.plain):.3f} apart; debiased "
            f"COT² {bias.debiased:.2g}.",
            abs(bias.debiased) < 0.2 * bias.plain,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
