"""The two-layer surrogate: the ResNet's gradient with the adjoint replaced by the final residual.

Theorem (Lu, Ma, Lu, Lu, Ying 2020). The two gradients are comparable: |P(t)|/|P(1)| lies within
exp(-+ int_t^1 Lip), and the ratio of the gradients' norms within that times the root of the
condition number of K(t).

Here. N = 8 data in the plane, d = 3, tanh, Euler depth; u of scale .5 .. 3 at the start, and along
a run. Prediction: within the bounds at every depth, equal at t = 1, further apart for larger
layers. Takes 30 seconds, --quick 10.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import theory

SCALES = (0.5, 1.0, 3.0)


def start(scale: float, steps: int) -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    """Gaussian u of that scale, with a common mean so that layers do not average out."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 2))
    problem = mfpde.Problem(x, np.sin(2 * x[:, 0]) * x[:, 1], block=mfpde.SHL(3), readout="last")
    law = mfpde.laws.Gaussian([scale] * 3 + [1.0] * 4, [0.5 * scale] * 3 + [0.5] * 4)
    depth = mfpde.Depth(steps, "euler")
    return problem, mfpde.ParticleMeasure.from_law(law, depth, count=128)


def rows_of(found: theory.ShallowComparison) -> list[tuple[float, ...]]:
    """One row per depth."""
    parts = (found.depths, found.ratio, *found.bounds, found.adjoint_least, found.adjoint_most)
    return np.column_stack([*parts, *found.adjoint_bounds, found.cosine]).tolist()


def inside(found: theory.ShallowComparison) -> float:
    """How close to its bounds anything comes before the last layer: 1 is on the bound."""
    lower, upper = found.adjoint_bounds
    shares = (
        found.ratio / found.bounds[1],
        found.bounds[0] / found.ratio,
        found.adjoint_most / upper,
        lower / found.adjoint_least,
    )
    return float(max(np.max(share[:-1]) for share in shares))


def measure(size: Sizes, out: Path) -> list[Claim]:
    steps = 8 if size.quick else 32
    header = ("t", "ratio", "lower", "upper", "least", "most", "exp_lower", "exp_upper", "cosine")
    found = {}
    for scale in SCALES:
        found[scale] = theory.shallow_comparison(*start(scale, steps))
        study.write_csv(out / f"scale_{scale:g}.csv", header, rows_of(found[scale]))
    problem, rho = start(1.0, steps)
    sol = mfpde.solve(problem, rho, s_end=100.0, rtol=1e-2, save=[1.0, 10.0, 30.0])
    along = [
        (s, theory.shallow_comparison(problem, sol.at(s))) for s in (0.0, 1.0, 10.0, 30.0, 100.0)
    ]
    run = [
        (s, mfpde.loss(problem, sol.at(s)), np.nanmin(one.ratio), np.nanmax(one.ratio), inside(one))
        for s, one in along
    ]
    study.write_csv(out / "run.csv", ("s", "loss", "ratio_min", "ratio_max", "inside"), run)
    study.table(("s", "E", "least ratio", "largest ratio", "share of the bound"), run)
    closest = max(inside(one) for one in [*found.values(), *(one for _, one in along)])
    last = max(abs(one.ratio[-1] - 1.0) for one in found.values())
    gaps = [float(np.abs(one.ratio - 1.0).max()) for one in found.values()]
    return [
        Claim("Ratios stay within the exponential bounds.", f"{closest:.3f} of it", closest <= 1),
        Claim("The two gradients agree at the last layer.", f"{last:.1e}", last < 1e-12),
        Claim(
            "They part as the layers grow.",
            f"|ratio - 1| = {', '.join(f'{gap:.3f}' for gap in gaps)} for scales {SCALES}",
            bool(np.all(np.diff(gaps) > 0)),
        ),
    ]


main = study.script(__doc__, measure)

if __name__ == "__main__":
    sys.exit(main())
