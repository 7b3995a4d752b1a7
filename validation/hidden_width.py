"""The panels of "The hidden width of deep ResNets": residual scales, weight changes, trackers.

Source: Chizat 2025 (arXiv 2509.10167) and its notebook. Layers H + V tanh(U'H/D)/(LM), entries of U
of size sqrt(D), of V of size alpha sqrt(D); X, Y ~ N(0, 1), N = 10; descent at the rates D of V and
D min(1, 1/alpha^2) of U on half the mean square. alpha < 1: "semi-complete", V forgets its start;
alpha = 1: complete; alpha > 1: lazy, features move like 1/alpha. Its errors over (L, M) are in
depth_width_error.py; the limit in the dimension D, of the paper of 2026, is not computed.

Two rates are a unit of the hidden states: for H = c X the layer is u tanh(w.x) with V = c u and
U = D w/c, so that c^2 = D max(1, alpha) makes the published training the plain flow with step
1/c^2, from u, w ~ N(0, max(1, alpha)), times min(1, alpha) for u.

Here. (a) deviation of outputs over networks after 10 steps, (b) change of U and (c) losses over 50
steps, for alpha from .01 to 100 with L = 1000, M = 10; published: ((.05 + .3 alpha) sqrt(D) + .4)
/sqrt(LM) where alpha < sqrt(LM/D), and min(3, 3/alpha). (d) a unit that starts alike in all layers.

Prediction: a and b as published, slopes 1 and -1 where lazy; alpha = 1 learns fastest; neighbouring
layers of (d) stay O(1/L) apart in root mean square. Takes 75 seconds on one core, --quick half a
minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws
from mfpde.runs.progress import track

N, EARLY, LATE = 10, 10, 50
FULL = {"layers": 1000, "dims": (10, 31, 100), "seeds": 4, "tracked": (64, 256, 1024)}
FULL |= {"scales": (0.01, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 100.0)}
QUICK = {"layers": 200, "dims": (10, 31), "seeds": 3, "scales": (0.1, 1.0, 2.0, 6.0)}
QUICK |= {"tracked": (32, 128)}


def setting(dim: int, alpha: float, draw: int = 0) -> tuple[mfpde.Problem, laws.Law, float]:
    """Problem, law of (u, w) and the unit c of the published training."""
    x, y = np.random.default_rng(np.random.SeedSequence(draw)).standard_normal((2, N, dim))
    unit, block = np.sqrt(dim * max(1.0, alpha)), mfpde.SHL(dim, "tanh", bias=False)
    how = {"embed": np.eye(dim) / unit, "readout": unit * np.eye(dim)}
    std = np.sqrt(max(1.0, alpha))
    law = laws.Gaussian(np.repeat([min(1.0, alpha) * std, std], dim), dim=2 * dim)
    return mfpde.Problem(x, y, block=block, **how), law, unit


def trained(dim: int, alpha: float, size: Sizes) -> tuple[float, float, np.ndarray]:
    """Deviation of the outputs after EARLY steps, RMS change of U, mean losses of every step."""
    problem, law, unit = setting(dim, alpha)
    how = {"step": unit**-2, "s_end": LATE * unit**-2, "layers": size.layers, "width": 10}
    how |= {"seeds": size.seeds, "backend": study.fastest_backend(), "raise_on_failure": False}
    run = mfpde.resnet.train(problem, law, **how, observe={"z": mfpde.resnet.observables.outputs})
    early = run.observed["z"][:, EARLY]
    moved = np.square((run.theta - run.saved[:, 0])[..., dim:]).mean()
    deviation = np.sqrt(early.var(axis=0, ddof=1).mean())
    return float(deviation), float(dim / unit * np.sqrt(moved)), 2 / dim * run.loss.mean(axis=0)


def tracker(layers: int) -> np.ndarray:
    """Paths (steps + 1, L, D) of U of a unit that starts alike in all layers."""
    problem, law, unit = setting(10, 1.0)
    depth = mfpde.Depth(layers, "euler")
    how = {"count": 10, "rule": "iid", "coupling": "independent"}
    theta = mfpde.ParticleMeasure.from_law(law, depth, **how).theta.copy()
    theta[:, -1] = theta[0, -1]
    how = {"step": unit**-2, "s_end": LATE * unit**-2, "save": LATE}
    run = mfpde.resnet.train(problem, start=theta[None], backend="particles", **how)
    return 10 / unit * run.saved[0, :, :, -1, 10:]


def measure(size: Sizes, out: Path) -> list[Claim]:
    rows, losses, blocks = [], [], 10 * size.layers
    for dim, alpha in track(study.shapes_of(size.dims, size.scales), "scales"):
        deviation, moved, loss = trained(dim, alpha, size)
        line = ((0.05 + 0.3 * alpha) * np.sqrt(dim) + 0.4) / np.sqrt(blocks)
        bound = float(alpha < np.sqrt(blocks / dim))
        rows.append((dim, alpha, bound, deviation, line, moved, min(3.0, 3.0 / alpha), loss[-1]))
        losses += [(dim, alpha, k, float(value)) for k, value in enumerate(loss)]
    header = ("D", "alpha", "bound", "deviation", "published", "moved", "line", "loss")
    study.report(out / "scales.csv", header, rows)
    study.write_csv(out / "losses.csv", ("D", "alpha", "step", "loss"), losses)
    paths = {layers: tracker(layers) for layers in size.tracked}
    jumps = [np.sqrt(np.mean(np.diff(path[-1], axis=0) ** 2)) for path in paths.values()]
    tracks = [
        (k, t, *p) for k, step in enumerate(paths[size.tracked[0]]) for t, p in enumerate(step)
    ]
    study.write_csv(out / "tracker.csv", ("step", "layer", *"abcdefghij"), tracks)
    found = np.array([row for row in rows if row[2]])
    ratio, change = found[:, 3] / found[:, 4], found[:, 5] / found[:, 6]
    lazy = found[(found[:, 1] >= 2) & (found[:, 0] == size.dims[0])]
    slopes = [study.slope(lazy[:, 1], lazy[:, k]) for k in (3, 5)]
    best = [min((r for r in rows if r[0] == dim), key=lambda r: r[7])[1] for dim in size.dims]
    rate = study.slope(size.tracked, jumps)
    return [
        Claim("Outputs deviate as published.", spread(ratio), np.abs(ratio - 1).max() < 0.4),
        Claim("Weights move as published.", spread(change), np.abs(change - 1).max() < 0.4),
        Claim(
            "Where lazy, deviations grow like alpha and weights move like 1/alpha.",
            f"slopes {slopes[0]:.2f} and {slopes[1]:.2f}",
            abs(slopes[0] - 1) < 0.15 and abs(slopes[1] + 1) < 0.15,
        ),
        Claim("The complete scale learns fastest.", f"alpha = {best}", set(best) == {1.0}),
        Claim("Tracked units differ like 1/L.", f"slope {rate:.2f}", abs(rate + 1) < 0.15),
    ]


def spread(ratio: np.ndarray) -> str:
    return f"ratio {np.median(ratio):.2f} in the median, {ratio.min():.2f} to {ratio.max():.2f}"


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
