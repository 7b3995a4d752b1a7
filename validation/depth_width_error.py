"""Error of finite ResNets to their limit in depth and width, against published numbers.

Theorem (Chizat 2025, arXiv 2509.10167). After a fixed number of gradient steps a ResNet of L
layers, width M and dimension D is within O(1/L + sqrt(D)/sqrt(LM)) of one limit, however M scales
with L, M = 1 included. Published: the RMS error over 5 repetitions is fitted by
.22 sqrt(D)/sqrt(LM) + .15/L for L, M in {1, 3, ..., 316}, against a network of L = M = 1000.

Here, their setting, D = N = 10, 100 steps. Their data are one random draw that is not published,
but its losses are: of 12 draws the one whose losses come closest is studied, chosen before any
error is seen (published_draws.py has the others). Width scatters outputs with mean zero about the
shift that depth causes, so in an RMS squares add: sqrt(a^2 D/(LM) + b^2/L^2) is fitted.

Prediction: a = .22 and b = .15 within 25 %; exponents -1/2 of LM and -1 of L where their term
rules; width 1 the same limit at the same rate. Takes 70 seconds on one core, --quick 15 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, D, Sizes

from mfpde.theory import FiniteSizeFit, fit_finite_size

A, B = 0.22, 0.15
PUBLISHED_SIZES = (1, 3, 6, 12, 24, 46, 87, 166, 316)
FULL = {"layers": PUBLISHED_SIZES, "widths": PUBLISHED_SIZES}
FULL |= {"wide": 4096, "wide_layers": (3, 6, 12, 24), "narrow_layers": (100, 316, 1000, 3160)}
FULL |= {"reference": 1000, "draws": 12}
QUICK = {"layers": (1, 3, 6, 12, 24, 46), "widths": (6, 24, 87, 166), "draws": 6, "reference": 200}
QUICK |= {"wide": 1024, "wide_layers": (3, 6, 12), "narrow_layers": (30, 100, 316)}


def coefficients(found: FiniteSizeFit) -> tuple[float, float]:
    """(a, b) of a sqrt(D)/sqrt(LM) and b/L, in the letters of the paper."""
    return found.b / np.sqrt(D), found.a


def errors(size: Sizes, draw: int, out: Path) -> tuple[dict[str, np.ndarray], float]:
    """Errors (shapes, 5) on the surface of all shapes, of wide and of narrow networks."""
    problem = study.gaussian_data(draw)
    exact, uncertainty = study.deep_reference(problem, size.reference)
    found = {}
    for name, layers, widths in (
        ("surface", size.layers, size.widths),
        ("wide", size.wide_layers, (size.wide,)),
        ("narrow", size.narrow_layers, (1,)),
    ):
        shapes = study.shapes_of(layers, widths)
        found[name] = study.errors_of(problem, exact, shapes)
        pairs = zip(shapes, found[name].tolist(), strict=True)
        rows = [(*shape, seed, e) for shape, line in pairs for seed, e in enumerate(line, start=1)]
        study.write_csv(out / f"{name}.csv", ("layers", "width", "seed", "error"), rows)
    return found, uncertainty


def measure(size: Sizes, out: Path) -> list[Claim]:
    losses = study.published_losses(size.draws)
    draw = int(min(losses, key=lambda row: row[1])[0])
    study.report(out / "losses.csv", ("draw", "distance", *map(str, study.PUBLISHED_LOSS)), losses)
    study.say(f"draw {draw} for the published {[*study.PUBLISHED_LOSS.values()]}\n")
    found, uncertainty = errors(size, draw, out)
    means = {name: np.sqrt(np.mean(e**2, axis=1)) for name, e in found.items()}

    shapes = study.shapes_of(size.layers, size.widths)
    layers, width = np.array(shapes, float).T
    best = fit_finite_size(layers, width, found["surface"], form="quadrature")
    plain = fit_finite_size(layers, width, found["surface"], form="sum")
    (a, b), (a_sum, b_sum) = coefficients(best), coefficients(plain)
    published = A * np.sqrt(D / (layers * width)) + B / layers
    ratio = means["surface"] / published
    rows = np.stack([means["surface"], published, best(layers, width)], axis=1).tolist()
    header = ("L", "M", "rms error", "published fit", "this fit")
    study.table(header, [(*shape, *row) for shape, row in zip(shapes, rows, strict=True)])
    of_wide, of_narrow = (
        study.slope(some, means[name])
        for name, some in (("wide", size.wide_layers), ("narrow", size.narrow_layers))
    )
    a_narrow = float(np.median(means["narrow"] * np.sqrt(np.array(size.narrow_layers) / D)))
    b_wide = np.median(means["wide"] * size.wide_layers)
    return [
        Claim(
            "The reference is sharper than every network that is compared with it.",
            f"uncertainty {uncertainty:.2e}, smallest error {means['surface'].min():.2e}.",
            uncertainty < 0.5 * means["surface"].min(),
        ),
        Claim(
            "The coefficients are the published .22 and .15 within 25 %.",
            f"a = {study.spread(a, np.array(best.b_interval) / np.sqrt(D))}, "
            f"b = {study.spread(b, best.a_interval)} (95 %, squares added; plain sum: {a_sum:.3f} "
            f"and {b_sum:.3f}); {np.mean(np.abs(ratio - 1) <= 0.25):.0%} of the shapes lie within "
            f"25 % of the published fit, {np.median(ratio):.2f} of it in the median.",
            study.near(a, A) and study.near(b, B),
        ),
        Claim(
            "Where width rules, the error has slope -1/2 in LM.",
            f"{study.spread(best.exponent, best.exponent_interval)} (95 %).",
            abs(best.exponent + 0.5) <= 0.1,
        ),
        Claim(
            "Where depth rules, the error has slope -1 in L.",
            f"{of_wide:.3f} at M = {size.wide}; there b = {b_wide:.3f}.",
            abs(of_wide + 1.0) <= 0.1,
        ),
        Claim(
            "Width 1 reaches the same limit at the same rate.",
            f"slope {of_narrow:.3f} in L up to L = {size.narrow_layers[-1]}, a = {a_narrow:.3f}.",
            abs(of_narrow + 0.5) <= 0.1 and study.near(a_narrow, a),
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
