"""Finite networks against the limit on real data, trained on minibatches.

Theorem (Barboni, Peyre, Vialard 2024; rates of Chizat 2025). ResNets of L layers and width M with
i.i.d. parameters follow the limit within O(1/L + 1/sqrt(LM)), in their outputs and in conditional
optimal transport. Minibatches change both flows alike: the limit of the networks that see a
sequence of batches is the limit that sees the same ones.

Here. Up to 2,000 images in 10 classes (scikit-learn's digits, or --data mnist.npz), 14 principal
components, d = 24; u = 0 and (w, b) Gaussian; batches of 100, reshuffled each epoch. Networks of
L = 4..16, M = 4..256 by stochastic gradient descent, 3 seeds, each against the limit on its own
batches (Sobol particles, rk4 in depth): (a) in outputs over all data; (b) in the same-index COT
distance to their initial parameters moved by the limit's field (riders without mass, which bound
COT from above, as in consistency.py); (c) in accuracy on images that were never seen.

Prediction: slope -1/2 in LM for both distances. Takes a minute on one core, --quick ten seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Images, Sizes

import mfpde
from mfpde.resnet import SGD
from mfpde.runs.progress import track
from mfpde.theory import fit_finite_size

FULL = {"count": 2000, "unseen": 400, "components": 14, "batch": 100, "particles": 1024}
FULL |= {"layers": (4, 8, 16), "widths": (4, 16, 64, 256), "seeds": 3, "s_end": 40.0, "step": 0.5}
QUICK = {"count": 200, "unseen": 100, "components": 6, "batch": 50, "particles": 512}
QUICK |= {"layers": (4, 8), "widths": (4, 16, 64), "s_end": 10.0}


def networks(problem: mfpde.Problem, layers: int, width: int, size: Sizes) -> mfpde.resnet.Training:
    how = {"layers": layers, "width": width, "seeds": range(1, size.seeds + 1), "record": 10**9}
    how |= {"s_end": size.s_end, "step": size.step, "optimizer": SGD(batch=size.batch)}
    return mfpde.resnet.train(problem, study.silent_law(problem), **how)


def compare(images: Images, size: Sizes) -> tuple[list, list, mfpde.ParticleMeasure]:
    """Rows (L, M, seed, output error, COT bound, accuracy); rows of the limit; the last limit."""
    problem, rows, limits = images.problem, [], []
    for layers in track(size.layers, "depths"):
        runs = [networks(problem, layers, width, size) for width in size.widths]
        for index, seed in enumerate(runs[0].seeds):
            starts = np.concatenate([run.saved[index, 0] for run in runs], axis=1)
            own = study.sobol_start(problem, layers // 2, size.particles)
            end = study.on_batches(problem, study.with_riders(own, starts), size, size.step, seed)
            exact, first = mfpde.predict(problem, end), size.particles
            limits.append((layers, seed, float(mfpde.loss(problem, end)), images.accuracy(end)))
            for width, run in zip(size.widths, runs, strict=True):
                moved = end.theta[:layers, first : first + width]
                first += width
                gap = float(np.sqrt(np.square(run.theta[index] - moved).sum(axis=-1).mean()))
                error = float(study.rms(run.outputs[index] - exact))
                rows.append((layers, width, seed, error, gap, images.accuracy(run.final[index])))
    return rows, limits, end


def reference_error(images: Images, end: mfpde.ParticleMeasure, size: Sizes) -> float:
    """Distance of the last limit to one from other Sobol points, on the same batches."""
    start = study.sobol_start(images.problem, size.layers[-1] // 2, size.particles, seed=1)
    other = study.on_batches(images.problem, start, size, size.step, size.seeds)
    outputs = (mfpde.predict(images.problem, rho) for rho in (end, other))
    return float(study.rms(np.subtract(*outputs)))


def measure(size: Sizes, out: Path) -> list[Claim]:
    images = Images.load(size.data, size)
    study.say(f"{images.problem}, {len(images.classes)} images held out")
    rows, limits, end = compare(images, size)
    uncertainty = reference_error(images, end, size)
    header = ("layers", "width", "seed", "error", "distance", "accuracy")
    study.write_csv(out / "networks.csv", header, rows)
    study.write_csv(out / "limit.csv", ("layers", "seed", "loss", "accuracy"), limits)

    shapes = study.shapes_of(size.layers, size.widths)
    cells = [study.at_shape(rows, shapes, column) for column in (3, 4, 5)]
    of_outputs, of_parameters = (
        fit_finite_size(*np.array(shapes, float).T, found, form="quadrature") for found in cells[:2]
    )
    means = [np.sqrt(np.mean(found**2, axis=1)) for found in cells]
    seen = (means[0], of_outputs(*np.transpose(shapes)), means[1])
    header = ("L", "M", "output error", "fit", "COT bound", "fit", "accuracy")
    seen = np.stack([*seen, of_parameters(*np.transpose(shapes)), means[2]], axis=1).tolist()
    study.table(header, [(*shape, *line) for shape, line in zip(shapes, seen, strict=True)])
    loss, accuracy = np.mean([row[2:] for row in limits], axis=0)
    widest = float(np.mean([row[5] for row in rows if row[1] == size.widths[-1]]))
    study.say(f"\nlimit: loss {loss:.4f}, accuracy {accuracy:.3f}")
    return [
        Claim(
            "The reference is sharper than every network that is compared with it.",
            f"two Sobol limits differ by {uncertainty:.2e}, smallest error {means[0].min():.2e}.",
            uncertainty < means[0].min(),
        ),
        study.width_claim(
            "Output errors under minibatches fall like 1/sqrt(LM) where width rules.", of_outputs
        ),
        study.width_claim(
            "COT distances to samples of the limit fall like 1/sqrt(LM) where width rules.",
            of_parameters,
        ),
        Claim(
            "On unseen images the widest networks do as well as the limit.",
            f"accuracy {widest:.3f}, limit {accuracy:.3f}, the smallest network "
            f"{cells[2][0].mean():.3f} ({len(images.classes)} images).",
            abs(widest - accuracy) <= 0.03,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK, data=study.DATA["data"])

if __name__ == "__main__":
    sys.exit(main())
