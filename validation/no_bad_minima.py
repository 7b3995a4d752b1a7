"""Every local minimum is global: leaving bad stationary points by inserting mass.

Theorem (Lu, Ma, Lu, Lu, Ying 2020). If E(rho) > 0 there are t and theta with V(t, theta) below
int V d rho_t: mass moved there lowers E, so no measure with E > 0 is a local minimum.

Here. Three traps in which the particle flow stands still with E > 0: all particles at theta = 0;
all relu units dead; the best constant with w = 0. Prediction: |grad E| = 0 but the stationarity
residual is positive; insertion and flow in turn (mfpde.theory.escape) take E below a thousandth,
E never rising (how many insertions that needs is a matter of the data). Then transport against
birth-death from a start with a mass of 1e-4 away from the trap. Takes 60 seconds, --quick 30.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import theory

GOAL = 1e-3


def traps(steps: int) -> dict[str, tuple[mfpde.Problem, mfpde.ParticleMeasure]]:
    """Problems with a measure at which the gradient flow is stuck."""
    x = np.array([[-1.1], [-0.7], [-0.3], [0.3], [0.7], [1.1]])
    depth, constant = mfpde.Depth(steps, "euler"), np.mean(x**2) / np.tanh(1.0)
    starts = {
        "collapsed": (np.sin(2 * x), "tanh", [0.0] * 5),
        "dead": (np.abs(x), "relu", [0.5, 0.5, 0.1, 0.1, -9.0]),
        "constant": (x**2, "tanh", [0.0, constant, 0.0, 0.0, 1.0]),
    }
    return {
        name: (
            mfpde.Problem(x, y, block=mfpde.SHL(2, activation), readout="last"),
            mfpde.ParticleMeasure(np.tile(theta, (steps, 8, 1)), depth),
        )
        for name, (y, activation, theta) in starts.items()
    }


def story(out: theory.Escape) -> list[tuple[float, float, int]]:
    """(s, loss, round) along all rounds of an escape."""
    rows, start = [], 0.0
    for number, one in enumerate(out.rounds):
        rows.append((start, one.loss_before, number))
        rows += [
            (start + float(s), float(e), number)
            for s, e in zip(one.solution.s, one.solution.loss, strict=True)
        ]
        start += float(one.solution.s[-1])
    return rows


def nearly_trapped(steps: int) -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    """The collapsed trap with a mass of 1e-4 on random strays."""
    problem, _ = traps(steps)["collapsed"]
    strays = np.random.default_rng(0).standard_normal((steps, 31, 5))
    theta = np.concatenate([np.zeros((steps, 1, 5)), strays], axis=1)
    weights = np.r_[1.0 - 1e-4, np.full(31, 1e-4 / 31)]
    return problem, mfpde.ParticleMeasure(theta, mfpde.Depth(steps, "euler"), weights)


def measure(size: Sizes, out: Path) -> list[Claim]:
    steps = 4 if size.quick else 8
    claims, rows = [], []
    for name, (problem, rho) in traps(steps).items():
        speed = float(np.abs(mfpde.gradient(problem, rho)).max())
        residual = theory.stationarity(problem, rho, box=(-3.0, 3.0)).value
        goal = GOAL * mfpde.loss(problem, rho)
        fled = theory.escape(problem, rho, loss_below=goal, box=(-3.0, 3.0), rtol=1e-2)
        curve = story(fled)
        study.write_csv(out / f"{name}.csv", ("s", "loss", "round"), curve)
        falls = bool(np.all(np.diff([row[1] for row in curve]) <= 1e-15))
        rows.append((name, curve[0][1], speed, residual, len(fled.rounds), fled.loss))
        stuck = speed < 1e-12 and residual > 1e-3
        claims += [
            Claim(f"{name}: stuck, yet not a local minimum.", f"residual {residual:.3g}", stuck),
            Claim(f"{name}: escape leaves it.", fled.message, fled.success and falls),
        ]
    study.table(("trap", "E", "|grad V|", "residual", "insertions", "E at the end"), rows)
    problem, rho = nearly_trapped(steps)
    ends = {}
    for beta in (0.0, 1.0, 10.0):
        sol = mfpde.solve(problem, rho, s_end=30.0, reaction=beta, method="rk45", rtol=1e-3)
        ends[beta] = float(sol.loss[-1])
        series = zip(sol.s.tolist(), sol.loss.tolist(), strict=True)
        study.write_csv(out / f"reaction_{beta:g}.csv", ("s", "loss"), series)
        study.say(f"reaction {beta:g}: {sol}")
    better = ends[10.0] < 0.1 * ends[0.0]
    claims.append(
        Claim("Birth-death leaves the trap before transport does.", f"E at s = 30: {ends}", better)
    )
    return claims


main = study.script(__doc__, measure)

if __name__ == "__main__":
    sys.exit(main())
