"""How far the published coefficients of depth and width depend on the draw of the data.

Theorem (Chizat 2025). Networks are within O(1/L + sqrt(D)/sqrt(LM)) of their limit; published for
one random draw of the data: .22 sqrt(D)/sqrt(LM) + .15/L.

Here. The setting of depth_width_error.py on 12 draws and fewer shapes, first the draw whose losses
come closest to the published ones. Prediction: the medians of a and b over the draws are the
published ones within 25 %. Takes a minute on one core, --quick five seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

from mfpde.theory import fit_finite_size

A, B = 0.22, 0.15
FULL = {"layers": (1, 3, 6, 12, 24), "widths": (3, 12, 46, 166), "reference": 400}
FULL |= {"draws": 12, "studied": 12}
QUICK = {"layers": (1, 3, 12), "widths": (12, 46, 166), "reference": 100, "draws": 6, "studied": 3}


def coefficients(draw: int, size: Sizes) -> tuple[float, float]:
    """(a, b) of a sqrt(D)/sqrt(LM) and b/L on one draw, squares added."""
    problem, shapes = study.gaussian_data(draw), study.shapes_of(size.layers, size.widths)
    exact, _ = study.deep_reference(problem, size.reference)
    found = study.errors_of(problem, exact, shapes)
    fit = fit_finite_size(*np.array(shapes, float).T, found, form="quadrature")
    return fit.b / np.sqrt(study.D), fit.a


def measure(size: Sizes, out: Path) -> list[Claim]:
    losses = study.published_losses(size.draws)
    order = sorted(range(size.draws), key=lambda draw: draw != min(losses, key=lambda r: r[1])[0])
    rows = [(draw, *coefficients(draw, size)) for draw in order[: size.studied]]
    study.report(out / "draws.csv", ("draw", "a", "b"), rows)
    a, b = np.array(rows)[:, 1:].T
    return [
        Claim(
            f"The median {name} is the published {published} within 25 %.",
            f"{len(rows)} draws: {values.min():.3f} to {values.max():.3f}, median "
            f"{np.median(values):.3f}.",
            study.near(float(np.median(values)), published),
        )
        for name, values, published in (("a", a, A), ("b", b, B))
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
