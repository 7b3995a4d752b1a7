"""Convergence certificates that pass, and every promise held against the run.

Theorem (Barboni, Peyre, Vialard 2024; constants derived in mfpde.theory.certificate_constants). If
the PL constant is at least m on the COT ball of radius R about rho_0 and 2 E(0)/m <= R^2, then
E(s) <= E(0) exp(-2 m s), the path is no longer than sqrt(2 E(0)/m), and it stays in the ball.

Here. (a) SHL: u = 0, (w, b) Gaussian, readout lifted to a coordinate that the data leave at 0 and
scaled by c: the certificate fails for small c, says which c it needs, and passes there. (b) Linear
blocks from a white start. (c) For growing c: the certified rate against lambda_min(K)/N at rho_0;
at c = 1 the flow converges though nothing is certified. Prediction: no promise is broken. Takes 40
seconds, --quick 20.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import theory


def lifted(readout: float, steps: int = 8) -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    """(a): N = 4 data on a line, d = 2, tanh."""
    x = np.array([[-1.5], [-0.5], [0.5], [1.5]])
    law = mfpde.laws.Product(mfpde.laws.Dirac(0.0, dim=2), mfpde.laws.Gaussian(2.0, dim=3))
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(2), readout=[[0.0, readout]])
    depth = mfpde.Depth(steps, "euler")
    return problem, mfpde.ParticleMeasure.from_law(law, depth, count=128)


def white(sigma: float, steps: int = 16) -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    """(b): linear blocks in d = 2, second moment sigma^2 Id, target near the identity."""
    x = np.random.default_rng(0).standard_normal((8, 2))
    problem = mfpde.Problem(x, x @ [[1.06, 0.03], [-0.04, 0.97]], block=mfpde.Linear(2))
    corners = sigma * np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    theta = np.repeat(corners[None], steps, axis=0)
    return problem, mfpde.ParticleMeasure(theta, mfpde.Depth(steps, "euler"))


def follow(problem, rho, found: theory.Certificate, pieces: int) -> dict[str, np.ndarray]:
    """The run over six guaranteed decades: s, excess, promise, COT(rho_0, rho_s) and length."""
    s_end = 3.0 * np.log(10.0) / found.rate
    fast = s_end * np.geomspace(1e-5, 1.0, pieces)
    sol = mfpde.solve(problem, rho, s_end=s_end, rtol=1e-4, atol=1e-10, save=fast)
    states = [sol.at(s) for s in (0.0, *fast)]
    mass = (rho.depth.weights[:, None] * rho.weights)[:, :, None]
    legs = [np.sqrt(np.sum(mass * np.square(b.theta - a.theta))) for a, b in pairwise(states)]
    s = np.append(0.0, fast)
    excess = np.array([mfpde.loss(problem, state) for state in states]) - found.least
    apart = np.array([mfpde.cot_distance(rho, state) for state in states])
    known = {"s": s, "excess": excess, "promise": found.loss * np.exp(-2 * found.rate * s)}
    return known | {"distance": apart, "length": np.append(0.0, np.cumsum(legs))}


def promises(name: str, found: theory.Certificate, run: dict[str, np.ndarray]) -> list[Claim]:
    """Rate, ball and length of one certified run."""
    seen = run["excess"] > 1e-12 * found.loss + 1e-14
    rate = float(np.max(run["excess"][seen] / run["promise"][seen]))
    apart, length = (float(run[key].max() / found.distance) for key in ("distance", "length"))
    bounded = f"{name}: the flow stays in the ball, its length within the bound."
    ratios = f"COT/bound {apart:.3f}, length/bound {length:.3f}"
    return [
        Claim(f"{name}: the loss keeps its rate.", f"loss/promise {rate:.4f}", rate <= 1 + 1e-6),
        Claim(bounded, ratios, max(apart, length) <= 1 + 1e-6),
    ]


def scales(needed: float) -> list[tuple[float, ...]]:
    """(c) Rows (c, criterion, passed, pessimism, certified m, lambda_min(K)/N at rho_0)."""
    rows = []
    for c in needed * np.array([0.01, 0.1, 0.5, 0.99, 1.01, 2.0, 8.0, 64.0]):
        kernel = theory.polyak_lojasiewicz(*lifted(float(c))).kernel
        for criterion in theory.CRITERIA:
            one = theory.certificate(*lifted(float(c)), criterion=criterion)
            kind = float(criterion == "integral")
            rows.append((float(c), kind, float(one.passed), one.pessimism, one.rate, kernel))
    return rows


def measure(size: Sizes, out: Path) -> list[Claim]:
    first = theory.certificate(*lifted(1.0))
    study.say(f"c = 1: {first}")
    needed, claims = first.readout_scale, []
    for name, start in (("SHL", lifted(1.01 * needed)), ("linear", white(2.0))):
        found = theory.certificate(*start)
        study.say(f"{name}: {found}")
        run = follow(*start, found, size.pieces)
        study.write_series(out / f"{name}.csv", **run)
        bound = {"distance": [found.distance], "radius": [found.radius], "rate": [found.rate]}
        study.write_series(out / f"{name}_bound.csv", **bound)
        passes = Claim(f"{name}: the certificate passes.", f"{found.pessimism:.3f}", found.passed)
        claims += [passes, *promises(name, found, run)]
    rows = scales(needed)
    header = ("c", "integral", "passed", "pessimism", "certified_m", "kernel_m")
    study.report(out / "scale.csv", header, rows)
    true = mfpde.solve(*lifted(1.0), s_end=np.inf, loss_below=1e-8 * first.loss, rtol=1e-2)
    advice = [row[2] for row in rows if not row[1]]
    return [
        *claims,
        Claim("The advised readout is the threshold.", f"c = {needed:.4g}", advice[3:5] == [0, 1]),
        Claim(
            "Pessimism: at c = 1 nothing is certified, yet the flow converges.",
            f"E(0) is {first.pessimism:.2g} times what would pass; the run reached "
            f"{true.loss[-1]:.1e} at s = {true.s[-1]:.3g}",
            true.success and not first.passed,
        ),
    ]


main = study.script(__doc__, measure, {"pieces": 40}, {"pieces": 12})

if __name__ == "__main__":
    sys.exit(main())
