"""A mean-field transformer learns to look up a marked token; finite transformers beside it.

Theorem (Chizat 2025, arXiv 2509.10167). Networks of L layers of M i.i.d. blocks trained by gradient
descent stay within O(1/L + 1/sqrt(LM)) of one limit.

Here, a block is a pair of an attention head (rank 1) and a neuron that acts token by token: two
populations, a transformer of M heads and M neurons a layer. In context: tokens (v_s, mark_s, 0),
one of them marked, and a query (0, 0, 1), which must end with the marked token's value in its first
coordinate; only attention moves values between tokens. The Bayes loss is 0.
 (a) the limit: Sobol particles, rk4 in depth; error by two sizes of each; fresh sequences;
 (b) transformers of L layers and width M, 16 seeds, against the limit descended with their step;
 (c) L layers, Euler, against rk4 with the same particles, 16 sets: width's error cancels, only
     depth differs. (b), where width rules, does not resolve a; one fit a/L + b/sqrt(LM) has both,
     (c) as width without end (what 128 shared particles still scatter is in a).

Prediction: zero loss, on fresh sequences too; slopes -1/2 in LM, -1 in L. Takes two minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from lookup import LAW, sequences, start, transformer
from study import Claim, Sizes, shapes_of

import mfpde
from mfpde.theory import fit_finite_size

FULL = {"context": 4, "count": 32, "particles": 128, "s_end": 100.0, "fresh": 256}
FULL |= {"s_compare": 1.5, "step": 0.25, "reference": 1024, "goal": 1e-4, "fresh_goal": 3e-3}
FULL |= {"layers": (4, 8, 16), "widths": (4, 16, 64), "shared": 128}
QUICK = {"context": 3, "count": 16, "particles": 64, "s_end": 20.0, "goal": 1e-3}
QUICK |= {"reference": 512, "layers": (4, 8, 16), "widths": (4, 16), "shared": 32}
SEEDS, WIDE = 16, 1 << 40  # networks of a shape; what (c) counts as


def limit(problem: mfpde.Problem, size: Sizes, out: Path) -> dict[str, np.ndarray]:
    """(a) Loss, its error by two sizes of width and of depth, and loss on fresh sequences."""
    s, runs = np.geomspace(0.5, size.s_end, 12), []
    for steps, count in ((2, size.particles), (2, size.particles // 2), (1, size.particles)):
        rho0 = start(problem, steps, count)
        runs.append(mfpde.solve(problem, rho0, s_end=size.s_end, rtol=1e-2, save=s))
    losses = np.array([[mfpde.loss(problem, run.at(one)) for one in s] for run in runs])
    fresh = problem.on(*sequences(size.context, size.fresh, 1))
    found = {"s": s, "loss": losses[0], "error": np.abs(losses[1:] - losses[0]).sum(axis=0)}
    found["fresh"] = np.array([mfpde.loss(fresh, runs[0].at(one)) for one in s])
    ends = mfpde.predict(fresh, runs[0].final)[:, 0]
    study.write_series(out / "fresh.csv", marked=fresh.y[:, 0], output=ends)
    study.write_series(out / "limit.csv", **found)
    return found


def networks(problem: mfpde.Problem, size: Sizes, exact: np.ndarray, time: dict) -> list[tuple]:
    """(b) L, M, seed and the RMS distance of a transformer from the limit."""
    rows = []
    for layers, width in shapes_of(size.layers, size.widths):
        how = {"layers": layers, "width": width, "seeds": SEEDS, **time}
        gaps = study.rms(mfpde.resnet.train(problem, LAW, **how).outputs - exact).tolist()
        rows += [(layers, width, *one) for one in enumerate(gaps, start=1)]
    return rows


def depths(problem: mfpde.Problem, size: Sizes, time: dict) -> list[tuple]:
    """(c) The same of L layers and the limit of the same particles, as of width ``WIDE``."""
    rows = []
    for seed in range(1, SEEDS + 1):
        theta, ends = start(problem, 1, size.shared, seed).theta[:1], []
        for depth in (mfpde.Depth(4, "rk4"), *(mfpde.Depth(n, "euler") for n in size.layers)):
            rho0 = mfpde.ParticleMeasure(np.repeat(theta, len(depth.nodes), axis=0), depth)
            run = mfpde.solve(problem, rho0, method="gd", **time)
            ends.append(mfpde.predict(problem, run.final))
        gaps = study.rms(np.array(ends[1:]) - ends[0]).tolist()
        rows += [(n, WIDE, seed, gap) for n, gap in zip(size.layers, gaps, strict=True)]
    return rows


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem = transformer(size.context, size.count)
    found, time = limit(problem, size, out), {"s_end": size.s_compare, "step": size.step}
    starts = (start(problem, 2, size.reference, seed) for seed in (0, 1))
    runs = [mfpde.solve(problem, rho0, method="gd", **time) for rho0 in starts]
    one, other = (mfpde.predict(problem, run.final) for run in runs)
    exact, uncertainty = 0.5 * (one + other), 0.5 * float(study.rms(one - other))
    shapes, rows = shapes_of(size.layers, size.widths), networks(problem, size, exact, time)
    deep = depths(problem, size, time)
    for name, some in (("networks", rows), ("depths", deep)):
        study.write_csv(out / f"{name}.csv", ("layers", "width", "seed", "error"), some)
    every = [*shapes, *shapes_of(size.layers, [WIDE])]
    errors = study.at_shape([*rows, *deep], every, 3)
    fit = fit_finite_size(*np.array(every, float).T, errors, form="quadrature")
    means = np.sqrt(np.mean(errors[: len(shapes)] ** 2, axis=1)).tolist()
    last, error, fresh = (float(found[name][-1]) for name in ("loss", "error", "fresh"))
    return [
        Claim(
            f"The limit reaches zero loss (E <= {size.goal:g}).",
            f"From {found['loss'][0]:.3f} to {last:.2e} +- {error:.1e} at s = {size.s_end:g}.",
            last + error <= size.goal,
        ),
        Claim(
            "It has learned the task, not the data: fresh sequences have a small loss.",
            f"{fresh:.2e} on {size.fresh} of them; 0.167 for the answer 0.",
            fresh <= size.fresh_goal,
        ),
        Claim(
            "The reference is sharper than every transformer that is compared with it.",
            f"uncertainty {uncertainty:.2e}, smallest error {min(means):.2e}.",
            uncertainty < 0.5 * min(means),
        ),
        study.width_claim("The error in width has slope -1/2 in LM.", fit),
        study.depth_claim("The error in depth has slope -1 in L.", fit),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
