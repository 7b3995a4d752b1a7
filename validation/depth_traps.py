"""Traps that differ from depth to depth, in fixed and in free depth: a way out at every depth.

Theorems. If E > 0 there is a descent direction at some (t, theta) (Lu, Ma, Lu, Lu, Ying 2020), and
at every depth (Ding, Chen, Li, Wright 2022, Proposition 6.1): inf V(t, .) < int V d rho_t.

Here. x in R, embedded in R², read from the second coordinate; symmetric data, even targets.
"compressing": odd units that compress the first coordinate, the more so the deeper; "dead": relu
units, other ones at each depth, none of which sees the states, beside ones that push the first
coordinate to and fro; "free": "compressing" as blocks (theta_j, t_j) of the joint flow.

Prediction: |grad E| = 0, in depth as well; the residual is positive at every depth and
differs between depths; insertion and flow in turn take E below a thousandth (after a number of
insertions that is a matter of the data); replacing one of n blocks by the best one at its best
depth lowers E by residual/n + O(n^-2), and the joint flow goes on from there to a twentieth of E,
whichever of the best blocks it is (n blocks jump in E where two exchange their order, which ends
runs, the later the larger n). Takes 40 seconds on one core, --quick 20.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import theory

X = np.array([[-1.1], [-0.7], [-0.3], [0.3], [0.7], [1.1]])
BOX, GOAL, IMPLICIT = (-3.0, 3.0), 1e-3, {"method": "implicit", "rtol": 1e-2}
FULL = {"layers": 8, "blocks": (32, 128, 512), "seeds": 6}
QUICK = {"layers": 4, "blocks": (32, 128), "seeds": 2}
Trap = tuple[mfpde.Problem, mfpde.ParticleMeasure]


def compressing(t: np.ndarray) -> np.ndarray:
    """Units (u, 0, w, 0, 0) that compress the first coordinate, the more so the deeper."""
    theta = np.zeros((len(t), 5))
    theta[:, 0], theta[:, 2] = -6.0 * t, 1.0
    return theta


def even() -> mfpde.Problem:
    """x² less its mean, whose residual is orthogonal to constants and to odd features."""
    return mfpde.Problem(X, X**2 - np.mean(X**2), block=mfpde.SHL(2), readout="last")


def traps(layers: int) -> dict[str, Trap]:
    """The two of fixed depth."""
    depth = mfpde.Depth(layers, "euler")
    theta = np.repeat(compressing(depth.nodes)[:, None], 8, axis=1)
    y = np.abs(X) - np.abs(X).mean()
    relu = mfpde.Problem(X, y, block=mfpde.SHL(2, "relu"), readout="last")
    dead = np.random.default_rng(0).standard_normal((layers, 8, 5))
    dead[:, :4], dead[:, 4:, 4] = 0.0, -40.0
    dead[:, :4, 0], dead[:, :4, 4] = 12.0 * np.sin(2.0 * np.pi * (depth.nodes[:, None] + 0.05)), 1.0
    kinds = {"compressing": (even(), theta), "dead": (relu, dead)}
    return {name: (task, mfpde.ParticleMeasure(one, depth)) for name, (task, one) in kinds.items()}


def free(count: int) -> tuple[mfpde.Problem, mfpde.JointMeasure]:
    """The trap "compressing" as blocks that own their depths."""
    t = (np.arange(count) + 0.5) / count
    return even(), mfpde.JointMeasure(compressing(t), t, beta=1.0)


def replaced(count: int, seed: int = 0) -> tuple[float, float, mfpde.JointMeasure]:
    """Residual and n times the fall of E when the best block takes the place of its neighbour."""
    problem, rho = free(count)
    best = theory.stationarity(problem, rho.to_particles(), BOX, samples=64, starts=1, seed=seed)
    theta = rho.theta.copy()
    theta[best.node] = best.theta
    new = mfpde.JointMeasure(theta, rho.t, beta=rho.beta)
    fall = count * (mfpde.loss(problem, rho) - mfpde.loss(problem, new))
    return best.value, float(fall), new


def measure(size: Sizes, out: Path) -> list[Claim]:
    claims: list[Claim] = []
    for name, (problem, rho) in traps(size.layers).items():
        speed = float(np.abs(mfpde.gradient(problem, rho)).max())
        found = theory.stationarity(problem, rho, BOX).per_depth
        study.write_series(out / f"{name}.csv", t=rho.depth.nodes, residual=found)
        how = {"loss_below": GOAL * mfpde.loss(problem, rho), "box": BOX} | IMPLICIT
        fled = theory.escape(problem, rho, **how)
        text = f"|grad V| {speed:.1e}, residual by depth {np.round(found, 2)}"
        stuck = speed < 1e-12 and found.min() > 0.01 and found.max() > 1.02 * found.min()
        claims.append(Claim(f"{name}: stuck, a way out at every depth, not the same.", text, stuck))
        claims.append(Claim(f"{name}: insertion and flow leave it.", fled.message, fled.success))
    problem, rho = free(size.blocks[0])
    speed = float(np.abs(mfpde.gradient(problem, rho)).max())
    rows = [(n, *replaced(n)[:2]) for n in size.blocks]
    study.report(out / "replaced.csv", ("blocks", "residual", "fall"), rows)
    errors = [abs(fall / residual - 1) for _, residual, fall in rows]
    before, ends = mfpde.loss(problem, rho), []
    for seed in range(size.seeds):
        start = replaced(size.blocks[0], seed)[2]
        how = {"method": "rk45", "rtol": 1e-3, "loss_below": 0.009 * before}
        sol = mfpde.solve(problem, start, s_end=200.0, **how, raise_on_failure=False)
        ends.append(float(sol.loss[-1]) / before)
    shown = ", ".join(f"{fall:.3f} of {residual:.3f} at n = {n}" for n, residual, fall in rows)
    return [
        *claims,
        Claim("free: stuck in theta and in depth.", f"|(grad, d_t) V| {speed:.1e}", speed < 1e-12),
        Claim("free: one block lowers E by residual/n.", shown, errors[-1] < 0.5 * errors[0]),
        Claim(
            "free: from there the joint flow goes on to a twentieth of E.",
            f"E = {before:.3g}; shares at the end, each from a best block: {np.round(ends, 4)}",
            max(ends) <= 0.05,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
