"""From lazy training to feature learning: limit curves over the scale alpha of the blocks.

Setting (Chizat 2025). Blocks (alpha/LM) sum_j u_j tanh(w_j.x + b_j), learning rates 1/alpha^2: in
alpha u the plain block, whose u starts alpha times as large, in the metric of rates (1, 1/alpha^2,
1/alpha^2); the kernel at the start does not depend on alpha. Theorems. As alpha grows, parameters
move by O(1/alpha) and the model tends to one that is linear in them, at least at the rate 1/alpha
(Chizat, Oyallon, Bach 2019, Theorem 2.3; in depth, the lazy ODE of Chizat 2025); at alpha of order
1 features are learnt. Networks err by O(1/L + alpha/sqrt(LM)) (ibid.).

Here. sin(pi x) at 8 points, d = 2, Gaussian starts, s = 20, symmetric in u, so that -alpha has the
limit of alpha: weights move by 1/alpha, what is smooth and even in it by 1/alpha^2. Measured on the
limit by Sobol points in pairs (u, -u), 95 % bars over scrambles and the change by depth: the RMS
change of (u, w, b) beside their size, that of the features' kernel at depth 0, where states never
move, the outputs' distance to those at alpha = 2048. Prediction: slopes -1, -2, -2 from alpha = 8
on, +1 of the error of i.i.d. networks, whose weights move like the limit's while that is small;
features that change by half of themselves at small alpha. Takes 3 minutes, --quick 20 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from scipy.stats import t as student
from study import Claim, Sizes

import mfpde
from mfpde import laws, theory

LAZY = 2048.0
NAMES = ("weights", "features", "outputs")
FULL = {"alphas": [2.0**k for k in range(-2, 7)], "count": 256, "scrambles": 4, "steps": 4,
        "shapes": [(8, 8), (32, 32)], "seeds": 5, "s_end": 20.0}  # fmt: skip
QUICK = {"alphas": [0.5, 16.0, 64.0], "count": 48, "scrambles": 2, "steps": 2,
         "shapes": [(16, 16)], "seeds": 3}  # fmt: skip


def task(alpha: float) -> mfpde.Problem:
    """The problem in the metric of its rates."""
    return study.sine(8).under((1.0, alpha**-2, alpha**-2))


def law(alpha: float) -> laws.Law:
    return laws.Gaussian(std=[alpha, alpha, 1.0, 1.0, 1.0])


def start(alpha: float, size: Sizes, seed: int, steps: int) -> mfpde.ParticleMeasure:
    """Sobol points and what they are with -u: no block does anything on average."""
    depth, how = mfpde.Depth(steps, "rk4"), {"coupling": "independent", "seed": seed}
    theta = mfpde.ParticleMeasure.from_law(law(alpha), depth, count=size.count, **how).theta
    return mfpde.ParticleMeasure(np.concatenate([theta, theta * [-1, -1, 1, 1, 1]], axis=1), depth)


def changes(alpha: float, first: mfpde.ParticleMeasure, last: mfpde.ParticleMeasure) -> list[float]:
    """Relative RMS changes of (u, w, b) and of the features' kernel at depth 0."""
    unit = np.array([1 / alpha, 1 / alpha, 1.0, 1.0, 1.0])
    both = unit * (last.theta - first.theta), unit * first.theta
    moved, size = (np.sqrt(first.integrate(np.square(one).sum(axis=2))) for one in both)
    one, two = (theory.depth_kernel(task(alpha), rho, 0) for rho in (first, last))
    return [float(moved / size), float(np.linalg.norm(two - one) / np.linalg.norm(one))]


def trained(alpha: float, size: Sizes) -> list[tuple[list[float], np.ndarray]]:
    """Changes and outputs at the end, of every scramble and of the first at twice the depth."""
    found, own = [], [(seed, size.steps) for seed in range(size.scrambles)]
    for seed, steps in [*own, (0, 2 * size.steps)]:
        rho0 = start(alpha, size, seed, steps)
        run = mfpde.solve(task(alpha), rho0, s_end=size.s_end, rtol=1e-7)
        found.append((changes(alpha, rho0, run.final), mfpde.predict(run.problem, run.final)))
    return found


def networks(alpha: float, shape: study.Shape, size: Sizes, exact: np.ndarray) -> list[float]:
    """Means over networks of weights' and features' changes, and the RMS error of outputs."""
    how = {"layers": shape[0], "width": shape[1], "seeds": size.seeds, "s_end": size.s_end}
    run = mfpde.resnet.train(task(alpha), law(alpha), step=0.02, record=10**6, save=[0.0], **how)
    rows = [changes(alpha, run.at(0.0, k), last) for k, last in enumerate(run.final)]
    return [*np.mean(rows, axis=0).tolist(), float(np.sqrt(np.mean((run.outputs - exact) ** 2)))]


def measure(size: Sizes, out: Path) -> list[Claim]:
    lazy = [outputs for _, outputs in trained(LAZY, size)]
    factor = student.ppf(0.975, size.scrambles - 1) / np.sqrt(size.scrambles)
    curve, beside = [], []
    for alpha in size.alphas:
        runs = trained(alpha, size)
        rows = np.array(
            [[*own, study.rms(z - far)] for (own, z), far in zip(runs, lazy, strict=True)]
        )
        bars = factor * rows[:-1].std(axis=0, ddof=1) + np.abs(rows[-1] - rows[0])
        curve.append((alpha, *rows[:-1].mean(axis=0).tolist(), *bars.tolist()))
        outputs = np.mean([z for _, z in runs[:-1]], axis=0)
        for shape in size.shapes if alpha >= 0.5 else []:
            beside.append((*shape, alpha, *networks(alpha, shape, size, outputs)))
    study.report(out / "limit.csv", ("alpha", *NAMES, *(f"{n}_error" for n in NAMES)), curve)
    study.report(out / "networks.csv", ("layers", "width", "alpha", *NAMES), beside)
    found, near = np.array(curve), np.array([row for row in beside if row[:2] == size.shapes[-1]])
    far, fine = found[found[:, 0] >= 8], near[near[:, 2] >= 8]
    slopes = [np.polyfit(*np.log(far[:, [0, k]].T), 1)[0] for k in (1, 2, 3)]
    rise = np.polyfit(*np.log(fine[:, [2, 5]].T), 1)[0]
    ratio = near[:, 3] / np.interp(near[:, 2], found[:, 0], found[:, 1])
    off = np.abs(ratio - 1)[near[:, 2] <= 4].max()
    return [
        *(Claim(f"The change of {name} falls like alpha^-{order}.", f"slope {slope:.3f}",
                abs(slope + order) < 0.15 * order)
          for name, slope, order in zip(NAMES, slopes, (1, 2, 2), strict=True)),
        Claim("Features change by half of themselves at small scales.",
              f"{found[0, 2]:.3g} of their kernel at alpha = {found[0, 0]:g}", found[0, 2] > 0.5),
        Claim("Networks err by alpha/sqrt(LM).", f"slope {rise:.3f}", abs(rise - 1) < 0.3),
        Claim("Weights of networks move as far as the limit's, at alpha up to 4.",
              f"within {100 * off:.1f} %", off < 0.15),
    ]  # fmt: skip


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
