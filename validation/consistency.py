"""Finite networks stay close to the limit in conditional optimal transport while they train.

Theorem (Barboni, Peyre, Vialard 2024, stability and consistency of the flow). Flows from two starts
satisfy COT(rho_s, rho'_s) <= e^{Cs} COT(rho_0, rho'_0); in particular networks of growing depth and
width, with i.i.d. parameters of the initial law, converge to the limit on bounded times.

Here. sin(pi x) on 16 points, d = 2, standard Gaussian parameters. The distance of M samples to
their law is mostly sampling bias, of order M^{-1/5} in R^5, before any training. So the initial
parameters of every network are also moved by the limit's own field: they ride in the limit as
particles without mass and end as i.i.d. samples of its law at s. Three distances along s:
 (a) COT(network, limit), exact; (b) COT(samples of the limit, limit): the bias alone;
 (c) the same-index distance (common random numbers) between network and samples, an upper bound of
     COT between these two, beside its exact value;
and the growth of (a) beside e^{int Lambda ds}, Lambda the fastest linear expansion, minus the least
eigenvalue of the energy's Hessian, along the limit, and beside e^{Cs} with C its maximum.

Prediction: |(a) - (b)| <= (c) = sqrt(a^2/L^2 + b^2/(LM)); growth below both exponentials.
Takes 3 minutes on one core, --quick 10 seconds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from common import sine
from reporting import Claim, parser, table, verdict, write_csv
from scipy.sparse.linalg import LinearOperator, eigsh

import mfpde
from mfpde import laws
from mfpde.runs.progress import track
from mfpde.theory import fit_finite_size

LAW = laws.Gaussian(1.0, dim=5)


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    layers: tuple[int, ...] = (4, 8, 16, 32)
    widths: tuple[int, ...] = (8, 32, 128)
    seeds: int = 4
    particles: int = 1024
    times: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 6.0, 10.0, 15.0, 20.0)
    step: float = 0.25

    @property
    def s_end(self) -> float:
        return self.times[-1]

    @classmethod
    def quick(cls) -> Settings:
        return cls(
            layers=(4, 8),
            widths=(4, 16, 64),
            seeds=3,
            particles=256,
            times=(0.0, 1.0, 2.0, 4.0),
        )


def networks(problem: mfpde.Problem, layers: int, width: int, settings: Settings) -> np.ndarray:
    """Parameters along s, (seeds, times, L, M, p)."""
    run = mfpde.resnet.train(
        problem,
        LAW,
        layers=layers,
        width=width,
        seeds=settings.seeds,
        s_end=settings.s_end,
        step=settings.step,
        save=settings.times,
    )
    return run.saved


def limit_with_samples(
    problem: mfpde.Problem, starts: np.ndarray, settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """The limit's particles (times, L, n, p), and ``starts`` (L, m, p) moved by its field alike.

    rk4 in depth with a node at every layer; the samples carry no mass, so the limit does not see
    them. Gradient descent has the networks' own step: only depth and width differ.
    """
    depth = mfpde.Depth(len(starts) // 2, "rk4")
    own = mfpde.ParticleMeasure.from_law(
        LAW, depth, count=settings.particles, coupling="independent", seed=1
    )
    riders = np.concatenate([starts, starts[-1:]])  # the node at t = 1 has no layer
    theta = np.concatenate([own.theta, riders], axis=1)
    weights = np.concatenate([own.weights, np.zeros(riders.shape[:2])], axis=1)
    run = mfpde.solve(
        problem,
        mfpde.ParticleMeasure(theta, depth, weights),
        s_end=settings.s_end,
        method="gd",
        step=settings.step,
        save=list(settings.times[1:]),
    )
    moved = np.stack([run.at(s).theta[: len(starts)] for s in settings.times])
    return moved[:, :, : own.count], moved[:, :, own.count :]


def distances(network: np.ndarray, samples: np.ndarray, limit: np.ndarray) -> list[float]:
    """(a), (b), exact and same-index (c) of parameters (L, M, p) and the limit's (L, n, p)."""
    depth = mfpde.Depth(len(network), "euler")
    one, other, rho = (mfpde.ParticleMeasure(t, depth) for t in (network, samples, limit))
    return [
        mfpde.cot_distance(one, rho),
        mfpde.cot_distance(other, rho),
        mfpde.cot_distance(one, other),
        mfpde.cot_distance(one, other, method="same_index"),
    ]


def study(problem: mfpde.Problem, settings: Settings) -> list[tuple]:
    """Rows (L, M, seed, s, (a), (b), exact (c), same-index (c))."""
    rows = []
    for layers in track(settings.layers, "depths"):
        runs = [networks(problem, layers, width, settings) for width in settings.widths]
        starts = np.concatenate([np.concatenate(run[:, 0], axis=1) for run in runs], axis=1)
        limit, samples = limit_with_samples(problem, starts, settings)
        first = 0
        for width, run in zip(settings.widths, runs, strict=True):
            for seed in range(settings.seeds):
                own = samples[:, :, first : first + width]
                first += width
                rows += [
                    (layers, width, seed, s, *distances(run[seed, i], own[i], limit[i]))
                    for i, s in enumerate(settings.times)
                ]
    return rows


def expansion(problem: mfpde.Problem, settings: Settings) -> np.ndarray:
    """Lambda(s): minus the least eigenvalue of the Hessian of E in the COT metric, (times,)."""
    rho0 = mfpde.ParticleMeasure.from_law(
        LAW, mfpde.Depth(16, "euler"), count=128, coupling="independent"
    )
    run = mfpde.solve(
        problem,
        rho0,
        s_end=settings.s_end,
        method="gd",
        step=settings.step,
        save=list(settings.times[1:]),
    )
    return np.array([-_least_eigenvalue(problem, run.at(s)) for s in settings.times])


def _least_eigenvalue(problem: mfpde.Problem, rho: mfpde.ParticleMeasure, h: float = 1e-4) -> float:
    """By Lanczos with differences of the gradient; equal masses make the Hessian symmetric."""

    def product(v: np.ndarray) -> np.ndarray:
        scale = h * np.sqrt(v.size) / np.linalg.norm(v)
        change = scale * v.reshape(rho.theta.shape)
        up, down = (
            mfpde.gradient(problem, mfpde.ParticleMeasure(rho.theta + step, rho.depth))
            for step in (change, -change)
        )
        return (up - down).ravel() / (2 * scale)

    size = rho.theta.size
    start = np.random.default_rng(np.random.SeedSequence(0)).standard_normal(size)
    hessian = LinearOperator((size, size), matvec=product, dtype=float)
    return float(eigsh(hessian, k=1, which="SA", tol=1e-2, v0=start, return_eigenvectors=False)[0])


def main(argv: list[str] | None = None) -> int:
    chosen = parser(__doc__, "consistency").parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()
    problem = sine(16)
    rows = study(problem, settings)
    rate = expansion(problem, settings)
    times = np.array(settings.times)
    integral = np.concatenate([[0.0], np.cumsum(np.diff(times) * 0.5 * (rate[1:] + rate[:-1]))])
    header = ("layers", "width", "seed", "s", "network", "samples", "exact", "same_index")
    write_csv(chosen.out / "distances.csv", header, rows)
    growth = zip(times.tolist(), rate.tolist(), integral.tolist(), strict=True)
    write_csv(chosen.out / "expansion.csv", ("s", "rate", "integral"), growth)

    values = np.array(rows)
    shapes = [(layers, width) for layers in settings.layers for width in settings.widths]
    cells = {one: values[np.all(values[:, :2] == one, axis=1)] for one in shapes}
    means = {one: _by_time(cell, times) for one, cell in cells.items()}
    table(
        ("L", "M", "(a) s = 0", f"(a) s = {times[-1]:g}", "(b)", "(c) exact", "(c) same index"),
        [(*one, float(m[0, 0]), *(float(v) for v in m[-1])) for one, m in means.items()],
    )

    a, b, exact, same = values[:, 4:].T
    late = np.array([cell[cell[:, 3] == times[-1], 7] for cell in cells.values()])
    fit = fit_finite_size(*np.array(shapes, float).T, late, form="quadrature")
    ratios = np.array([m[:, 0] / m[0, 0] for m in means.values()])
    trained = same > 0
    return verdict(
        [
            Claim(
                "The same-index distance bounds COT between network and samples of the limit.",
                f"largest excess {np.max(exact - same):.1e}; same index over exact up to "
                f"{np.max(same[trained] / exact[trained]):.6f}.",
                bool(np.all(exact <= same + 1e-9)),
            ),
            Claim(
                "A network is as far from the limit as samples of it, up to that distance.",
                f"|(a) - (b)| is at most {np.max(np.abs(a - b)[trained] / same[trained]):.3f} "
                "of (c).",
                bool(np.all(np.abs(a - b) <= same + 1e-9)),
            ),
            Claim(
                "Beyond sampling, networks converge like 1/L and 1/sqrt(LM).",
                f"(c) at s = {times[-1]:g}: a = {fit.a:.3f} [{fit.a_interval[0]:.3f}, "
                f"{fit.a_interval[1]:.3f}], b = {fit.b:.3f} [{fit.b_interval[0]:.3f}, "
                f"{fit.b_interval[1]:.3f}], slope {fit.exponent:.3f} in LM where width rules.",
                abs(fit.exponent + 0.5) <= 0.1,
            ),
            Claim(
                "The distance to the limit grows by less than e^{int Lambda} and e^{Cs}.",
                f"by {ratios[:, -1].min():.3f} to {ratios[:, -1].max():.3f} up to s = "
                f"{times[-1]:g}, at most; int Lambda = {integral[-1]:.2f}, C = {rate.max():.2f}.",
                bool(np.all(np.log(ratios) <= integral + 1e-12))
                and bool(np.all(np.log(ratios) <= rate.max() * times + 1e-12)),
            ),
        ]
    )


def _by_time(cell: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Means over seeds of the four distances, (times, 4)."""
    return np.array([cell[cell[:, 3] == s, 4:].mean(axis=0) for s in times])


if __name__ == "__main__":
    sys.exit(main())
