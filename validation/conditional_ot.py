"""The conditional optimal transport distance, held against its definition and against a flow.

Theorems. COT²(ρ, ρ') = ∫ W₂²(ρ_t, ρ'_t) dt is a metric, the limit of optimal transport on Θ x [0,1]
as moving in depth gets dear (Barboni, Peyre, Vialard 2024, Section 2). Along its gradient flow
dE/ds = −|ρ'|², and while |grad E|² >= 2 m E holds, COT(ρ_s, ρ_inf) <= sqrt(2 E(s)/m) and the path
is no longer than sqrt(2/m) (sqrt E(0) − sqrt E(s)).

Here. (a) 8 depths x 64 atoms, exact transport on Θ x [0,1] for depth prices beta;
 (b) the metric axioms on random measures of unequal sizes, weights and depth axes;
 (c) the flow of a mean-field ResNet that learns a monotone function of one variable (p = 3): its
     speed by transport alone, COT(ρ_s, ρ_{s+h})/h, against the fall of E, for h and h/2;
 (d) COT(ρ_0, ρ_s), COT(ρ_s, ρ_inf) and the path length against the bounds, and how the regularity
     in depth t -> ρ_t evolves;
 (e) what the same comparison would say between independent samples of ρ_0 (sampling bias).

Prediction: (a) equal to 1e-12 at beta = 100; (b) to round-off; (c) relative error O(h²); (d) every
bound holds at every s. Takes about two minutes on 2 cores, --quick a few seconds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from reporting import Claim, parser, say, table, verdict, write_csv

import mfpde
from mfpde import laws, transport


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    data: int = 8
    depth_steps: int = 6
    particles: int = 256
    goal: float = 1e-8
    saves: int = 17
    triples: int = 20
    seed: int = 0

    @classmethod
    def quick(cls) -> Settings:
        return cls(data=6, depth_steps=2, particles=64, goal=1e-5, saves=9, triples=4)


BETAS = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)


def joint_limit(seed: int) -> tuple[list[tuple[float, float]], float]:
    """(a) Rows (beta, W_beta / COT) and the error |W² − COT²| of the last one."""
    rng = np.random.default_rng(seed)
    t = (np.arange(8) + 0.5) / 8
    mu, nu = ((t, rng.normal(size=(8, 64, 3)) * (1.0 + t[:, None, None])) for _ in range(2))
    exact = mfpde.cot_distance(mu, nu)
    values = [transport.joint_distance(mu, nu, beta=beta) for beta in BETAS]
    return [(b, v / exact) for b, v in zip(BETAS, values, strict=True)], abs(
        values[-1] ** 2 - exact**2
    )


def random_measure(rng: np.random.Generator) -> tuple:
    """Arrays (t, theta, weights) of random sizes in R²."""
    nodes, atoms = rng.integers(2, 7), rng.integers(5, 60)
    weights = rng.random((nodes, atoms))
    return (
        np.sort(rng.random(nodes)),
        rng.normal(size=(nodes, atoms, 2)) * rng.uniform(0.5, 2.0),
        weights / weights.sum(axis=1, keepdims=True),
    )


def axioms(settings: Settings) -> tuple[float, float, float]:
    """(b) Largest d(μ,μ)², asymmetry and triangle defect over random triples."""
    rng = np.random.default_rng(settings.seed)
    own, asymmetry, triangle = 0.0, 0.0, -np.inf
    for _ in range(settings.triples):
        mu, nu, xi = (random_measure(rng) for _ in range(3))
        d = mfpde.cot_distance(mu, nu)
        own = max(own, mfpde.cot_distance(mu, mu) ** 2)
        asymmetry = max(asymmetry, abs(d - mfpde.cot_distance(nu, mu)))
        detour = mfpde.cot_distance(mu, xi) + mfpde.cot_distance(xi, nu)
        triangle = max(triangle, d - detour)
    return own, asymmetry, triangle


def learning_problem(settings: Settings) -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    """y = x + .3 sin πx with hidden states in R: θ = (u, w, b)."""
    x = np.linspace(-1.0, 1.0, settings.data)[:, None]
    problem = mfpde.Problem(
        x, x + 0.3 * np.sin(np.pi * x), block=mfpde.SHL(dim=1, activation="tanh")
    )
    law = laws.Gaussian(std=[0.5, 1.5, 1.0])
    depth = mfpde.Depth(settings.depth_steps, "rk4")
    return problem, mfpde.ParticleMeasure.from_law(
        law, depth, count=settings.particles, seed=settings.seed
    )


def flow(settings: Settings) -> mfpde.Solution:
    """(d) The gradient flow down to the goal, every step kept.

    A loose tolerance finds E but not |grad E|²: what it leaves in stiff directions hardly enters E
    and multiplies the gradient, so that m would come out several times too large.
    """
    problem, rho0 = learning_problem(settings)
    return mfpde.solve(
        problem,
        rho0,
        s_end=np.inf,
        loss_below=settings.goal,
        method="implicit",
        rtol=1e-4,
        save="steps",
    )


def energy_identity(settings: Settings) -> list[tuple[float, float, float, float]]:
    """(c) Rows (s, h, −dE/ds, |ρ'|²), both by central quotients over [s − h/2, s + h/2]."""
    problem, rho0 = learning_problem(settings)
    h = 0.04
    rows = []
    for s in (0.1, 0.4, 1.6):
        times = np.array([s - h / 2, s - h / 4, s + h / 4, s + h / 2])
        run = mfpde.solve(problem, rho0, s_end=times[-1], method="rk45", rtol=1e-10, save=times)
        states = [run.at(time) for time in times]
        for early, late, width in ((0, 3, h), (1, 2, h / 2)):
            fall = mfpde.loss(problem, states[early]) - mfpde.loss(problem, states[late])
            speed = mfpde.cot_distance(states[early], states[late]) / width
            rows.append((s, width, fall / width, speed**2))
    return rows


def evolution(run: mfpde.Solution, settings: Settings) -> list[tuple[float, ...]]:
    """(d) Rows: s, E, from the start, to the end, its bound, length, its bound, depth rate."""
    steps = np.unique(np.linspace(0, len(run.s) - 1, settings.saves).astype(int))
    states = [run.at(run.s[k]) for k in steps]
    ratio = run.gradient_norm2 / (2.0 * run.loss)
    lengths = np.concatenate([[0.0], np.cumsum([mfpde.cot_distance(*p) for p in pairwise(states)])])
    rows = []
    for k, state, length in zip(steps, states, lengths, strict=True):
        ahead, behind = float(ratio[k:].min()), float(ratio[: k + 1].min())
        drop = np.sqrt(run.loss[0]) - np.sqrt(run.loss[k])
        gap, change = transport.depth_regularity(state)
        rows.append(
            (
                float(run.s[k]),
                float(run.loss[k]),
                mfpde.cot_distance(states[0], state),
                mfpde.cot_distance(state, states[-1]),
                float(np.sqrt(2.0 * run.loss[k] / ahead)),
                float(length),
                float(np.sqrt(2.0 / behind) * drop),
                float(np.max(change / gap)),
            )
        )
    return rows


COLUMNS = ("s", "loss", "from_start", "to_end", "end_bound", "length", "length_bound", "depth_rate")


def sampling(settings: Settings) -> transport.SampleDistance:
    """(e) Two independent i.i.d. samples of ρ_0, compared as if they were two networks."""
    _, rho0 = learning_problem(settings)
    law = laws.Gaussian(std=[0.5, 1.5, 1.0])
    samples = [
        mfpde.ParticleMeasure.from_law(
            law, rho0.depth, count=settings.particles, rule="iid", coupling="independent", seed=seed
        )
        for seed in (1, 2)
    ]
    return transport.sample_distance(*samples)


def rays(run: mfpde.Solution, nodes: list[int], out: Path) -> None:
    """Where the optimal plan of (ρ_0, ρ_inf) sends each atom, for the figure."""
    plan = transport.conditional_transport(run.initial, run.final)
    fields = transport.tangent_field(plan)
    rows = [
        (float(run.initial.depth.nodes[k]), *map(float, theta), *map(float, theta + step))
        for k in nodes
        for theta, step in zip(run.initial.theta[k], fields[k], strict=True)
    ]
    write_csv(out / "rays.csv", ("t", "u0", "w0", "b0", "u1", "w1", "b1"), rows)


def main(argv: list[str] | None = None) -> int:
    chosen = parser(__doc__, "conditional_ot").parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()

    joint, joint_error = joint_limit(settings.seed)
    table(("beta", "W_beta / COT"), joint)
    write_csv(chosen.out / "joint.csv", ("beta", "ratio"), joint)
    own, asymmetry, triangle = axioms(settings)

    identity = energy_identity(settings)
    print()
    table(("s", "h", "-dE/ds", "speed²"), identity)
    errors = np.array([abs(speed2 / fall - 1.0) for _, _, fall, speed2 in identity]).reshape(-1, 2)

    run = flow(settings)
    say(f"\n{run}\n")
    rows = evolution(run, settings)
    table(COLUMNS, rows)
    write_csv(chosen.out / "evolution.csv", COLUMNS, rows)
    last = run.initial.levels - 1
    rays(run, [0, last // 2, last], chosen.out)
    bias = sampling(settings)
    say(f"\n{bias}")

    data = np.array(rows)
    end, end_bound, length, length_bound = data[:, 3:7].T
    return verdict(
        [
            Claim(
                "Transport on Θ x [0,1] equals COT once depth is dear.",
                f"|W² − COT²| = {joint_error:.1e} at beta = {BETAS[-1]:g}; the plain W₂ "
                f"(beta = 1) is {joint[2][1]:.3f} of COT.",
                joint_error <= 1e-12,
            ),
            Claim(
                "COT is a metric.",
                f"d(mu,mu)² <= {own:.1e}, asymmetry <= {asymmetry:.1e}, largest d(mu,nu) − "
                f"d(mu,xi) − d(xi,nu) = {triangle:.2g}.",
                own <= 1e-13 and asymmetry <= 1e-12 and triangle <= 1e-12,
            ),
            Claim(
                "dE/ds = −|ρ'|², the speed taken from transport alone.",
                f"relative error {errors[:, 0].max():.1e} for h, {errors[:, 1].max():.1e} for h/2 "
                "(second order: a quarter).",
                bool(np.all(errors[:, 1] <= 0.3 * errors[:, 0]) and errors[:, 1].max() < 1e-3),
            ),
            Claim(
                "COT(ρ_s, ρ_inf) <= sqrt(2 E(s)/m), m the smallest |grad E|²/(2E) from s on.",
                f"ratio at most {np.max(end[:-1] / end_bound[:-1]):.3f}.",
                bool(np.all(end <= end_bound)),
            ),
            Claim(
                "Path length <= sqrt(2/m) (sqrt E(0) − sqrt E(s)), and COT(ρ_0, ρ_s) <= length.",
                f"ratio at most {np.max(length[1:] / length_bound[1:]):.3f}; the whole path is "
                f"{length[-1] / data[-1, 2]:.3f} of the distance from start to end.",
                bool(np.all(length <= length_bound) and np.all(data[:, 2] <= length + 1e-12)),
            ),
            Claim(
                "Sampling bias decides what a distance between networks may be compared with.",
                f"independent samples of one ρ_0 are {np.sqrt(bias.plain):.3f} apart, ρ_0 and "
                f"ρ_inf {data[-1, 2]:.3f}; debiased COT² {bias.debiased:.2g}.",
                abs(bias.debiased) < 0.2 * bias.plain,
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
