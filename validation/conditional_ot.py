"""The gradient flow measured by conditional optimal transport alone: speed, distances, length.

Theorem (Barboni, Peyre, Vialard 2024). COT²(ρ, ρ') = ∫ W₂²(ρ_t, ρ'_t) dt. Along its gradient flow
dE/ds = −|ρ'|², and while |grad E|² >= 2 m E holds, COT(ρ_s, ρ_inf) <= sqrt(2 E(s)/m) and the path
is no longer than sqrt(2/m) (sqrt E(0) − sqrt E(s)).

Here. A mean-field ResNet that learns a monotone function of one variable (p = 3):
 (a) its speed by transport alone, COT(ρ_s, ρ_{s+h})/h, against the fall of E, for h and h/2;
 (b) COT(ρ_0, ρ_s), COT(ρ_s, ρ_inf) and the path length against the bounds, and how the regularity
     in depth t -> ρ_t evolves. A loose tolerance would find E but not |grad E|²: what it leaves in
     stiff directions hardly enters E, and m would come out several times too large.

Prediction: (a) relative error O(h²); (b) every bound holds at every s. Takes about two minutes on
2 cores, --quick a few seconds.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws, transport

FULL = {"data": 8, "depth_steps": 6, "particles": 256, "goal": 1e-8, "saves": 17}
QUICK = {"data": 6, "depth_steps": 2, "particles": 64, "goal": 1e-5, "saves": 9}
COLUMNS = ("s", "loss", "from_start", "to_end", "end_bound", "length", "length_bound", "depth_rate")


def learning_problem(size: Sizes) -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    law, depth = laws.Gaussian(std=[0.5, 1.5, 1.0]), mfpde.Depth(size.depth_steps, "rk4")
    rho0 = mfpde.ParticleMeasure.from_law(law, depth, count=size.particles)
    return study.learning(count=size.data), rho0


def speeds(problem: mfpde.Problem, rho0: mfpde.ParticleMeasure) -> list[tuple[float, ...]]:
    """(a) Rows (s, h, −dE/ds, |ρ'|²), both by central quotients over [s − h/2, s + h/2]."""
    h, rows = 0.04, []
    for s in (0.1, 0.4, 1.6):
        times = np.array([s - h / 2, s - h / 4, s + h / 4, s + h / 2])
        run = mfpde.solve(problem, rho0, s_end=times[-1], method="rk45", rtol=1e-10, save=times)
        states = [run.at(time) for time in times]
        for early, late, width in ((0, 3, h), (1, 2, h / 2)):
            fall = mfpde.loss(problem, states[early]) - mfpde.loss(problem, states[late])
            speed = mfpde.cot_distance(states[early], states[late]) / width
            rows.append((s, width, fall / width, speed**2))
    return rows


def evolution(run: mfpde.Solution, saves: int) -> list[tuple[float, ...]]:
    """(b) Rows of COLUMNS."""
    steps = np.unique(np.linspace(0, len(run.s) - 1, saves).astype(int))
    states = [run.at(run.s[k]) for k in steps]
    ratio = run.gradient_norm2 / (2.0 * run.loss)
    lengths = np.cumsum([0.0, *(mfpde.cot_distance(*pair) for pair in pairwise(states))])
    rows = []
    for k, state, length in zip(steps, states, lengths, strict=True):
        ends = [mfpde.cot_distance(states[0], state), mfpde.cot_distance(state, states[-1])]
        to_end = np.sqrt(2.0 * run.loss[k] / ratio[k:].min())
        drop = np.sqrt(run.loss[0]) - np.sqrt(run.loss[k])
        gap, change = transport.depth_regularity(state)
        bounds = to_end, length, np.sqrt(2.0 / ratio[: k + 1].min()) * drop
        values = (run.s[k], run.loss[k], *ends, *bounds, np.max(change / gap))
        rows.append(tuple(map(float, values)))
    return rows


def rays(run: mfpde.Solution) -> list[tuple[float, ...]]:
    """Where the optimal plan of (ρ_0, ρ_inf) sends each atom at three depths, for the figure."""
    fields = transport.tangent_field(transport.conditional_transport(run.initial, run.final))
    last, nodes = run.initial.levels - 1, run.initial.depth.nodes
    return [
        (float(nodes[k]), *theta.tolist(), *(theta + step).tolist())
        for k in (0, last // 2, last)
        for theta, step in zip(run.initial.theta[k], fields[k], strict=True)
    ]


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem, rho0 = learning_problem(size)
    identity = speeds(problem, rho0)
    study.report(out / "speed.csv", ("s", "h", "-dE/ds", "speed²"), identity)
    errors = np.array([abs(speed2 / fall - 1.0) for _, _, fall, speed2 in identity]).reshape(-1, 2)
    how = {"loss_below": size.goal, "method": "implicit", "rtol": 1e-4, "save": "steps"}
    run = mfpde.solve(problem, rho0, s_end=np.inf, **how)
    study.say(f"\n{run}")
    rows = evolution(run, size.saves)
    study.report(out / "evolution.csv", COLUMNS, rows)
    study.write_csv(out / "rays.csv", ("t", "u0", "w0", "b0", "u1", "w1", "b1"), rays(run))
    start, end, end_bound, length, length_bound = np.array(rows)[:, 2:7].T
    return [
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
            f"{length[-1] / start[-1]:.3f} of the distance from start to end.",
            bool(np.all(length <= length_bound) and np.all(start <= length + 1e-12)),
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
