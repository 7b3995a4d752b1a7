"""Certificates beyond Euler depth and squared loss: other integrators, and classification.

Theorem (Barboni, Peyre, Vialard 2024, local Polyak-Lojasiewicz inequality; the constants of the
stages of a Runge-Kutta step and the version for losses without a zero are this package's, in
mfpde.theory). Squared loss: E(s) <= E(0) exp(-2 m s) within a ball. Cross-entropy: |grad E| >=
a(R) (1 - e^{-NE})/N on a ball of radius R, so that E falls to a level E_1 > 0 within it, on a path
and in a time that are bounded; down to 0 no bound holds, since the gradient vanishes with E.

Here. u = 0 and (w, b) Gaussian, the readout lifted and scaled by c, N data on a line. (a) The least
c that is certified by rk4, Heun, midpoint and Euler over the number of steps; a certified run of
rk4. (b) Labels -1, 1, 1 and the logistic loss: the lowest level certified over c; runs from
certified starts down to .1 against their bounds on time and path.

Prediction: (a) c tends to that of Euler depth as the steps shrink, from above; (b) the level falls
with c; no bound is broken. Takes 30 seconds on one core, --quick 10.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws, theory

METHODS = ("euler", "midpoint", "heun", "rk4")
GOAL = 0.1
FULL = {"steps": (4, 8, 16, 32, 64), "readouts": (200.0, 500.0, 1000.0, 2000.0, 5000.0, 1e4)}
QUICK = {"steps": (4, 16), "readouts": (500.0, 2000.0, 5000.0)}
Start = tuple[mfpde.Problem, mfpde.ParticleMeasure]


def lifted(readout: float, method: str, steps: int, loss: str = "squared") -> Start:
    """Three data on a line, d = 2; values for squared loss, labels for the logistic one."""
    x = np.array([[-1.2], [0.1], [1.0]])
    y = np.sin(2 * x) if loss == "squared" else np.array([[1.0], [-1.0], [1.0]])
    law = laws.Product(laws.Dirac(0.0, dim=2), laws.Gaussian(1.5, dim=3))
    problem = mfpde.Problem(x, y, block=mfpde.SHL(2), readout=[[0.0, readout]], loss=loss)
    return problem, mfpde.ParticleMeasure.from_law(law, mfpde.Depth(steps, method), count=64)


def path(sol: mfpde.Solution) -> float:
    """Length of a run in COT, by the same indices at its saved states."""
    states = [sol.at(s) for s in [0.0, *sol.saved_s]]
    legs = [b.with_state(b.theta - a.theta) for a, b in pairwise(states)]
    squares = [leg.integrate(np.square(leg.theta).sum(axis=2)) for leg in legs]
    return float(np.sqrt(squares).sum())


def squared_run(steps: int) -> tuple[float, float]:
    """(a) A certified run of rk4: loss over its promise, length over its bound."""
    needed = theory.certificate(*lifted(1.0, "rk4", steps)).readout_scale
    start = lifted(1.01 * needed, "rk4", steps)
    found = theory.certificate(*start)
    s_end = 2.0 * np.log(10.0) / found.rate
    save = s_end * np.geomspace(1e-5, 1.0, 12)
    sol = mfpde.solve(*start, s_end=s_end, method="rk45", rtol=1e-6, atol=1e-12, save=save)
    seen = sol.loss > 1e-9 * sol.loss[0]
    promise = found.loss * np.exp(-2.0 * found.rate * sol.s)
    return float(np.max(sol.loss[seen] / promise[seen])), path(sol) / found.distance


def classified(readout: float, method: str) -> tuple[float, float, float]:
    """(b) Lowest level certified; time and path of the run to GOAL over their bounds, or inf."""
    start = lifted(readout, method, 4, "logistic")
    found = theory.sublevel_certificate(*start, GOAL)
    if not found.passed:
        return found.lowest, np.inf, np.inf
    how = {"method": "rk45", "rtol": 1e-6, "loss_below": GOAL}
    sol = mfpde.solve(*start, s_end=found.time, save="steps", **how)
    return found.lowest, float(sol.s[-1] / found.time), path(sol) / found.distance


def measure(size: Sizes, out: Path) -> list[Claim]:
    least = {
        name: [theory.certificate(*lifted(1.0, name, n)).readout_scale for n in size.steps]
        for name in METHODS
    }
    study.write_series(out / "steps.csv", steps=size.steps, **least)
    rows = [
        (number, c, *classified(c, name))
        for number, name in enumerate(("euler", "rk4"))
        for c in size.readouts
    ]
    study.report(out / "levels.csv", ("rk4", "readout", "lowest", "time", "path"), rows)
    loss, length = squared_run(size.steps[0])
    ends = {name: values[-1] / least["euler"][-1] for name, values in least.items()}
    levels = [[row[2] for row in rows if row[0] == kind] for kind in (0, 1)]
    used = np.array([row[3:] for row in rows if np.isfinite(row[3])])
    shown = ", ".join(f"{name} {value:.3f}" for name, value in ends.items())
    near = all(1 - 1e-3 <= value < 1.4 for value in ends.values())
    falls = all(least[name][0] > least[name][-1] for name in ("heun", "rk4"))
    return [
        Claim(f"c over Euler's tends to 1 ({size.steps[-1]} steps).", shown, near and falls),
        Claim("rk4: the loss keeps its rate.", f"loss/promise {loss:.4f}", loss <= 1 + 1e-6),
        Claim("rk4: the path stays within its bound.", f"{length:.3f} of it", length <= 1 + 1e-6),
        Claim(
            "Logistic loss: the level certified falls with the readout.",
            "; ".join(np.array2string(np.array(one), precision=3) for one in levels),
            all(a >= b for one in levels for a, b in pairwise(one)),
        ),
        Claim(
            f"Runs to {GOAL} keep their time and path.",
            f"{len(used)} runs, time up to {used[:, 0].max():.3f}, path {used[:, 1].max():.3f}",
            bool(len(used) > 0 and np.all(used <= 1.0)),
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
