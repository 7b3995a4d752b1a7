"""One-pass SGD on a two-layer network follows the flow of the law of its units.

Source: Mei, Montanari, Nguyen 2018 (arXiv 1804.06561, Theorem 3): up to a fixed time the risk of
one-pass SGD with step e on N units is within a constant times sqrt(max(1/N, e)) of that of the
flow, which is a partial differential equation of the law of a unit ("distributional dynamics").
Their first example: two centred Gaussians of deviations 1 + D and 1 - D, labelled -1 and 1.

Here. Depth(1, "euler"), dimension 8, D = .8, relu units of free outer weight (the constants of
their figure could not be read). The flow by 2,048 Sobol units on a sample of 10,000; networks of N
units by SGD on batches of 50, each point used once up to s = 10.

Prediction: at s = 10 the risks of networks lie within a multiple of N^{-1/2} of the flow's, in root
mean square: they fall at least that fast. Takes a minute on one core, --quick 10 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws

SPLIT, STEP, LAW = 0.8, 0.05, laws.Gaussian(1.0, dim=19)
FULL = {"widths": (16, 64, 256, 1024), "seeds": 8, "sample": 10_000}
QUICK = {"widths": (16, 64, 256), "seeds": 4, "sample": 1000}


def population(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of two centred Gaussians, labelled by their deviation."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    y = rng.choice([-1.0, 1.0], count)
    return rng.standard_normal((count, 8)) * (1 + SPLIT * y)[:, None], y


def risks(size: Sizes, s: np.ndarray) -> dict[int, np.ndarray]:
    """Risks (seeds, times) on the sample by width N; 0 is the flow."""
    x, y = population(size.sample, 0)
    problem = mfpde.Problem(x, y, block=mfpde.SHL(9, "relu"), readout="last")
    found = {}
    rho = mfpde.ParticleMeasure.from_law(LAW, mfpde.Depth(1, "euler"), count=2048)
    sol = mfpde.solve(problem, rho, s_end=s[-1], method="rk45", rtol=1e-4, save=s[1:])
    found[0] = np.array([[mfpde.loss(problem, sol.at(one)) for one in s]])
    how = {"s_end": s[-1], "step": STEP, "record": round((s[1] - s[0]) / STEP), "layers": 1}
    how |= {"seeds": size.seeds, "optimizer": mfpde.resnet.SGD(batch=50), "backend": "particles"}
    for width in size.widths:
        found[width] = mfpde.resnet.train(problem, LAW, width=width, **how).loss
    return found


def measure(size: Sizes, out: Path) -> list[Claim]:
    s = np.linspace(0.0, 10.0, 21)
    found = risks(size, s)
    flow = found[0][0]
    columns = {f"N{n}": one.mean(axis=0) for n, one in found.items()}
    apart = [float(np.sqrt(np.mean((found[n][:, -1] - flow[-1]) ** 2))) for n in size.widths]
    study.write_series(out / "risk.csv", s=s, **columns)
    study.report(out / "apart.csv", ("N", "apart"), list(zip(size.widths, apart, strict=True)))
    rate = study.slope(size.widths, apart)
    fall = f"from {flow[0]:.3f} to {flow[-1]:.3f}"
    return [
        Claim("The flow learns to tell the Gaussians apart.", fall, flow[-1] < 0.5 * flow[0]),
        Claim("Risks part by N^{-1/2} at most.", f"slope {rate:.2f}", -1.2 < rate < -0.4),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
