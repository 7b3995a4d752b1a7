"""One-pass SGD on a two-layer network follows the flow of the law of its units.

Theorem 3 (Mei, Montanari, Nguyen 2018, arXiv 1804.06561; assumptions A1-A3: bounded units with
sub-Gaussian gradient, bounded labels). With N units, step e and one datum a step, in probability
sup over s <= T of |R_N - R| <= C e^{CT} err, err = sqrt(max(1/N, e)) (sqrt(D + log(N/e)) + z), D
parameters a unit, C unknown; R is the risk of the flow, a partial differential equation of the law
of a unit. Central limit (Sirignano, Spiliopoulos 2020; Chen, Rotskoff, Bruna, Vanden-Eijnden 2020):
with e = 1/N networks fluctuate about the flow by N^{-1/2}.

Here. Their first example: centred Gaussians of deviations 1.8 and .2 in R^4, labels 1 and -1. Units
4 tanh(w.x + b), the outer weight held by rates of 0, as Depth(1, "euler"); T = 4. Each network has
its own T/e data, each used once; R on 4,096 quasi-random points, of 2,048 Sobol units. (e = 1/N),
and each of N and e alone, the other at its finest.

Prediction: sup |R_N - R| / err does not grow along any of the three, 95 % intervals from the
networks deciding (an interval on both sides of zero is "open"); the mean square distance of outputs
from the flow's falls like 1/N where e = 1/N. The bound says no more: how much faster risks meet is
shown, not claimed. Takes a minute on one core, --quick 10 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from scipy.stats import norm, qmc
from study import Claim, Sizes

import mfpde
from mfpde import laws

DIM, SPLIT, END = 4, 0.8, 4.0
S = np.linspace(0.0, END, 17)
LAW = laws.Product(laws.Dirac([0.0] * DIM + [4.0]), laws.Gaussian(1.0, dim=DIM + 2))
FULL = {"widths": (16, 64, 256, 1024), "seeds": 12, "sample": 4096}
QUICK = {"widths": (16, 64, 256), "seeds": 4, "sample": 512}


def problem(uniform: np.ndarray) -> mfpde.Problem:
    """The two Gaussians at points of the unit cube, (n, 1 + DIM)."""
    y = np.where(uniform[:, 0] < 0.5, -1.0, 1.0)
    x = norm.ppf(np.clip(uniform[:, 1:], 1e-15, 1 - 1e-15)) * (1 + SPLIT * y)[:, None]
    return mfpde.Problem(x, y, block=mfpde.SHL(DIM + 1), readout="last", rates=(0.0, 1.0, 1.0))


def outputs(at: mfpde.Problem, states: list[np.ndarray]) -> np.ndarray:
    """Outputs (times, n) of units (M, p) at the points of a problem."""
    depth = mfpde.Depth(1, "euler")
    laws_of = [mfpde.ParticleMeasure(one[None], depth) for one in states]
    return np.stack([mfpde.predict(at, rho)[:, 0] for rho in laws_of])


def network(width: int, count: int, seed: int) -> list[np.ndarray]:
    """Units along SGD of ``count`` steps, each on a datum of its own."""
    fresh = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(width, count)))
    how = {"step": END / count, "s_end": END, "layers": 1, "width": width, "save": len(S) - 1}
    how |= {"seeds": [seed], "optimizer": mfpde.resnet.SGD(batch=1), "backend": "particles"}
    run = mfpde.resnet.train(problem(fresh.random((count, 1 + DIM))), LAW, record=count, **how)
    return list(run.saved[0, :, 0])


def flow(at: mfpde.Problem) -> np.ndarray:
    """Outputs along the flow."""
    rho = mfpde.ParticleMeasure.from_law(LAW, mfpde.Depth(1, "euler"), count=2048)
    sol = mfpde.solve(at, rho, s_end=END, method="rk45", rtol=1e-4, save=S[1:])
    return outputs(at, [sol.at(one).theta[0] for one in S])


def exponent(sizes: tuple[int, ...], values: np.ndarray) -> tuple[float, float, float]:
    """Slope of the logarithm of the RMS of (sizes, seeds), its 95 % interval over seeds."""
    rng = np.random.default_rng(0)
    draws = [values, *(rng.choice(values, values.shape[1], axis=1) for _ in range(400))]
    fits = [study.slope(sizes, np.sqrt(np.mean(one**2, axis=1))) for one in draws]
    return fits[0], *np.quantile(fits[1:], [0.025, 0.975])


def measure(size: Sizes, out: Path) -> list[Claim]:
    test, most = problem(qmc.Sobol(1 + DIM, seed=0).random(size.sample)), size.widths[-1]
    limit, y = flow(test), test.y[:, 0]
    risk = 0.5 * np.mean((limit - y) ** 2, axis=1)
    lines = {
        "e = 1/N": [(n, n) for n in size.widths],
        "N alone": [(n, most) for n in size.widths],
        "e alone": [(most, n) for n in size.widths],
    }
    known, rows, curves = {}, [], {"s": S, "flow": risk}
    for width, rate in sorted({shape for line in lines.values() for shape in line}):
        runs = [network(width, round(END * rate), seed) for seed in range(size.seeds)]
        found = np.array([outputs(test, run) for run in runs])
        risks = 0.5 * np.mean((found - y) ** 2, axis=2)
        away = np.abs(risks - risk).max(axis=1)
        error = np.sqrt(max(1 / width, 1 / rate) * (DIM + 1 + np.log(width * rate)))
        square = np.sqrt(np.mean((found[:, -1] - limit[-1]) ** 2, axis=1))
        known[width, rate] = away / error, square
        rms = [float(np.sqrt(np.mean(one**2))) for one in (away, away / error, square)]
        rows.append((width, rate, *rms))
        if width == rate:
            curves[f"N{width}"] = risks.mean(axis=0)
    study.write_series(out / "risk.csv", **curves)
    study.report(out / "apart.csv", ("N", "1/e", "apart", "ratio", "outputs"), rows)
    fall = f"from {risk[0]:.3f} to {risk[-1]:.3f}"
    claims = [Claim("The flow learns to tell them apart.", fall, risk[-1] < 0.5 * risk[0])]
    for name, line in lines.items():
        fit, low, high = exponent(size.widths, np.array([known[one][0] for one in line]))
        text = f"it goes like the power {fit:.2f}, [{low:.2f}, {high:.2f}]"
        holds = True if high <= 0.0 else None if low <= 0.0 else False
        claims.append(Claim(f"sup |R_N - R| / err does not grow: {name}.", text, holds))
    fit, low, high = exponent(size.widths, np.array([known[n, n][1] for n in size.widths]))
    text, miss = f"N to the power {fit:.2f}, [{low:.2f}, {high:.2f}]", max(low + 0.5, -0.5 - high)
    holds = True if miss <= 0.0 else None if miss < 0.1 else False
    return [*claims, Claim("Root mean square of outputs from the flow's: N^{-1/2}.", text, holds)]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
