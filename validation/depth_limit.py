"""Residual networks with shared initial weights stay discretisations of a neural ODE.

Theorem (Marion, Wu, Sander, Biau 2024, Thm 4 and 6). Layers h + V_k GELU(W_k h)/L that start from
weights shared over depth stay close to their neighbours: max_k |Z_k - Z_{k+1}| = O(1/L) for
Z = V, W, throughout training; trained weights converge to functions of depth as L grows.

Here, with the published settings: d = 16, V = 0, one Gaussian W repeated over the layers, X and Y
Gaussian, full-batch gradient descent on the mean square over all entries; M = 32, n = 100, 50 steps
of rate .01 L.
 (a) L = 2..1024: the largest jump in depth and time;
 (b) the same networks' distance to the deep reference, L = 4096, and to the limit in depth by rk4.

Prediction: all distances fall like 1/L. Takes half a minute on one core, --quick 5 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde.runs.progress import track

STEP = 2 * 0.01 / study.WIDE
FULL = {"count": 100, "width": 32, "steps": 50, "reference": 4096, "limit_steps": 512}
FULL |= {"layers": (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)}
QUICK = {"count": 20, "steps": 20, "reference": 512, "limit_steps": 16, "layers": (2, 4, 8, 16, 32)}
HEADER = ("layers", "jump_V", "jump_W", "deep_V", "deep_W", "limit_V", "limit_W")


def largest_jumps(state: mfpde.resnet.Snapshot) -> np.ndarray:
    return np.array([study.jumps(one) for one in state.theta])


def short(problem: mfpde.Problem, layers: int, size: Sizes) -> mfpde.resnet.Training:
    """A network after the published number of steps, with its jumps on the way."""
    how = {"s_end": size.steps * STEP, "step": STEP, "observe": {"jumps": largest_jumps}}
    return study.tied_training(problem, layers, size.width, **how)


def distances(theta: np.ndarray, reference: np.ndarray) -> list[float]:
    """Root mean square over the layers of |Z_k - Z_ref(k/L)| for Z = V, W."""
    both = (theta, reference[:: len(reference) // len(theta)])
    pairs = zip(*(study.weights(one).values() for one in both), strict=True)
    return [float(np.sqrt(np.square(z - r[: len(z)]).sum(axis=(1, 2)).mean())) for z, r in pairs]


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem = study.tied_data(size.count, size.width)
    rho0 = study.tied_start(mfpde.Depth(size.limit_steps, "rk4"), size.width)
    how = {"s_end": size.steps * STEP, "method": "gd", "step": STEP}
    exact = mfpde.solve(problem, rho0, **how).final.theta
    deep = short(problem, size.reference, size).theta[0]
    rows, series = [], []
    for layers in track(size.layers, "depths"):
        run = short(problem, layers, size)
        theta, jump = run.theta[0], run.observed["jumps"][0]
        series += [(layers, n, *map(float, jump[n])) for n in range(len(jump))]
        far = [*distances(theta, deep), *distances(theta, exact)]
        rows.append((layers, *map(float, jump.max(axis=0)), *far))
    study.write_csv(out / "jumps.csv", ("layers", "step", "V", "W"), series)
    study.report(out / "depths.csv", HEADER, rows)

    columns = dict(zip(HEADER, np.array(rows).T, strict=True))
    late, most = columns["layers"] >= 8, size.layers[-1]
    rate = {name: study.slope(columns["layers"][late], columns[name][late]) for name in HEADER}
    of_deep = distances(exact[:-1], deep)[0]
    expected = columns["limit_V"][-1] * most / size.reference
    return [
        Claim(
            "The largest jump between neighbouring layers falls like 1/L.",
            f"slopes {rate['jump_V']:.3f} for V and {rate['jump_W']:.3f} for W up to L = {most}; "
            f"there L times the jump of V is {most * columns['jump_V'][-1]:.4f}.",
            max(abs(rate["jump_V"] + 1), abs(rate["jump_W"] + 1)) <= 0.05,
        ),
        Claim(
            "Trained weights converge to those of the limit like 1/L.",
            f"slopes {rate['limit_V']:.3f} and {rate['limit_W']:.3f} against the limit, "
            f"{rate['deep_V']:.3f} and {rate['deep_W']:.3f} against L = {size.reference}.",
            max(abs(rate["limit_V"] + 1), abs(rate["limit_W"] + 1)) <= 0.05,
        ),
        Claim(
            "The deep reference is as far from the limit as 1/L says.",
            f"{of_deep:.2e}; extrapolated {expected:.2e}.",
            abs(of_deep / expected - 1) <= 0.2,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
