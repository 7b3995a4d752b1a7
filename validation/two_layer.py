"""Two-layer relu networks, a single Euler layer: the units find the sparse global optimum.

Source: Chizat, Bach 2018 (arXiv 1805.09545, Theorem 3.3): 2-homogeneous units whose start separates
converge to the global minimum, where they converge. Drawn as in the notebook of Chizat 2019
("illustration_reluNN"): relu units in the plane, a teacher of 3, 15 data on the circle, 20 students
on a sphere of radius 2, decay .002 (|a|² + b²), descent to s = 1e4.

Here. Depth(1, "euler"), the output in a coordinate of its own. In the law of units b relu(a.x) the
problem is convex: a start has found the optimum exactly when |q| <= 2 decay on the circle, q(w) the
mean of residual times relu(w.x). Five draws of students, and one with b > |a| for contrast, where
the sign of b cannot change and nothing separates.

Prediction: sup |q| reaches 2 decay, one loss for all draws, on few directions; with b > |a| both
stay above, as this teacher needs the other sign (where one sign is enough they need not). Takes a
minute on one core, --quick 10 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde

DECAY, DEPTH = 0.002, mfpde.Depth(1, "euler")
FULL, QUICK = {"draws": 5, "s_end": 1e4, "students": 20}, {"draws": 2, "s_end": 3e3}


def directions(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Points on the unit sphere."""
    points = rng.standard_normal((count, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def teacher() -> mfpde.Problem:
    """The mean of three signed units at 15 points of the circle."""
    rng = np.random.default_rng(np.random.SeedSequence(1))
    units, signs, x = directions(rng, 3, 2), rng.choice([-1.0, 1.0], 3), directions(rng, 15, 2)
    y = np.maximum(x @ units.T, 0.0) @ signs / 3
    block = mfpde.SHL(3, "relu", bias=False)
    return mfpde.Problem(x, y, block=block, readout="last", weight_decay=2 * DECAY)


def students(count: int, seed: int, cone: bool) -> mfpde.ParticleMeasure:
    """Units b relu(a.x), |(a, b)| = 2: anywhere, or with b > |a|."""
    points = 2.0 * directions(np.random.default_rng(seed), count, 3)
    if cone:
        points[:, 2] = np.abs(points[:, 2]) + 2.0
    theta = np.zeros((1, count, 6))
    theta[0, :, 2], theta[0, :, 3:5] = points[:, 2], points[:, :2]
    return mfpde.ParticleMeasure(theta, DEPTH)


def excess(rho: mfpde.ParticleMeasure) -> float:
    """sup |q| over the circle, relative to 2 decay: at most 1 at the optimum only."""
    problem, angle = teacher(), np.linspace(0.0, 2 * np.pi, 4001)
    features = np.maximum(problem.x @ np.stack([np.cos(angle), np.sin(angle)]), 0.0)
    residual = mfpde.predict(problem, rho) - problem.y
    return float(np.abs(residual.T @ features).max() / len(features) / (2 * DECAY))


def kept(rho: mfpde.ParticleMeasure) -> np.ndarray:
    """b a of every unit (m, 2), those that have vanished left out."""
    signed = rho.theta[0, :, 2:3] * rho.theta[0, :, 3:5]
    return np.asarray(signed[np.linalg.norm(signed, axis=1) > 1e-3])


def descent(size: Sizes, seed: int, cone: bool) -> tuple[mfpde.Solution, list[float]]:
    """A run, and sup |q| over 2 decay along it."""
    save = np.geomspace(1.0, size.s_end, 60).round()
    how = {"method": "rk4", "step": 1.0, "save": np.unique(save)}
    rho = students(size.students, seed, cone)
    sol = mfpde.solve(teacher(), rho, s_end=size.s_end, raise_on_failure=False, **how)
    return sol, [excess(sol.at(one)) for one in (0.0, *sol.saved_s)]


def measure(size: Sizes, out: Path) -> list[Claim]:
    rows, series, ends = [], [], []
    for seed in range(size.draws + 1):
        cone = seed == size.draws
        sol, found = descent(size, seed, cone)
        angles = np.sort(np.arctan2(*kept(sol.final).T))
        few = int(np.sum(np.diff(angles, append=angles[0] + 2 * np.pi) > 0.02))
        ends.append((seed, int(cone), float(sol.loss[-1]), found[-1], few))
        for s, q in zip((0.0, *sol.saved_s), found, strict=True):
            series.append((seed, float(s), mfpde.loss(teacher(), sol.at(float(s))), q))
            if seed == 0:
                at = sol.at(float(s)).theta[0]
                rows += [(j, float(s), *map(float, one[2] * one[3:5])) for j, one in enumerate(at)]
    study.report(out / "ends.csv", ("seed", "cone", "loss", "q", "directions"), ends)
    study.write_csv(out / "paths.csv", ("unit", "s", "x", "y"), rows)
    study.write_csv(out / "optimality.csv", ("seed", "s", "loss", "q"), series)
    free, held = np.array(ends[:-1]), ends[-1]
    return [
        Claim(
            "Every draw reaches the optimum: sup |q| is 2 decay.",
            f"{free[:, 3].min():.4f} to {free[:, 3].max():.4f} of it",
            bool(np.all(np.abs(free[:, 3] - 1) < 0.02)),
        ),
        Claim(
            "One loss for all draws, on few directions.",
            f"E = {free[:, 2].mean():.6f}, apart {np.ptp(free[:, 2]):.1e}; {free[:, 4]} directions",
            bool(np.ptp(free[:, 2]) < 0.01 * free[:, 2].mean()),
        ),
        Claim("Units of one sign do not.", f"{held[3]:.2f}, E = {held[2]:.4f}", held[3] > 1.1),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
