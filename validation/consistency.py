"""Finite networks stay close to the limit in conditional optimal transport while they train.

Theorem (Barboni, Peyre, Vialard 2024, stability and consistency of the flow). Flows from two starts
satisfy COT(rho_s, rho'_s) <= e^{Cs} COT(rho_0, rho'_0); in particular networks of growing depth and
width, with i.i.d. parameters of the initial law, converge to the limit on bounded times.

Here. sin(pi x), d = 2, standard Gaussian parameters. The distance of M samples to their law is
mostly sampling bias, of order M^{-1/5} in R^5. So the initial parameters of every network also ride
in the limit as particles without mass: (a) COT(network, limit), exact; (b) COT(samples of the
limit, limit), the bias alone; (c) the same-index distance (common random numbers) of network and
samples, an upper bound of COT between them, beside its exact value; and the growth of (a) beside
e^{int Lambda ds}, Lambda the fastest linear expansion along the limit, and e^{Cs}, C its maximum.

Prediction: |(a) - (b)| <= (c) = sqrt(a^2/L^2 + b^2/(LM)); growth below both exponentials.
Takes a minute on one core, --quick 10 seconds.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws
from mfpde.runs.progress import track
from mfpde.theory import fit_finite_size

LAW, STEP = laws.Gaussian(1.0, dim=5), 0.25
FULL = {"layers": (4, 8, 16, 32), "widths": (8, 32, 128), "seeds": 4, "particles": 512}
FULL |= {"times": (0.0, 1.0, 2.0, 4.0, 6.0, 10.0, 15.0, 20.0)}
QUICK = {"layers": (4, 8), "widths": (4, 16, 64), "seeds": 3, "particles": 256}
QUICK |= {"times": (0.0, 1.0, 2.0, 4.0)}
HEADER = ("layers", "width", "seed", "s", "network", "samples", "exact", "same_index")


def limit_with_samples(
    problem: mfpde.Problem, starts: np.ndarray, size: Sizes
) -> tuple[np.ndarray, np.ndarray]:
    """The limit's particles (times, L, n, p), and ``starts`` (L, m, p) moved by its field alike."""
    depth, how = mfpde.Depth(len(starts) // 2, "rk4"), {"coupling": "independent", "seed": 1}
    own = mfpde.ParticleMeasure.from_law(LAW, depth, count=size.particles, **how)
    run = study.descend(problem, study.with_riders(own, starts), STEP, size.times)
    moved = np.stack([run.at(s).theta[: len(starts)] for s in size.times])
    return moved[:, :, : own.count], moved[:, :, own.count :]


def distances(network: np.ndarray, samples: np.ndarray, limit: np.ndarray) -> list[float]:
    """(a), (b), exact and same-index (c) of parameters (L, M, p) and the limit's (L, n, p)."""
    depth = mfpde.Depth(len(network), "euler")
    one, other, rho = (mfpde.ParticleMeasure(t, depth) for t in (network, samples, limit))
    same = mfpde.cot_distance(one, other, method="same_index")
    return [*(mfpde.cot_distance(*pair) for pair in ((one, rho), (other, rho), (one, other))), same]


def compare(problem: mfpde.Problem, size: Sizes) -> list[tuple]:
    """Rows of HEADER."""
    rows, how = [], {"seeds": size.seeds, "s_end": size.times[-1], "step": STEP, "save": size.times}
    for layers in track(size.layers, "depths"):
        train = partial(mfpde.resnet.train, problem, LAW, layers=layers, **how)
        runs = [run for width in size.widths for run in train(width=width).saved]
        starts = np.concatenate([run[0] for run in runs], axis=1)
        limit, samples = limit_with_samples(problem, starts, size)
        ends = np.cumsum([run.shape[2] for run in runs])[:-1]
        for n, (run, own) in enumerate(zip(runs, np.split(samples, ends, axis=2), strict=True)):
            network = layers, run.shape[2], n % size.seeds
            found = (distances(*each) for each in zip(run, own, limit, strict=True))
            rows += [(*network, s, *one) for s, one in zip(size.times, found, strict=True)]
    return rows


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem, times = study.sine(16), np.array(size.times)
    rows = compare(problem, size)
    study.write_csv(out / "distances.csv", HEADER, rows)
    depth, how = mfpde.Depth(16, "euler"), {"count": 128, "coupling": "independent"}
    run = study.descend(problem, mfpde.ParticleMeasure.from_law(LAW, depth, **how), STEP, times)
    rate, integral = study.expansion(problem, times, [run.at(s) for s in times])
    study.write_series(out / "expansion.csv", s=times, rate=rate, integral=integral)
    shapes = study.shapes_of(size.layers, size.widths)
    a, b, exact, same = (
        study.at_shape(rows, shapes, c).reshape(len(shapes), size.seeds, -1) for c in range(4, 8)
    )
    ends = np.stack([one[:, :, -1].mean(axis=1) for one in (a, b, exact, same)], axis=1).tolist()
    header = ("L", "M", "(a)", "(b)", "(c) exact", "(c) same index")
    study.table(header, [(*one, *end) for one, end in zip(shapes, ends, strict=True)])
    fit = fit_finite_size(*np.array(shapes, float).T, same[:, :, -1], form="quadrature")
    mean, moved = a.mean(axis=1), same > 0
    growth = mean / mean[:, :1]
    below = np.log(growth) <= np.minimum(integral, rate.max() * times) + 1e-12
    return [
        Claim(
            "The same-index distance bounds COT between network and samples of the limit.",
            f"largest excess {np.max(exact - same):.1e}; same index over exact up to "
            f"{np.max(same[moved] / exact[moved]):.6f}.",
            bool(np.all(exact <= same + 1e-9)),
        ),
        Claim(
            "A network is as far from the limit as samples of it, up to that distance.",
            f"|(a) - (b)| is at most {np.max(np.abs(a - b)[moved] / same[moved]):.3f} of (c).",
            bool(np.all(np.abs(a - b) <= same + 1e-9)),
        ),
        study.width_claim("Beyond sampling, networks converge like 1/L and 1/sqrt(LM).", fit),
        Claim(
            "The distance to the limit grows by less than e^{int Lambda} and e^{Cs}.",
            f"by {growth[:, -1].min():.3f} to {growth[:, -1].max():.3f} up to s = "
            f"{times[-1]:g}; int Lambda = {integral[-1]:.2f}, C = {rate.max():.2f}.",
            bool(np.all(below)),
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
