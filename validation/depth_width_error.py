"""Error of finite ResNets to their limit in depth and width, against published numbers.

Theorem (Chizat 2025, arXiv 2509.10167). After a fixed number of gradient steps a ResNet of L
layers, width M and dimension D is within O(1/L + sqrt(D)/sqrt(LM)) of one limit, however M scales
with L, M = 1 included. Published: the RMS error over 5 repetitions is fitted by
.22 sqrt(D)/sqrt(LM) + .15/L for L, M in {1, 3, ..., 316}, against a network of L = M = 1000.

Their layer is H + V tanh(U'H/D)/(LM), D = N = 10, entries of U and V of size sqrt(D), 100 steps of
rate D on half the mean square. With u = V/sqrt(D), w = U/sqrt(D), A = Id/sqrt(D), B = sqrt(D) Id
this *is* the plain flow from a standard Gaussian under gradient descent of step 1/D.

Their data are one random draw. It is not published, but its losses are: of 12 draws the one whose
losses come closest takes the full study, before any error is seen; the others, on fewer shapes,
show how far the coefficients depend on the draw. Width scatters outputs with mean zero about the
shift that depth causes, so in an RMS the squares of the two terms add: the fit is that of
sqrt(a^2 D/(LM) + b^2/L^2), and the plain sum is fitted beside it.

Prediction: a = .22 and b = .15 within 25 %; exponents -1/2 of LM and -1 of L where their term
rules; networks of width 1 converge to the same limit at the same rate.
Takes 5 minutes on one core, --quick 20 seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import fastest_backend, rms
from reporting import Claim, parser, say, table, verdict, write_csv

import mfpde
from mfpde import laws
from mfpde.runs.progress import track
from mfpde.theory import FiniteSizeFit, fit_finite_size
from mfpde.theory._finite_size import slope

D = N = 10
STEPS = 100
LAW = laws.Gaussian(1.0, dim=2 * D)
PUBLISHED = (0.22, 0.15)
PUBLISHED_LOSS = {10: 0.55, 20: 0.37, 40: 0.21, 60: 0.105, 80: 0.06}

Shapes = list[tuple[int, int]]


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    layers: tuple[int, ...] = (1, 3, 6, 12, 24, 46, 87, 166, 316)
    widths: tuple[int, ...] = (1, 3, 6, 12, 24, 46, 87, 166, 316)
    few_layers: tuple[int, ...] = (1, 3, 6, 12, 24)
    few_widths: tuple[int, ...] = (3, 12, 46, 166)
    reference: int = 1000
    few_reference: int = 400
    wide: int = 4096
    wide_layers: tuple[int, ...] = (3, 6, 12, 24)
    narrow_layers: tuple[int, ...] = (100, 316, 1000, 3160)
    draws: int = 12
    studied_draws: int = 12
    repeats: int = 5

    @classmethod
    def quick(cls) -> Settings:
        return cls(
            layers=(1, 3, 6, 12, 24, 46),
            widths=(6, 24, 87, 166),
            few_layers=(1, 3, 12),
            few_widths=(12, 46, 166),
            reference=200,
            few_reference=100,
            wide=1024,
            wide_layers=(3, 6, 12),
            narrow_layers=(30, 100, 316),
            draws=6,
            studied_draws=3,
        )


def problem_of(draw: int) -> mfpde.Problem:
    """X, Y ~ N(0, 1), in the coordinates in which the published training is the plain flow."""
    rng = np.random.default_rng(np.random.SeedSequence(draw))
    x, y = rng.standard_normal((2, N, D))
    block = mfpde.SHL(dim=D, activation="tanh", bias=False)
    root = np.sqrt(D) * np.eye(D)
    return mfpde.Problem(x, y, block=block, embed=root / D, readout=root)


def train(
    problem: mfpde.Problem, layers: int, width: int, seeds: Iterable[int], record: int = STEPS
) -> mfpde.resnet.Training:
    """Networks after the published number of steps."""
    return mfpde.resnet.train(
        problem,
        LAW,
        layers=layers,
        width=width,
        seeds=[*seeds],
        s_end=STEPS / D,
        step=1 / D,
        record=record,
        backend=fastest_backend(),
    )


def reference(problem: mfpde.Problem, size: int) -> tuple[np.ndarray, float]:
    """Mean output (N, D) of two networks with L = M = size, and its uncertainty."""
    one, two = (train(problem, size, size, [seed]).outputs[0] for seed in track((101, 102), "deep"))
    return 0.5 * (one + two), 0.5 * float(rms(one - two))


def errors(problem: mfpde.Problem, exact: np.ndarray, shapes: Shapes, repeats: int) -> np.ndarray:
    """Distances of the outputs to the reference, (shapes, repeats)."""
    runs = (train(problem, *shape, range(1, repeats + 1)) for shape in track(shapes, "networks"))
    return np.array([rms(run.outputs - exact) for run in runs])


def loss_distances(draws: int) -> list[tuple[float, ...]]:
    """Rows (draw, distance of its log-losses to the published ones, losses)."""
    published, steps = np.array(list(PUBLISHED_LOSS.values())), np.array(list(PUBLISHED_LOSS))
    rows = []
    for draw in track(range(draws), "draws"):
        loss = 2 / D * train(problem_of(draw), 100, 100, [0], record=10).loss[0, steps // 10]
        distance = float(np.sqrt(np.mean(np.log(loss / published) ** 2)))
        rows.append((draw, distance, *(float(v) for v in loss)))
    return rows


def grid(layers: tuple[int, ...], widths: tuple[int, ...]) -> Shapes:
    return [(one, other) for one in layers for other in widths]


def fit(shapes: Shapes, found: np.ndarray, form: str = "quadrature") -> FiniteSizeFit:
    return fit_finite_size(*np.array(shapes, float).T, found, form=form)


def coefficients(found: FiniteSizeFit) -> tuple[float, float]:
    """(a, b) of a sqrt(D)/sqrt(LM) and b/L, in the letters of the paper."""
    return found.b / np.sqrt(D), found.a


def study_draws(settings: Settings, main_draw: int) -> list[tuple[float, ...]]:
    """Rows (draw, a, b) of every draw on the few shapes, the main one first."""
    draws = [main_draw, *(d for d in range(settings.draws) if d != main_draw)]
    rows = []
    for draw in draws[: settings.studied_draws]:
        problem, shapes = problem_of(draw), grid(settings.few_layers, settings.few_widths)
        exact, _ = reference(problem, settings.few_reference)
        found = fit(shapes, errors(problem, exact, shapes, settings.repeats))
        rows.append((draw, *coefficients(found)))
    return rows


def write_errors(path: Path, shapes: Shapes, found: np.ndarray) -> None:
    rows = [
        (*shape, seed, float(e))
        for shape, line in zip(shapes, found, strict=True)
        for seed, e in enumerate(line, start=1)
    ]
    write_csv(path, ("layers", "width", "seed", "error"), rows)


def near(value: float, target: float, share: float = 0.25) -> bool:
    return abs(value / target - 1) <= share


def main(argv: list[str] | None = None) -> int:
    chosen = parser(__doc__, "depth_width_error").parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()

    losses = loss_distances(settings.draws)
    draw = int(min(losses, key=lambda row: row[1])[0])
    write_csv(chosen.out / "losses.csv", ("draw", "distance", *map(str, PUBLISHED_LOSS)), losses)
    shown = ", ".join(f"{loss:.3f}" for loss in losses[draw][2:])
    say(f"draw {draw}: losses {shown}; published {[*PUBLISHED_LOSS.values()]}")

    problem = problem_of(draw)
    exact, uncertainty = reference(problem, settings.reference)
    shapes = grid(settings.layers, settings.widths)
    wide = [(layers, settings.wide) for layers in settings.wide_layers]
    narrow = [(layers, 1) for layers in settings.narrow_layers]
    tables = {"surface": shapes, "wide": wide, "narrow": narrow}
    found = {name: errors(problem, exact, some, settings.repeats) for name, some in tables.items()}
    for name, some in tables.items():
        write_errors(chosen.out / f"{name}.csv", some, found[name])
    means = {name: np.sqrt(np.mean(e**2, axis=1)) for name, e in found.items()}

    best, added = (fit(shapes, found["surface"], form) for form in ("quadrature", "sum"))
    (a, b), (a_sum, b_sum) = coefficients(best), coefficients(added)
    by_draw = study_draws(settings, draw)
    write_csv(chosen.out / "draws.csv", ("draw", "a", "b"), by_draw)
    layers, width = np.array(shapes, float).T
    published = PUBLISHED[0] * np.sqrt(D / (layers * width)) + PUBLISHED[1] / layers
    ratio = means["surface"] / published
    table(
        ("L", "M", "rms error", "published fit", "this fit"),
        [
            (*shape, float(e), float(p), float(best(*shape)))
            for shape, e, p in zip(shapes, means["surface"], published, strict=True)
        ],
    )
    print()
    table(("draw", "a", "b"), by_draw)

    of_wide = slope(settings.wide_layers, means["wide"])
    of_narrow = slope(settings.narrow_layers, means["narrow"])
    a_narrow = float(np.median(means["narrow"] * np.sqrt(np.array(settings.narrow_layers) / D)))
    a_all, b_all = np.array(by_draw)[:, 1:].T
    low, high = np.array(best.b_interval) / np.sqrt(D)
    return verdict(
        [
            Claim(
                "The reference is sharper than every network that is compared with it.",
                f"uncertainty {uncertainty:.2e}, smallest error {means['surface'].min():.2e}.",
                uncertainty < 0.5 * means["surface"].min(),
            ),
            Claim(
                "The coefficients are the published .22 and .15 within 25 %.",
                f"a = {a:.3f} [{low:.3f}, {high:.3f}], b = {b:.3f} [{best.a_interval[0]:.3f}, "
                f"{best.a_interval[1]:.3f}] (95 %, squares added; plain sum: {a_sum:.3f} and "
                f"{b_sum:.3f}); {np.mean(np.abs(ratio - 1) <= 0.25):.0%} of the shapes lie within "
                f"25 % of the published fit, {np.median(ratio):.2f} of it in the median.",
                near(a, PUBLISHED[0]) and near(b, PUBLISHED[1]),
            ),
            Claim(
                "So are the medians over draws of the data, which move both.",
                f"{len(by_draw)} draws: a from {a_all.min():.3f} to {a_all.max():.3f}, median "
                f"{np.median(a_all):.3f}; b from {b_all.min():.3f} to {b_all.max():.3f}, median "
                f"{np.median(b_all):.3f}.",
                near(float(np.median(a_all)), PUBLISHED[0])
                and near(float(np.median(b_all)), PUBLISHED[1]),
            ),
            Claim(
                "Where width rules, the error has slope -1/2 in LM.",
                f"{best.exponent:.3f}, 95 % interval [{best.exponent_interval[0]:.3f}, "
                f"{best.exponent_interval[1]:.3f}].",
                abs(best.exponent + 0.5) <= 0.1,
            ),
            Claim(
                "Where depth rules, the error has slope -1 in L.",
                f"{of_wide:.3f} at M = {settings.wide}; there b = "
                f"{np.median(means['wide'] * settings.wide_layers):.3f}.",
                abs(of_wide + 1.0) <= 0.1,
            ),
            Claim(
                "Width 1 reaches the same limit at the same rate.",
                f"slope {of_narrow:.3f} in L up to L = {narrow[-1][0]}, a = {a_narrow:.3f}.",
                abs(of_narrow + 0.5) <= 0.1 and near(a_narrow, a),
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
