"""A mean-field transformer learns to look up a marked token; finite transformers beside it.

Theorem (Chizat 2025, arXiv 2509.10167). Networks of L layers of M i.i.d. blocks trained by gradient
descent stay within O(1/L + 1/sqrt(LM)) of one limit.

Here, a block is a pair of an attention head (rank 1) and a neuron that acts token by token: two
populations, a transformer of M heads and M neurons a layer. In context: tokens (v_s, mark_s, 0),
one of them marked, and a query (0, 0, 1), which must end with the marked token's value in its first
coordinate; only attention moves values between tokens. The Bayes loss is 0.
 (a) the limit: Sobol particles, rk4 in depth; error by two sizes of each; fresh sequences;
 (b) transformers of L layers and width M, 16 seeds, against the limit descended with their step.

Prediction: zero loss, on fresh sequences too; slope -1/2 in LM. Takes a minute, --quick 10 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde.theory import fit_finite_size

D, LAW = 3, mfpde.laws.Gaussian(1.0, dim=19)  # a token's coordinates; those of a pair
FULL = {"context": 4, "count": 32, "particles": 128, "s_end": 100.0, "fresh": 256}
FULL |= {"s_compare": 1.5, "step": 0.25, "reference": 1024, "goal": 1e-4, "fresh_goal": 3e-3}
FULL |= {"layers": (4, 8, 16), "widths": (4, 16, 64)}
QUICK = {"context": 3, "count": 16, "particles": 64, "s_end": 20.0, "goal": 1e-3}
QUICK |= {"reference": 512, "layers": (4, 8, 16), "widths": (4, 16)}


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
    how = {"block": mfpde.Populations(pair), "readout": readout}
    return mfpde.Problem(*sequences(size.context, size.count, 0), **how)


def start(problem: mfpde.Problem, steps: int, count: int, seed: int = 0) -> mfpde.ParticleMeasure:
    """Sobol particles and their mirror images in O and u, which the law does not tell apart."""
    depth = mfpde.Depth(steps, "rk4")
    how = {"rule": "sobol", "coupling": "independent", "count": count // 2, "seed": seed}
    theta = mfpde.ParticleMeasure.from_law(LAW, depth, **how).theta
    signs = [-1.0 if name[2] in "Ou" else 1.0 for name in problem.block.coordinates]
    return mfpde.ParticleMeasure(np.concatenate([theta, theta * signs], axis=1), depth)


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


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem = transformer(size)
    found, time = limit(problem, size, out), {"s_end": size.s_compare, "step": size.step}
    starts = (start(problem, 2, size.reference, seed) for seed in (0, 1))
    runs = [mfpde.solve(problem, rho0, method="gd", **time) for rho0 in starts]
    one, other = (mfpde.predict(problem, run.final) for run in runs)
    exact, uncertainty = 0.5 * (one + other), 0.5 * float(study.rms(one - other))
    shapes, rows = study.shapes_of(size.layers, size.widths), []
    for layers, width in shapes:
        how = {"layers": layers, "width": width, "seeds": 16, **time}
        gaps = study.rms(mfpde.resnet.train(problem, LAW, **how).outputs - exact).tolist()
        rows += [(layers, width, *one) for one in enumerate(gaps, start=1)]
    study.write_csv(out / "networks.csv", ("layers", "width", "seed", "error"), rows)
    errors = study.at_shape(rows, shapes, 3)
    fit = fit_finite_size(*np.array(shapes, float).T, errors, form="quadrature")
    means = np.sqrt(np.mean(errors**2, axis=1)).tolist()
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
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
