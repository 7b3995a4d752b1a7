"""How likely finite networks are to reach a loss, over their shapes: what ``size_for_loss`` reads.

``size`` holds the sizes of that script. Losses of networks are (shapes, seeds).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import study
from scipy.stats import binomtest
from study import Shape, Sizes

import mfpde
from mfpde import laws
from mfpde.runs.progress import track
from mfpde.theory import LossLaw, RequiredSize, required_size

LAW = laws.Gaussian(1.0, dim=5)
COUPLINGS = ("independent", "tied")
Prediction = tuple[RequiredSize, tuple[float, ...], tuple[float, ...]]


def losses(
    problem: mfpde.Problem,
    shapes: Iterable[Shape],
    seeds: Iterable[int],
    size: Sizes,
    coupling: str = "independent",
) -> np.ndarray:
    """Losses of trained networks."""
    how = {"s_end": size.s_end, "step": size.step, "record": 10**9, "coupling": coupling}
    runs = (
        mfpde.resnet.train(problem, LAW, layers=layers, width=width, seeds=[*seeds], **how)
        for layers, width in shapes
    )
    return np.array([run.loss[:, -1] for run in runs])


def limit_loss(problem: mfpde.Problem, size: Sizes) -> tuple[float, float]:
    """The limit's loss under the same gradient steps, and its uncertainty."""
    depth, how = mfpde.Depth(8, "rk4"), {"count": size.particles, "coupling": "independent"}
    starts = [mfpde.ParticleMeasure.from_law(LAW, depth, seed=seed, **how) for seed in (0, 1)]
    how = {"s_end": size.s_end, "method": "gd", "step": size.step}
    ends = [mfpde.solve(problem, rho0, **how).loss[-1] for rho0 in starts]
    return float(np.mean(ends)), 0.5 * float(abs(ends[0] - ends[1]))


def regularised(out: Path, problem: mfpde.Problem, goal: float) -> dict[str, tuple[float, float]]:
    """Last E and s of the limit's flow to the goal, plain and with e^{-s} |theta|^2 descended."""
    rho0, ends = mfpde.ParticleMeasure.from_law(LAW, mfpde.Depth(4, "rk4"), count=256), {}
    how = {"s_end": 1e7, "loss_below": goal, "method": "implicit", "rtol": 1e-2}
    how |= {"raise_on_failure": False}  # the verdict says what was reached
    for name, decay in (("plain", 0.0), ("decaying", 1.0)):
        run = mfpde.solve(problem, rho0, vanishing_decay=decay, **how)
        study.write_series(out / f"{name}.csv", s=run.s, loss=run.loss)
        ends[name] = float(run.loss[-1]), float(run.s[-1])
    return ends


def share(hits: np.ndarray) -> tuple[float, float, float]:
    """P and its Clopper-Pearson interval from booleans."""
    interval = binomtest(int(hits.sum()), hits.size).proportion_ci(method="exact")
    return float(hits.mean()), float(interval.low), float(interval.high)


def scatter(found: np.ndarray) -> np.ndarray:
    """Standard deviation of log E over seeds, (shapes,)."""
    return np.log(found).std(axis=1, ddof=1)


def scatter_exponents(shapes: list[Shape], found: np.ndarray) -> tuple[float, float]:
    """Exponents of L and M in the scatter."""
    terms = np.column_stack([np.ones(len(shapes)), np.log(shapes)])
    fit = np.linalg.lstsq(terms, np.log(scatter(found)), rcond=None)[0]
    return float(fit[1]), float(fit[2])


def depth_bias(shapes: list[Shape], found: np.ndarray, limit: float) -> list[tuple[int, float]]:
    """Rows (L, mean of log E - log limit) at the largest width."""
    widest = max(width for _, width in shapes)
    return [
        (layers, float(np.log(line / limit).mean()))
        for (layers, width), line in zip(shapes, found, strict=True)
        if width == widest
    ]


def crossings(
    shapes: list[Shape], found: np.ndarray, limit: float, law: LossLaw, size: Sizes
) -> list[tuple]:
    """Where the Monte Carlo P(E <= eps) crosses 1 - eta.

    Rows (eta, margin, L, room, LM*, LM* by the law). The (1 - eta)-quantile of E is interpolated in
    log M; ``room`` is the part of log eps that the limit and depth leave to width.
    """
    rows = []
    for eta in size.etas:
        quantile = np.quantile(found, 1 - eta, axis=1)
        for margin in size.margins:
            for layers in size.layers:
                keep = [i for i, shape in enumerate(shapes) if shape[0] == layers]
                excess = np.log(quantile[keep] / ((1 + margin) * limit))
                room = float(np.log1p(margin) - law.a / layers)
                if excess[0] > 0 > excess[-1]:
                    blocks = layers * _crossing([shapes[i][1] for i in keep], excess)
                    by_law = law.blocks_needed((1 + margin) * limit, eta, layers)
                    rows.append((eta, margin, layers, room, blocks, by_law))
    return rows


def _crossing(widths: list[int], excess: np.ndarray) -> float:
    """The width at which the excess falls through zero for the last time."""
    width, last = np.log(widths), int(np.flatnonzero(excess > 0)[-1])
    part = excess[last] / (excess[last] - excess[last + 1])
    return float(np.exp(width[last] + part * (width[last + 1] - width[last])))


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


def predict(problem: mfpde.Problem, limit: float, size: Sizes) -> list[Prediction]:
    """Predicted sizes, P(E <= eps) of fresh networks there, and at a quarter of the width."""
    out, fresh = [], range(10_000, 10_000 + size.checks)
    cases = [(*case, coupling) for case in size.cases for coupling in COUPLINGS]
    for margin, eta, coupling in track(cases, "predictions"):
        how = {"s_end": size.s_end, "step": size.step, "coupling": coupling}
        one = required_size(problem, LAW, (1 + margin) * limit, eta, pilots=0, **how)
        shapes = [(one.layers, one.width), (one.layers, max(one.width // 4, 1))]
        full, quarter = losses(problem, shapes, fresh, size, coupling) <= one.epsilon
        out.append((one, share(full), share(quarter)))
    return out


def shown(one: Prediction) -> str:
    """A prediction beside what fresh networks of that size did."""
    size, (p, low, high), quarter = one
    between = f"[{size.width_interval[0]:.0f}, {size.width_interval[1]:.0f}]"
    return (
        f"{size.coupling}, L = {size.layers}, M = {size.width} {between}: "
        f"P = {p:.3f} [{low:.3f}, {high:.3f}] for {1 - size.eta:g}, quarter {quarter[0]:.3f}"
    )


def write_frontier(
    out: Path, rows: list[tuple], limit: float, law: LossLaw, size: Sizes
) -> tuple[tuple[float, float], list[tuple]]:
    """What ``theorem`` finds; writes the frontier as measured, by the law and by the theorem."""
    constants, asked = theorem(rows, limit)
    depths = np.geomspace(size.layers[0], size.layers[-1], 60).tolist()
    curves = [
        (eta, margin, layers, law.blocks_needed((1 + margin) * limit, eta, layers))
        for eta in size.etas
        for margin in size.margins
        for layers in depths
    ]
    header = ("eta", "margin", "layers")
    study.write_csv(out / "limit.csv", ("loss", "of_depth", "of_width"), [(limit, *constants)])
    study.write_csv(out / "law.csv", (*header, "blocks"), curves)
    study.write_csv(out / "frontier.csv", (*header, "room", "blocks", "by_law"), rows)
    study.write_csv(out / "theorem.csv", (*header, "asked", "measured"), asked)
    return constants, asked


def write_losses(
    out: Path, found: dict[str, tuple[list[Shape], np.ndarray]], limit: float, size: Sizes
) -> list[tuple[int, float]]:
    """The bias of depth; writes it, probabilities by shape and the scatter of both couplings."""
    shapes, independent = found["independent"]
    chances = [
        (*shape, margin, *share(line <= (1 + margin) * limit))
        for margin in size.margins
        for shape, line in zip(shapes, independent, strict=True)
    ]
    header = ("layers", "width", "margin", "p", "low", "high")
    study.write_csv(out / "phase.csv", header, chances)
    scatters = [
        (name, *shape, value)
        for name, (some, lines) in found.items()
        for shape, value in zip(some, scatter(lines).tolist(), strict=True)
    ]
    study.write_csv(out / "scatter.csv", ("coupling", "layers", "width", "scatter"), scatters)
    bias = depth_bias(shapes, independent, limit)
    study.write_csv(out / "bias.csv", ("layers", "bias"), bias)
    return bias


def write_needed(out: Path, predictions: list[Prediction], limit: float, of_width: float) -> None:
    """Rows (coupling, eta, margin, L, M needed, M that the theorem asks for)."""
    rows = []
    for one, _, _ in predictions:
        excess = one.epsilon - limit
        found = (one.coupling, one.eta, excess / limit, one.layers, one.width)
        rows.append((*found, of_width / (excess**2 * one.eta)))
    header = ("coupling", "eta", "margin", "layers", "needed", "asked")
    study.write_csv(out / "needed.csv", header, rows)
