"""Finite networks predicted from the limit, against networks that are trained.

Theorem (Chizat 2025; Ding, Chen, Li, Wright 2021). ResNets of L layers and width M from i.i.d.
parameters are within O(1/L + 1/sqrt(LM)) of the limit, from tied layers (one draw for all depths)
within O(1/L + 1/sqrt(M)). To first order in the perturbation of the initial law the constants are
those of influence functions, which mfpde.finite_size computes without training a network.

Here. Three problems in d = 2 to 6: sin(2 pi x), eight of scikit-learn's digits in three classes,
and a cross-entropy on the exclusive or; 20 shapes L = 4..32, M = 4..64, both couplings; descent.
 (a) predicted over measured standard deviation of the outputs at an early, a middle and a late
     time, beside the statistical error of the measured one, 1/sqrt(2n) at n networks;
 (b) how many losses the predicted 95 % bands hold;
 (c) in how many cases the prediction says that it cannot be trusted, and what was off there.

Prediction: ratios of 1, 95 % covered. Takes 6 minutes on one core, --quick 40 seconds.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from study import Claim, Sizes, report, script, shapes_of, write_csv

import mfpde
from mfpde import data, laws
from mfpde.runs.progress import track

HEADER = ("problem", "coupling", "layers", "width", "s", "networks")
HEADER += ("predicted", "measured", "covered", "validity", "trusted")
FULL = {"layers": (4, 8, 16, 32), "widths": (4, 8, 16, 32, 64), "networks": 64}
FULL |= {"particles": 1024, "s_end": 12.0, "step": 0.125}
QUICK = {"layers": (4, 16), "widths": (8, 32), "networks": 60, "particles": 256, "s_end": 4.0}


def problems() -> dict[str, tuple[mfpde.Problem, laws.Law]]:
    """Problems and laws by name."""
    how, x = {"readout": "last"}, np.linspace(-1, 1, 16)[:, None]
    sine = mfpde.Problem(x, 0.8 * np.sin(2 * np.pi * x), block=mfpde.SHL(2), **how)
    images, labels = data.load("digits")
    chosen = np.concatenate([np.flatnonzero(labels == c)[:3] for c in range(3)])[:8]
    z = data.principal_components(images, 3)[chosen]
    digits = mfpde.Problem(z, data.one_hot(labels[chosen]), block=mfpde.SHL(6), **how)
    z = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [0.2, 0.4], [-0.5, 0.3]])
    y, how = (z.prod(axis=1) < 0).astype(int), {"loss": "cross_entropy", **how}
    return {
        "sine": (sine, laws.Gaussian([1.0, 1.0, 2.0, 2.0, 1.0])),
        "digits": (digits, laws.Gaussian(1.0, dim=13)),
        "xor": (mfpde.Problem(z, y, block=mfpde.SHL(4, "gelu"), **how), laws.Gaussian(1.0, dim=9)),
    }


def trained(problem, law, shape, times, size, number, **how) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (T, S, N, k) and losses (T, S); equal seeds would share draws over all shapes."""
    seeds = np.arange(size.networks) + number * size.networks
    how |= {"seeds": seeds.tolist(), "observe": {"outputs": lambda networks: networks.outputs}}
    run = mfpde.resnet.train(problem, law, layers=shape[0], width=shape[1], progress=False, **how)
    at = [int(np.abs(run.s - s).argmin()) for s in times]
    return np.moveaxis(run.observed["outputs"][:, at], 1, 0), run.loss[:, at].T


def compare(name: str, coupling: str, size: Sizes) -> tuple[list[tuple], tuple]:
    """Rows of ``HEADER``, and (name, coupling, seconds of the prediction, of the training)."""
    task, rows, start = problems()[name], [], time.perf_counter()
    how = {"s_end": size.s_end, "step": size.step, "coupling": coupling}
    more = {"times": [size.s_end / 8, size.s_end / 2], "particles": size.particles}
    found = mfpde.finite_size(*task, **more, **how)
    middle = time.perf_counter()
    warnings.simplefilter("ignore", UserWarning)  # of sizes not to be trusted: they are counted
    for number, shape in enumerate(track(shapes_of(size.layers, size.widths), name)):
        outputs, losses = trained(*task, shape, found.s, size, number, **how)
        measured = np.sqrt(outputs.var(axis=1, ddof=1).mean(axis=(1, 2)))
        predicted = np.sqrt(np.square(found.outputs_std(*shape)).mean(axis=(1, 2)))
        low, high = found.loss_band(*shape).T[:, :, None]
        covered = ((losses >= low) & (losses <= high)).mean(axis=1)
        case, trusted = (name, coupling, *shape), found.trusted(*shape).astype(int)
        columns = found.s, predicted, measured, covered, found.validity(*shape), trusted
        for s, *each in zip(*(c.tolist() for c in columns), strict=True):
            rows.append((*case, s, size.networks, *each))
    return rows, (name, coupling, middle - start, time.perf_counter() - middle)


def measure(size: Sizes, out: Path) -> list[Claim]:
    found = [
        compare(name, coupling, size) for name in problems() for coupling in ("independent", "tied")
    ]
    rows, networks = [row for some, _ in found for row in some], size.networks
    write_csv(out / "networks.csv", HEADER, rows)
    report(out / "seconds.csv", (*HEADER[:2], "predicting", "training"), [two for _, two in found])
    trusted = np.array([row[-1] == 1 for row in rows])
    predicted, measured, covered = np.array([row[6:9] for row in rows]).T
    off = np.abs(predicted / measured - 1)
    kinds = np.array([" ".join(row[:2]) for row in rows])
    groups = {one: float(np.median(off[trusted & (kinds == one)])) for one in dict.fromkeys(kinds)}
    return [
        Claim("Where the prediction trusts itself, deviations are within a tenth (median).",
              f"median |ratio - 1| {np.median(off[trusted]):.3f}, statistics alone give about "
              f"{0.67 / np.sqrt(2 * networks):.3f}; "
              + ", ".join(f"{name} {value:.3f}" for name, value in groups.items()),
              max(groups.values()) <= 0.1),
        Claim("Predicted 95 % bands hold 93 to 97 % of the losses.",
              f"{covered[trusted].mean():.4f} of {networks * int(trusted.sum())} losses.",
              0.93 <= covered[trusted].mean() <= 0.97),
        Claim("Deviations that are off by a third are not trusted.",
              f"trusted ones are off by at most {off[trusted].max():.3f}; {np.sum(~trusted)} of "
              f"{len(rows)} cases are not, off by {off[~trusted].max(initial=0.0):.3f} at most.",
              bool(np.all(off[trusted] <= 1 / 3))),
    ]  # fmt: skip


main = script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
