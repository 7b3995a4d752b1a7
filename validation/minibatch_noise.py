"""The limit on minibatches against the limit on all data, over the step.

Theorem. Stochastic gradient descent of step h fluctuates about the flow by O(sqrt(h)) at a fixed
training time, by less where batches are reshuffled each epoch and cancel over it.

Here. Images in 10 classes (scikit-learn's digits, or --data mnist.npz) as in real_data.py; the
limit by Sobol particles and rk4 in depth, descended on batches of 100, three sequences of batches,
against the same descent on all data. Prediction: the distance of the outputs falls with the step,
at least like its root. Takes half a minute on one core, --quick five seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Images, Sizes

import mfpde
from mfpde.runs.progress import track

FULL = {"count": 2000, "unseen": 400, "components": 14, "batch": 100, "particles": 256}
FULL |= {"steps": (2.0, 1.0, 0.5, 0.25), "seeds": 3, "s_end": 40.0}
QUICK = {"count": 200, "unseen": 100, "components": 6, "batch": 50, "particles": 64}
QUICK |= {"steps": (1.0, 0.5, 0.25), "s_end": 10.0}


def noise(problem: mfpde.Problem, size: Sizes) -> list[tuple[float, float]]:
    """Rows (step, RMS over seeds of the distance between batches and all data)."""
    start = study.sobol_start(problem, 2, size.particles)
    rows = []
    for step in track(size.steps, "steps"):
        exact, *noisy = (
            mfpde.predict(problem, study.on_batches(problem, start, size, step, seed))
            for seed in (None, *range(1, size.seeds + 1))
        )
        apart = np.concatenate(noisy) - np.tile(exact, (len(noisy), 1))
        rows.append((step, float(study.rms(apart))))
    return rows


def measure(size: Sizes, out: Path) -> list[Claim]:
    rows = noise(Images.load(size.data, size).problem, size)
    study.report(out / "noise.csv", ("step", "error"), rows)
    rate = study.slope(*np.array(rows).T)
    return [
        Claim(
            "The noise of minibatches falls with the step, at least like its root.",
            f"h^{rate:.3f}: " + ", ".join(f"{e:.2e} at h = {h:g}" for h, e in rows) + ".",
            rate >= 0.4,
        )
    ]


main = study.script(__doc__, measure, FULL, QUICK, data=study.DATA["data"])

if __name__ == "__main__":
    sys.exit(main())
