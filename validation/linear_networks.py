"""Two-layer linear networks through one Euler layer: the rates of Zhang and Peyre, at any width.

Theorems (Zhang, Peyre 2026, "Global exponential convergence of two-layer linear network training").
3.1: the loss gap stays below D0 exp(-2 kappa g(Sigma_0) s), g the gap between the d_v-th and the
next eigenvalue of Sigma^{1/2} J Sigma^{1/2}, which is conserved; 2 alpha for alpha Id. 3.4: finite
width keeps (1 - eps) of it. C.13: n i.i.d. N(0, Id) neurons start d_u d_v/(2n) above the population
in the mean. Their Figure 2; 4.1 and 4.2 (L layers, infinite depth) have none: linear_exact.py.

Here. Their setting: d_u = 16, d_v = 9, quadratic loss, random teacher, whitened input, kappa = 1,
as Depth(1, "euler") on R^25 with Linear blocks, which read the first 16 coordinates and write the
last 9. (a) Sigma_0 = alpha Id, (b) one pair of diagonal entries scaled by r, by the closure; (c) n
i.i.d. Gaussian neurons, five draws, by particles.

Prediction: (a), (b) below their bounds, (b) slower as r falls; (c) each below the bound of its own
Sigma_0, starting as C.13 says. Takes 30 seconds on one core, --quick 10.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import theory

IN, OUT, DEPTH = 16, 9, mfpde.Depth(1, "euler")
D = IN + OUT
USED = np.r_[0:IN, D + IN : 2 * D]  # u reads the input, v writes the output
SCALES, ENDS = (0.1, 0.5, 1.0, 5.0), 3.0
FULL = {"pairs": tuple(np.arange(9) / 8), "widths": (32, 128, 512, 2048), "draws": 5}
QUICK = {"pairs": (0.0, 0.5, 1.0), "widths": (32, 128, 1024), "draws": 3}


def task() -> mfpde.Problem:
    """½|S − S*|² in the predictor S = Σ^{vu}, S* of standard normal entries over sqrt(16)."""
    teacher = np.random.default_rng(0).standard_normal((OUT, IN)) / np.sqrt(IN)
    x = np.sqrt(IN) * np.eye(IN)
    how = {"block": mfpde.Linear(D), "embed": "pad", "readout": "last"}
    return mfpde.Problem(x, x @ teacher.T, **how)


def closure(used: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Loss gaps of the flow of the covariance that starts from ``used`` (25, 25)."""
    sigma = np.zeros((1, 2 * D, 2 * D))
    sigma[0][np.ix_(USED, USED)] = used
    flow = theory.linear_closure(task(), sigma, DEPTH, s)
    return np.asarray(flow.loss)


def gap(used: np.ndarray) -> float:
    """g of a covariance: by eigenvalues of a square root around the signature."""
    values, vectors = np.linalg.eigh(used)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    signed = np.linalg.eigvalsh(root @ np.diag([1.0] * IN + [-1.0] * OUT) @ root)
    return float(signed[OUT] - signed[OUT - 1])


def network(width: int, seed: int, s: np.ndarray) -> tuple[np.ndarray, float]:
    """Loss gaps of a network of i.i.d. neurons, and the g of its own start."""
    theta = np.zeros((1, width, 2 * D))
    draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(width,)))
    theta[0][:, USED] = draw.standard_normal((width, D))
    rho = mfpde.ParticleMeasure(theta, DEPTH)
    sol = mfpde.solve(task(), rho, s_end=s[-1], method="rk45", rtol=1e-6, save=s[1:])
    losses = [mfpde.loss(task(), sol.at(one)) for one in s]
    return np.array(losses), gap(rho.second_moment()[0][np.ix_(USED, USED)])


def held(loss: np.ndarray, g: float, s: np.ndarray) -> float:
    """The largest loss over its bound, where the loss is not rounding."""
    seen = loss > 1e-12 * loss[0]
    return float(np.max(loss[seen] / (loss[0] * np.exp(-2.0 * g * s[seen]))))


def measure(size: Sizes, out: Path) -> list[Claim]:
    rows, worst = [], []
    s = np.linspace(0.0, ENDS, 31)
    for number, family in enumerate((SCALES, size.pairs)):
        for value in family:
            start = value * np.eye(D) if number == 0 else np.eye(D)
            if number:
                start[0, 0] = start[IN, IN] = value
            loss, g = closure(start, s), gap(start)
            worst.append(held(loss, g, s))
            rows += [
                (number, value, g, t, e) for t, e in zip(s.tolist(), loss.tolist(), strict=True)
            ]
    study.write_csv(out / "closure.csv", ("family", "value", "gap", "s", "loss"), rows)
    last = [row[4] for row in rows if row[0] == 1 and row[3] == s[-1]]
    exact, rise, own, runs = closure(np.eye(D), s), [], [], []
    for width in size.widths:
        found = [network(width, seed, s) for seed in range(size.draws)]
        own += [held(loss, g, s) for loss, g in found]
        above = np.array([loss[0] - exact[0] for loss, _ in found])
        error = float(above.std(ddof=1) / np.sqrt(size.draws))
        rise.append((width, float(above.mean()), IN * OUT / (2 * width), error))
        for seed, (loss, _) in enumerate(found):
            runs += [(width, seed, t, e) for t, e in zip(s.tolist(), loss.tolist(), strict=True)]
    study.write_csv(out / "widths.csv", ("n", "seed", "s", "loss"), runs)
    study.report(out / "rise.csv", ("n", "rise", "predicted", "error"), rise)
    slower = bool(np.all(np.diff(last) < 0.0))
    most = max(abs(found - said) / error for _, found, said, error in rise)
    return [
        Claim("Every covariance keeps its rate.", f"{max(worst):.6f}", max(worst) <= 1 + 1e-6),
        Claim("The smaller the pair, the slower.", f"E at the end {np.round(last, 6)}", slower),
        Claim(
            "Every network keeps the rate of its own start.", f"{max(own):.4f}", max(own) < 1.001
        ),
        Claim("They start d_u d_v/(2n) higher.", f"within {most:.1f} standard errors", most < 4.0),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
