"""Zero loss on real data, and finite-width ResNets going there with the limit.

Theorems. The conditional-OT gradient flow of a mean-field ResNet reaches zero loss from a suitable
start (Ding, Chen, Li, Wright 2021; Barboni, Peyre, Vialard 2024), and a network of L
layers and width M with i.i.d. parameters stays within O(1/L + 1/sqrt(LM)) of it (Chizat 2025).

Here. 128 handwritten digits, squared loss; 14 principal components beside 10 coordinates for the
readout (d = 24); u = 0 and (w, b) Gaussian at the start.
 (a) the limit: quadrature particles, rk4 in depth, implicit in training time, to E <= 1e-10, from
     two scrambles, half of whose distance is the error in width of their mean;
 (b) ResNets, which are particles under Euler's method, by the same implicit method to the same
     goal: their distance to the limit on the data, on inputs between the data and in COT (the
     network's initial parameters ride in the limit without mass); one also by gradient descent in
     an independent code path (torch autograd where it is installed);
 (c) ResNets of L = 4..64 layers and width M = 4..256, 5 seeds, by gradient descent to one s,
     against the limit descended with the same step: only depth and width differ;
 (d) the error in depth alone: the same particles at every depth, Euler of L layers against rk4.

Prediction: E falls without a plateau, that of networks with more blocks than data (LM > N) as well;
error = a/L + b/sqrt(LM), at zero loss too; slopes -1 in L and -1/2 in LM.
Takes about 3 minutes on 2 cores, --quick under one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
import to_zero
from study import Claim, Sizes

import mfpde
from mfpde import data
from mfpde.runs.progress import track
from mfpde.theory import fit_finite_size

FULL = {"count": 128, "components": 14, "particles": 256, "depth_steps": 4, "goal": 1e-10}
FULL |= {"late": 1e8, "early": 1e3, "scrambles": 72, "reference": 4096, "tied": 256}
FULL |= {"descent": (8, 16), "to_zero": ((4, 4), (8, 4), (8, 16), (16, 16), (8, 64), (16, 64))}
FULL |= {"layers": (4, 8, 16, 32, 64), "widths": (4, 16, 64, 256), "s_compare": 80.0, "step": 1.0}
QUICK = {"count": 24, "components": 6, "particles": 64, "depth_steps": 2, "tied": 64}
QUICK |= {"early": 100.0, "descent": (4, 64), "reference": 1024, "scrambles": 6}
QUICK |= {"to_zero": ((4, 4), (4, 16), (8, 16), (4, 64))}
QUICK |= {"layers": (4, 8, 16), "widths": (4, 16, 64), "s_compare": 10.0, "step": 0.5}


def networks(problem: mfpde.Problem, exact: np.ndarray, size: Sizes) -> list[tuple]:
    """(c) Rows (L, M, seed, error, loss)."""
    rows, law = [], study.silent_law(problem)
    how = {"s_end": size.s_compare, "step": size.step, "seeds": range(1, 6), "record": 10**9}
    for layers, width in track(study.shapes_of(size.layers, size.widths), "networks"):
        run = mfpde.resnet.train(problem, law, layers=layers, width=width, **how)
        ends = study.rms(run.outputs - exact).tolist(), run.loss[:, -1].tolist()
        rows += [(layers, width, *one) for one in zip(run.seeds, *ends, strict=True)]
    return rows


def measure(size: Sizes, out: Path) -> list[Claim]:
    x, y = data.load(size.data, inputs=size.inputs, targets=size.targets)
    problem = study.supervised(*data.subset(x, y, min(size.count, len(x))), size.components)
    limit, other = to_zero.limits(problem, size, out)
    study.say(f"{problem}\n(a) limit: {limit}\n    {limit.stats}")
    ends = to_zero.gaps(problem, size, [limit, other], out)
    ratio, apart, code = to_zero.by_descent(problem, size, out)
    exact, uncertainty = to_zero.reference(problem, size)
    gap = float(study.rms(mfpde.predict(problem, limit.at(size.s_compare)) - exact))
    rows, shapes = networks(problem, exact, size), study.shapes_of(size.layers, size.widths)
    study.write_csv(out / "networks.csv", ("layers", "width", "seed", "error", "loss"), rows)
    errors, losses = (study.at_shape(rows, shapes, column) for column in (3, 4))
    fit = fit_finite_size(*np.array(shapes, float).T, errors)
    means = np.sqrt(np.mean(errors**2, axis=1)), [float(fit(*one)) for one in shapes]
    seen = np.stack([*means, losses.mean(axis=1)], axis=1).tolist()
    header = ("L", "M", "rms error", "a/L + b/sqrt(LM)", "mean loss")
    study.table(header, [(*one, *each) for one, each in zip(shapes, seen, strict=True)])
    rows = to_zero.by_depth(problem, size)
    study.report(out / "depth.csv", ("layers", "error"), rows)
    rate, smallest = study.slope(*np.array(rows).T), float(means[0].min())
    small = [row for row in ends if row[0] * row[1] <= problem.size]
    large = np.array([row for row in ends if row not in small])
    power = study.slope(large[:, :2].prod(axis=1), large[:, 6])
    return [
        Claim(
            f"The limit reaches zero loss (E <= {size.goal:g}).",
            f"E fell from {limit.loss[0]:.3g} to {limit.loss[-1]:.2e} at s = {limit.s[-1]:.3g} "
            f"in {limit.control.steps} steps; no step raised it; there outputs between the data "
            f"are uncertain by {ends[0][7]:.1e}.",
            limit.loss[-1] <= size.goal and bool(np.all(np.diff(limit.loss) <= 0)),
        ),
        Claim(
            "So do networks of more blocks than data; their distance falls with slope -1/2 in LM.",
            f"worst {large[:, 3].max():.1e}; slope {power:.3f} of outputs between the data; of no "
            "more: " + ", ".join(f"{row[0]} x {row[1]} ends at {row[3]:.1e}" for row in small),
            bool(large[:, 3].max() <= size.goal) and abs(power + 0.5) <= 0.2,
        ),
        Claim(
            "Gradient descent in independent code follows the implicit method.",
            f"{code}, s = {size.early:g}: losses in ratio {ratio:.4f}, outputs off {apart:.1e}.",
            abs(ratio - 1) <= 0.1,
        ),
        Claim(
            "The reference is sharper than every network that is compared with it.",
            f"uncertainty {uncertainty:.2e} (the implicit run, {gap:.2e} away, has its own step "
            f"and particles), smallest network error {smallest:.2e}.",
            uncertainty < smallest,
        ),
        study.width_claim("The error in width has slope -1/2 in LM.", fit),
        Claim(
            "The error in depth has slope -1 in L.",
            f"{rate:.3f} with the same particles at every depth.",
            abs(rate + 1.0) <= 0.15,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK, **study.DATA)

if __name__ == "__main__":
    sys.exit(main())
