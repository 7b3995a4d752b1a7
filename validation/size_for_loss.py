"""How deep and wide a network must be for a small loss with high probability.

Theorem (Ding, Chen, Li, Wright 2021, Theorems 6, 7). With L >= C/eps, M >= C/(eps^2 eta) the loss
of a trained ResNet is within eps of the limit's with probability 1 - eta, and the limit, with a
decaying regulariser e^{-s}|theta|^2, reaches zero loss. Sharper since (Chizat 2025): errors are
O(1/L + 1/sqrt(LM)), so that L M, not M, has to be of order 1/eps^2.

Here. sin(pi x) on 16 points, lifted to d = 2, standard Gaussian parameters.
 (a) P(E <= eps) at a fixed training time s, for L = 2..32, M = 2..64 by Monte Carlo with
     Clopper-Pearson intervals, eps = (1 + margin) times the limit's loss at the same s;
 (b) the law of log E over (L, M): exponents of its scatter and of its bias, and the frontier
     L M*(eps, eta), where probability reaches 1 - eta, against both shapes;
 (c) the same scatter from tied layers, one draw repeated over depth: the start of Ding et al.;
 (d) mfpde.theory.required_size, which trains no network, against fresh networks, both couplings;
 (e) the limit to E = 1e-8 with and without the decaying regulariser.

Prediction: scatter L^{-1/2} M^{-1/2} from independent layers, for which the theorem's width rate is
not sharp; M^{-1/2} at every depth from tied ones, for which it cannot be improved to LM. Bias 1/L;
L M* falls with slope -2 in eps minus what the limit and depth leave; the theorem's sizes suffice,
by a factor. Takes 4 minutes on one core, --quick 20 seconds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from study import Claim, parser, say, sine, table, verdict, write_csv

import mfpde
from mfpde import laws
from mfpde.runs.progress import track
from mfpde.theory import LossLaw, RequiredSize, fit_loss_law, required_size
from mfpde.theory._finite_size import slope

LAW = laws.Gaussian(1.0, dim=5)
COUPLINGS = ("independent", "tied")
Shapes = list[tuple[int, int]]


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    count: int = 16
    layers: tuple[int, ...] = (2, 4, 8, 16, 32)
    widths: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    seeds: int = 200
    s_end: float = 20.0
    step: float = 0.25
    particles: int = 4096
    margins: tuple[float, ...] = (0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2)
    etas: tuple[float, ...] = (0.05, 0.2)
    cases: tuple[tuple[float, float], ...] = ((0.1, 0.05), (0.05, 0.05), (0.05, 0.2))
    tied: tuple[tuple[int, ...], tuple[int, ...]] = ((4, 8, 16, 32), (8, 16, 32, 64))
    checks: int = 400
    goal: float = 1e-8

    @classmethod
    def quick(cls) -> Settings:
        return cls(
            count=8,
            layers=(4, 8, 16),
            widths=(2, 4, 8, 16),
            seeds=100,
            s_end=5.0,
            particles=1024,
            margins=(0.06, 0.08, 0.1, 0.15, 0.2, 0.3),
            cases=((0.15, 0.05),),
            tied=((4, 8, 16), (4, 8, 16)),
            checks=150,
            goal=1e-4,
        )


def losses(
    problem: mfpde.Problem,
    shape: tuple[int, int],
    seeds: range,
    settings: Settings,
    coupling: str = "independent",
) -> np.ndarray:
    """Losses of trained networks, (seeds,)."""
    how = {"s_end": settings.s_end, "step": settings.step, "record": 10**9, "coupling": coupling}
    layers, width = shape
    run = mfpde.resnet.train(problem, LAW, layers=layers, width=width, seeds=seeds, **how)
    return run.loss[:, -1]


def limit_loss(problem: mfpde.Problem, settings: Settings) -> tuple[float, float]:
    """The limit's loss under the same gradient steps, and its uncertainty."""
    depth = mfpde.Depth(8, "rk4")
    how = {"count": settings.particles, "coupling": "independent"}
    ends = [
        mfpde.solve(
            problem,
            mfpde.ParticleMeasure.from_law(LAW, depth, seed=seed, **how),
            s_end=settings.s_end,
            method="gd",
            step=settings.step,
        ).loss[-1]
        for seed in (0, 1)
    ]
    return float(np.mean(ends)), 0.5 * float(abs(ends[0] - ends[1]))


def regularised(problem: mfpde.Problem, decay: float, goal: float) -> mfpde.Solution:
    """(d) The limit's flow to the goal, with c e^{-s} |theta|^2 added to what is descended."""
    rho0 = mfpde.ParticleMeasure.from_law(LAW, mfpde.Depth(4, "rk4"), count=256)
    return mfpde.solve(
        problem,
        rho0,
        s_end=1e7,
        loss_below=goal,
        method="implicit",
        rtol=1e-2,
        vanishing_decay=decay,
        raise_on_failure=False,  # the verdict says what was reached
    )


def share(hits: np.ndarray) -> tuple[float, float, float]:
    """P and its Clopper-Pearson interval from booleans."""
    interval = binomtest(int(hits.sum()), hits.size).proportion_ci(method="exact")
    return float(hits.mean()), float(interval.low), float(interval.high)


def phase(
    shapes: Shapes, found: np.ndarray, limit: float, margins: tuple[float, ...]
) -> list[tuple]:
    """(a) Rows (L, M, margin, P, low, high)."""
    return [
        (*shape, margin, *share(line <= (1 + margin) * limit))
        for margin in margins
        for shape, line in zip(shapes, found, strict=True)
    ]


def scatter_exponents(shapes: Shapes, found: np.ndarray) -> tuple[float, float]:
    """Exponents of L and M in the standard deviation of log E over seeds."""
    terms = np.column_stack([np.ones(len(shapes)), np.log(shapes)])
    spread = np.log(found).std(axis=1, ddof=1)
    return tuple(float(v) for v in np.linalg.lstsq(terms, np.log(spread), rcond=None)[0][1:])


def depth_bias(shapes: Shapes, found: np.ndarray, limit: float) -> list[tuple[int, float]]:
    """Rows (L, mean of log E - log limit) at the largest width."""
    widest = max(width for _, width in shapes)
    return [
        (layers, float(np.log(line / limit).mean()))
        for (layers, width), line in zip(shapes, found, strict=True)
        if width == widest
    ]


def frontier(
    shapes: Shapes, found: np.ndarray, limit: float, law: LossLaw, settings: Settings
) -> list[tuple]:
    """(b) Where the Monte Carlo P(E <= eps) crosses 1 - eta.

    Rows (eta, margin, L, room, LM*, LM* by the law). The (1 - eta)-quantile of E is interpolated in
    log M; ``room`` is the part of log eps that the limit and depth leave to width.
    """
    rows = []
    for eta in settings.etas:
        quantile = np.quantile(found, 1 - eta, axis=1)
        for margin in settings.margins:
            for layers in settings.layers:
                keep = [i for i, shape in enumerate(shapes) if shape[0] == layers]
                excess = np.log(quantile[keep] / ((1 + margin) * limit))
                room = float(np.log1p(margin) - law.a / layers)
                if excess[0] > 0 > excess[-1]:
                    width = np.log([shapes[i][1] for i in keep])
                    last = int(np.flatnonzero(excess > 0)[-1])
                    part = excess[last] / (excess[last] - excess[last + 1])
                    crossing = width[last] + part * (width[last + 1] - width[last])
                    by_law = law.blocks_needed((1 + margin) * limit, eta, layers)
                    rows.append(
                        (eta, margin, layers, room, float(layers * np.exp(crossing)), by_law)
                    )
    return rows


def theorem(rows: list[tuple], limit: float) -> tuple[tuple[float, float], list[tuple]]:
    """Its constants, and rows (eta, margin, L, M by the theorem, M measured) where it allows L.

    C of L >= C/eps and C' of M >= C'/(eps^2 eta), eps the distance to the limit's loss, are read
    off the easiest case of the frontier.
    """
    easiest = max(rows, key=lambda row: (row[1], row[0], -row[4]))
    eta, margin, layers, _, blocks, _ = easiest
    of_depth = layers * margin * limit
    of_width = blocks / layers * (margin * limit) ** 2 * eta
    asked = [
        (eta, margin, layers, of_width / ((margin * limit) ** 2 * eta), blocks / layers)
        for eta, margin, layers, _, blocks, _ in rows
        if layers >= 0.999 * of_depth / (margin * limit)
    ]
    return (of_depth, of_width), asked


def predict(
    problem: mfpde.Problem, limit: float, settings: Settings
) -> list[tuple[RequiredSize, tuple[float, ...], tuple[float, ...]]]:
    """(d) Predicted sizes, P(E <= eps) of fresh networks there, and at a quarter of the width."""
    out = []
    cases = [(*case, coupling) for case in settings.cases for coupling in COUPLINGS]
    for margin, eta, coupling in track(cases, "predictions"):
        how = {"s_end": settings.s_end, "step": settings.step, "coupling": coupling}
        size = required_size(problem, LAW, (1 + margin) * limit, eta, **how)
        fresh = range(10_000, 10_000 + settings.checks)
        full, quarter = (
            share(losses(problem, one, fresh, settings, coupling) <= size.epsilon)
            for one in (
                (size.layers, size.width),
                (size.layers, max(size.width // 4, 1)),
            )
        )
        out.append((size, full, quarter))
    return out


def needed(size: RequiredSize, limit: float, constants: tuple[float, float]) -> tuple:
    """Row (coupling, eta, margin, L, M needed, M that the theorem asks for)."""
    excess = size.epsilon - limit
    asked = constants[1] / (excess**2 * size.eta)
    return size.coupling, size.eta, excess / limit, size.layers, size.width, asked


@dataclass(frozen=True)
class Study:
    """Everything that was measured."""

    settings: Settings
    shapes: Shapes
    found: np.ndarray
    tied: tuple[Shapes, np.ndarray]
    law: LossLaw
    crossings: list[tuple]
    biases: list[tuple[int, float]]
    constants: tuple[float, float]
    asked: list[tuple]
    predictions: list[tuple]
    flows: dict[str, mfpde.Solution]


def claims(study: Study) -> list[Claim]:
    law, goal = study.law, study.settings.goal
    of_layers, of_width = scatter_exponents(study.shapes, study.found)
    tied_layers, tied_width = scatter_exponents(*study.tied)
    of_bias = slope(*np.array([row for row in study.biases if row[0] >= 4]).T)
    room, measured, by_law = np.array(study.crossings)[:, 3:].T
    ratio = measured / by_law
    waste = max(study.asked, key=lambda row: row[3] / row[4])
    ends = {name: (flow.loss[-1], flow.s[-1]) for name, flow in study.flows.items()}
    return [
        Claim(
            "From independent layers the loss scatters like 1/sqrt(LM).",
            f"standard deviation of log E ~ L^{of_layers:.3f} M^{of_width:.3f}; the fitted law's "
            f"residuals have spread {law.spread.min():.2f} to {law.spread.max():.2f}, 1 expected.",
            abs(of_layers + 0.5) <= 0.1 and abs(of_width + 0.5) <= 0.1,
        ),
        Claim(
            "From tied layers, the theorem's start, it scatters like 1/sqrt(M) at every depth.",
            f"standard deviation of log E ~ L^{tied_layers:.3f} M^{tied_width:.3f}.",
            abs(tied_layers) <= 0.1 and abs(tied_width + 0.5) <= 0.1,
        ),
        Claim(
            "Depth biases the loss like 1/L.",
            f"slope {of_bias:.3f} from L = 4.",
            abs(of_bias + 1) <= 0.25,
        ),
        Claim(
            "The frontier of P(E <= eps) = 1 - eta is where 1/L and 1/sqrt(LM) put it.",
            f"LM* over the law's: median {np.median(ratio):.2f}, {ratio.min():.2f} to "
            f"{ratio.max():.2f} over {len(ratio)} crossings, LM* = {measured.min():.0f} to "
            f"{measured.max():.0f}, slope {slope(room, measured):.2f} in the room left to width.",
            abs(np.median(ratio) - 1) <= 0.15 and bool(np.all(np.abs(np.log(ratio)) <= np.log(2))),
        ),
        Claim(
            "The theorem's sizes suffice, with constants from the easiest case alone.",
            f"{len(study.asked)} cases; at eta = {waste[0]:g}, margin {waste[1]:g}, L = {waste[2]} "
            f"it asks for M = {waste[3]:.0f}, measured {waste[4]:.0f}.",
            all(row[3] >= 0.999 * row[4] for row in study.asked),
        ),
        Claim(
            "Predicted sizes reach the probability asked for, and a quarter of them does not.",
            "; ".join(
                f"{size.coupling}, L = {size.layers}, M = {size.width} "
                f"[{size.width_interval[0]:.0f}, {size.width_interval[1]:.0f}]: "
                f"P = {full[0]:.3f} [{full[1]:.3f}, {full[2]:.3f}] "
                f"for {1 - size.eta:g}, quarter {quarter[0]:.3f}"
                for size, full, quarter in study.predictions
            ),
            all(full[2] >= 1 - size.eta > quarter[2] for size, full, quarter in study.predictions),
        ),
        Claim(
            f"The limit reaches E = {goal:g} with and without the decaying regulariser.",
            ", ".join(f"{name}: {e:.1e} at s = {s:.4g}" for name, (e, s) in ends.items()),
            max(e for e, _ in ends.values()) <= goal,
        ),
    ]


def write(out: Path, study: Study, limit: float) -> None:
    law = study.law
    by_shape = phase(study.shapes, study.found, limit, study.settings.margins)
    header = ("eta", "margin", "layers")
    depths = np.geomspace(study.settings.layers[0], study.settings.layers[-1], 60).tolist()
    curves = [
        (eta, margin, layers, law.blocks_needed((1 + margin) * limit, eta, layers))
        for eta in study.settings.etas
        for margin in study.settings.margins
        for layers in depths
    ]
    write_csv(out / "limit.csv", ("loss", "of_depth", "of_width"), [(limit, *study.constants)])
    write_csv(out / "law.csv", (*header, "blocks"), curves)
    write_csv(out / "phase.csv", ("layers", "width", "margin", "p", "low", "high"), by_shape)
    write_csv(out / "frontier.csv", (*header, "room", "blocks", "by_law"), study.crossings)
    write_csv(out / "theorem.csv", (*header, "asked", "measured"), study.asked)
    scatter = [
        (name, *shape, float(np.log(line).std(ddof=1)))
        for name, shapes, found in (
            ("independent", study.shapes, study.found),
            ("tied", *study.tied),
        )
        for shape, line in zip(shapes, found, strict=True)
    ]
    write_csv(out / "scatter.csv", ("coupling", "layers", "width", "scatter"), scatter)
    asked = [needed(one, limit, study.constants) for one, _, _ in study.predictions]
    header = ("coupling", "eta", "margin", "layers", "needed", "asked")
    write_csv(out / "needed.csv", header, asked)
    write_csv(out / "bias.csv", ("layers", "bias"), study.biases)
    for name, flow in study.flows.items():
        rows = zip(flow.s.tolist(), flow.loss.tolist(), strict=True)
        write_csv(out / f"{name}.csv", ("s", "loss"), rows)


def main(argv: list[str] | None = None) -> int:
    chosen = parser(__doc__, "size_for_loss").parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()
    problem = sine(settings.count)
    limit, uncertainty = limit_loss(problem, settings)
    say(f"limit: E = {limit:.6f} at s = {settings.s_end:g}, uncertain by {uncertainty:.1e}")

    shapes = [(layers, width) for layers in settings.layers for width in settings.widths]
    seeds = range(settings.seeds)
    found = np.array([losses(problem, one, seeds, settings) for one in track(shapes, "networks")])
    tied = [(layers, width) for layers in settings.tied[0] for width in settings.tied[1]]
    tied_found = [losses(problem, one, seeds, settings, "tied") for one in track(tied, "tied")]
    fitted = [i for i, shape in enumerate(shapes) if shape[0] >= 4 and np.prod(shape) >= 16]
    law = fit_loss_law(*np.array(shapes, float)[fitted].T, found[fitted])
    crossings = frontier(shapes, found, limit, law, settings)
    study = Study(
        settings,
        shapes,
        found,
        (tied, np.array(tied_found)),
        law,
        crossings,
        depth_bias(shapes, found, limit),
        *theorem(crossings, limit),
        predict(problem, limit, settings),
        {
            name: regularised(problem, decay, settings.goal)
            for name, decay in (("plain", 0.0), ("decaying", 1.0))
        },
    )
    write(chosen.out, study, limit)
    table(("eta", "margin", "L", "room", "LM*", "LM* by law"), crossings)
    say("\n" + "\n".join(str(size) for size, _, _ in study.predictions))
    return verdict(claims(study))


if __name__ == "__main__":
    sys.exit(main())
