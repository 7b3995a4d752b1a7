"""A mean-field transformer learns to look up a marked token; finite transformers beside it.

Theorem (Chizat 2025, arXiv 2509.10167, for residual blocks f(x, theta) in general). Networks of L
layers of M i.i.d. blocks trained by gradient descent stay within O(1/L + 1/sqrt(LM)) of one limit.

Here, a block is a pair of an attention head (rank 1) and a neuron that acts token by token: two
populations, a transformer of M heads and M neurons a layer. In context: tokens (v_s, mark_s, 0),
one of them marked, and a query (0, 0, 1), which must end with the marked token's value in its first
coordinate; only attention moves values between tokens. The Bayes loss is 0.
 (a) the limit: Sobol particles, rk4 in depth; error by two sizes of each; fresh sequences;
 (b) transformers of L layers and width M, 5 seeds, against the limit descended with their step.

Prediction: the limit reaches zero loss and is right on fresh sequences; error = a/L + b/sqrt(LM),
slope -1/2 in LM. Takes 3 minutes on one core, --quick under one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde.theory import fit_finite_size

D = 3  # a token's coordinates
FULL = {"context": 4, "count": 32, "particles": 128, "s_end": 100.0, "fresh": 256}
FULL |= {"s_compare": 5.0, "step": 0.25, "reference": 512, "goal": 1e-4, "fresh_goal": 3e-3}
FULL |= {"layers": (4, 8, 16, 32), "widths": (4, 16, 64), "seeds": 5}
QUICK = {"context": 3, "count": 16, "particles": 64, "s_end": 20.0, "goal": 1e-3}
QUICK |= {"reference": 256, "layers": (4, 8, 16), "widths": (4, 16), "seeds": 12}
FRESH = {"rule": "sobol", "coupling": "independent"}  # at every depth


def sequences(context: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (count, (context + 1) D) and the marked value of each sequence (count, 1)."""
    rng = np.random.default_rng(seed)
    x = np.zeros((count, context + 1, D))
    x[:, :-1, 0] = rng.uniform(-1.0, 1.0, (count, context))
    marked = rng.permutation(np.arange(count) % context)
    x[np.arange(count), marked, 1] = 1.0
    x[:, -1, 2] = 1.0
    return x.reshape(count, -1), x[np.arange(count), marked, :1]


def transformer(size: Sizes) -> mfpde.Problem:
    tokens = size.context + 1
    pair = mfpde.Attention(tokens, D), mfpde.TokenMLP(tokens, mfpde.SHL(D))
    readout = np.eye(1, tokens * D, k=size.context * D)  # first coordinate of the query
    block, data = mfpde.Populations(pair), sequences(size.context, size.count, 0)
    return mfpde.Problem(*data, block=block, readout=readout)


def start(problem: mfpde.Problem, depth_steps: int, **how: object) -> mfpde.ParticleMeasure:
    depth, law = mfpde.Depth(depth_steps, "rk4"), mfpde.laws.Gaussian(1.0, dim=problem.block.size)
    return mfpde.ParticleMeasure.from_law(law, depth, **FRESH, **how)


def limit(problem: mfpde.Problem, size: Sizes, out: Path) -> dict[str, np.ndarray]:
    """(a) Loss, its error by two sizes of width and of depth, and loss on fresh sequences."""
    s, runs = np.geomspace(0.5, size.s_end, 12), []
    for steps, count in ((2, size.particles), (2, size.particles // 2), (1, size.particles)):
        rho0 = start(problem, steps, count=count)
        runs.append(mfpde.solve(problem, rho0, s_end=size.s_end, rtol=1e-2, save=s))
        study.say(f"{steps} steps of rk4, {count} particles: {runs[-1]}")
    losses = np.array([[mfpde.loss(problem, run.at(one)) for one in s] for run in runs])
    fresh = problem.on(*sequences(size.context, size.fresh, 1))
    found = {"s": s, "loss": losses[0], "error": np.abs(losses[1:] - losses[0]).sum(axis=0)}
    found["fresh"] = np.array([mfpde.loss(fresh, runs[0].at(one)) for one in s])
    ends = mfpde.predict(fresh, runs[0].final)[:, 0]
    study.write_series(out / "limit.csv", **found)
    study.write_series(out / "fresh.csv", marked=fresh.y[:, 0], output=ends)
    return found


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem = transformer(size)
    found, time = limit(problem, size, out), {"s_end": size.s_compare, "step": size.step}
    starts = (start(problem, 2, count=size.reference, seed=seed) for seed in (0, 1))
    runs = [mfpde.solve(problem, rho0, method="gd", **time) for rho0 in starts]
    one, other = (mfpde.predict(problem, run.final) for run in runs)
    exact, uncertainty = 0.5 * (one + other), 0.5 * float(study.rms(one - other))
    shapes = study.shapes_of(size.layers, size.widths)
    law, rows = mfpde.laws.Gaussian(1.0, dim=problem.block.size), []
    for layers, width in shapes:
        how = {"layers": layers, "width": width, "seeds": size.seeds, **time}
        gaps = study.rms(mfpde.resnet.train(problem, law, **how).outputs - exact).tolist()
        rows += [(layers, width, *one) for one in enumerate(gaps, start=1)]
    study.write_csv(out / "networks.csv", ("layers", "width", "seed", "error"), rows)
    errors = study.at_shape(rows, shapes, 3)
    fit = fit_finite_size(*np.array(shapes, float).T, errors, form="quadrature")
    means = np.sqrt(np.mean(errors**2, axis=1)).tolist()
    last, error, fresh = (float(found[name][-1]) for name in ("loss", "error", "fresh"))
    return [
        Claim(
            f"The limit reaches zero loss (E <= {size.goal:g}).",
            f"E fell from {found['loss'][0]:.3f} at s = {found['s'][0]:.3g} to {last:.2e} "
            f"+- {error:.1e} at s = {size.s_end:g}.",
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
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
