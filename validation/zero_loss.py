"""Zero loss on real data, and finite-width ResNets converging to the limit.

Theorems. The conditional-OT gradient flow of a mean-field ResNet reaches zero loss from a suitable
start (Ding, Chen, Li, Wright 2021, Thm 2; Barboni, Peyre, Vialard 2024, Thm 4), and a network of L
layers and width M with i.i.d. parameters stays within O(1/L + 1/sqrt(LM)) of it (Chizat 2025).

Here. 128 handwritten digits, 10 classes, squared loss; 14 principal components beside 10
coordinates for the readout (d = 24); u = 0 and (w, b) Gaussian at the start.
 (a) the limit: quadrature particles, rk4 in depth, implicit in training time, to E <= 1e-10;
 (b) ResNets of L = 4..64 layers and width M = 4..256, 5 seeds, trained by gradient descent in an
     independent code path (torch autograd where it is installed) to the same s, against the limit
     descended with the same step: what remains is the error in depth and width alone;
 (c) the error in depth alone: the same particles at every depth, explicit Euler of L layers
     against rk4.

Prediction: E falls without a plateau; error = a/L + b/sqrt(LM); slopes -1 in L and -1/2 in LM.
Takes about 5 minutes on 2 cores, --quick under one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import rms, silent_law, supervised
from reporting import Claim, parser, say, table, verdict, write_csv

import mfpde
from mfpde import data
from mfpde.runs.progress import track
from mfpde.theory._finite_size import fit_finite_size, slope


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    count: int = 128
    components: int = 14
    particles: int = 256
    depth_steps: int = 4
    goal: float = 1e-10
    layers: tuple[int, ...] = (4, 8, 16, 32, 64)
    widths: tuple[int, ...] = (4, 16, 64, 256)
    seeds: int = 5
    s_compare: float = 80.0
    step: float = 1.0
    reference_particles: int = 4096
    tied_particles: int = 256

    @classmethod
    def quick(cls) -> Settings:
        return cls(
            count=24,
            components=6,
            particles=64,
            depth_steps=2,
            goal=1e-10,
            layers=(4, 8, 16),
            widths=(4, 16, 64),
            seeds=5,
            s_compare=10.0,
            step=0.5,
            reference_particles=1024,
            tied_particles=64,
        )


def limit_measure(
    problem: mfpde.Problem, depth: mfpde.Depth, count: int, seed: int = 0
) -> mfpde.ParticleMeasure:
    """Quadrature particles, fresh at every depth, so that errors average over depth as well."""
    return mfpde.ParticleMeasure.from_law(
        silent_law(problem), depth, count=count, rule="sobol", coupling="independent", seed=seed
    )


def to_zero(problem: mfpde.Problem, settings: Settings, out: Path) -> mfpde.Solution:
    """(a) The limit's flow down to the goal, saved as a run file."""
    depth = mfpde.Depth(settings.depth_steps, "rk4")
    rho0 = limit_measure(problem, depth, settings.particles)
    return mfpde.solve(
        problem,
        rho0,
        s_end=1e8,
        loss_below=settings.goal,
        method="implicit",
        rtol=0.03,
        save=[settings.s_compare],
        checkpoint=out / "limit.h5",
        max_steps=2000,
        raise_on_failure=False,  # the verdict says what was reached
    )


def descend(
    problem: mfpde.Problem, rho: mfpde.ParticleMeasure, settings: Settings
) -> tuple[np.ndarray, mfpde.Solution]:
    """Outputs after gradient descent to s_compare with the networks' own step, and the run."""
    run = mfpde.solve(problem, rho, s_end=settings.s_compare, method="gd", step=settings.step)
    return mfpde.predict(problem, run.final), run


def networks(
    problem: mfpde.Problem, reference: np.ndarray, settings: Settings
) -> tuple[list[tuple], list[tuple]]:
    """(b) Errors and losses of every network: rows (L, M, seed, error, loss) and mean curves."""
    rows, curves = [], []
    shapes = [(layers, width) for layers in settings.layers for width in settings.widths]
    for layers, width in track(shapes, "networks"):
        run = mfpde.resnet.train(
            problem,
            silent_law(problem),
            layers=layers,
            width=width,
            seeds=range(1, settings.seeds + 1),
            s_end=settings.s_compare,
            step=settings.step,
        )
        errors = rms(run.outputs - reference)
        rows += [
            (layers, width, seed, float(e), float(loss))
            for seed, e, loss in zip(run.seeds, errors, run.loss[:, -1], strict=True)
        ]
        mean = run.loss.mean(axis=0)
        curves += [(layers, width, float(s), float(e)) for s, e in zip(run.s, mean, strict=True)]
    return rows, curves


def depth_errors(problem: mfpde.Problem, settings: Settings) -> list[tuple[int, float]]:
    """(c) Errors of L Euler layers against rk4 when both start from one law at every depth."""

    def outputs(depth: mfpde.Depth) -> np.ndarray:
        rho0 = mfpde.ParticleMeasure.from_law(
            silent_law(problem), depth, count=settings.tied_particles, coupling="tied"
        )
        return descend(problem, rho0, settings)[0]

    exact = outputs(mfpde.Depth(8, "rk4"))
    return [
        (layers, float(rms(outputs(mfpde.Depth(layers, "euler")) - exact)))
        for layers in track(settings.layers, "depth")
    ]


def main(argv: list[str] | None = None) -> int:
    options = parser(__doc__, "zero_loss")
    options.add_argument("--data", default="digits", help="bundled set, .npz or .csv file")
    options.add_argument("--inputs", nargs="+", help="input columns of a .csv")
    options.add_argument("--targets", nargs="+", help="target columns of a .csv")
    chosen = options.parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()
    chosen.out.mkdir(parents=True, exist_ok=True)
    x, y = data.load(chosen.data, inputs=chosen.inputs, targets=chosen.targets)
    x, y = data.subset(x, y, min(settings.count, len(x)))
    problem = supervised(x, y, settings.components)
    say(f"{problem}\n")

    limit = to_zero(problem, settings, chosen.out)
    decades = np.log10(limit.loss[0] / limit.loss[-1])
    say(f"(a) limit: {limit}, {decades:.1f} decades")
    say(f"    {limit.stats}\n")

    deep = mfpde.Depth(settings.depth_steps, "rk4")
    (reference, descent), (other, _) = (
        descend(problem, limit_measure(problem, deep, settings.reference_particles, seed), settings)
        for seed in (0, 1)
    )
    uncertainty = 0.5 * float(rms(reference - other))  # of their mean, which is what is used
    flow_gap = float(rms(mfpde.predict(problem, limit.at(settings.s_compare)) - reference))
    reference = 0.5 * (reference + other)
    say(f"(b) reference at s = {settings.s_compare:g}: uncertain by {uncertainty:.2e};")
    say(f"    the implicit run of (a) differs by {flow_gap:.2e} (its own step and particles)\n")

    rows, curves = networks(problem, reference, settings)
    by_depth = depth_errors(problem, settings)
    write_csv(chosen.out / "networks.csv", ("layers", "width", "seed", "error", "loss"), rows)
    write_csv(chosen.out / "curves.csv", ("layers", "width", "s", "loss"), curves)
    series = zip(descent.s.tolist(), descent.loss.tolist(), strict=True)
    write_csv(chosen.out / "reference.csv", ("s", "loss"), series)
    write_csv(chosen.out / "depth.csv", ("layers", "error"), by_depth)

    shapes = sorted({row[:2] for row in rows})
    errors = np.array([[row[3] for row in rows if row[:2] == shape] for shape in shapes])
    fit = fit_finite_size(*np.array(shapes, float).T, errors)
    rate = slope(*np.array(by_depth).T)
    losses = [float(np.mean([row[4] for row in rows if row[:2] == shape])) for shape in shapes]
    means = np.sqrt(np.mean(errors**2, axis=1))
    table(
        ("L", "M", "rms error", "a/L + b/sqrt(LM)", "mean loss"),
        [
            (*shape, float(e), float(fit(*shape)), loss)
            for shape, e, loss in zip(shapes, means, losses, strict=True)
        ],
    )
    print()
    table(("L", "error in depth alone"), by_depth)

    smallest = float(means.min())
    return verdict(
        [
            Claim(
                f"The limit reaches zero loss (E <= {settings.goal:g}).",
                f"E fell from {limit.loss[0]:.3g} to {limit.loss[-1]:.2e} at s = {limit.s[-1]:.3g} "
                f"in {limit.control.steps} steps; no step raised it.",
                limit.loss[-1] <= settings.goal and bool(np.all(np.diff(limit.loss) <= 0)),
            ),
            Claim(
                "The reference is sharper than every network that is compared with it.",
                f"uncertainty {uncertainty:.2e}, smallest network error {smallest:.2e}.",
                uncertainty < smallest,
            ),
            Claim(
                "The error in width has slope -1/2 in LM.",
                f"{fit.exponent:.3f}, 95 % interval [{fit.exponent_interval[0]:.3f}, "
                f"{fit.exponent_interval[1]:.3f}]; error = a/L + b/sqrt(LM) with "
                f"a = {fit.a:.3g} [{fit.a_interval[0]:.3g}, {fit.a_interval[1]:.3g}], "
                f"b = {fit.b:.3g} [{fit.b_interval[0]:.3g}, {fit.b_interval[1]:.3g}].",
                abs(fit.exponent + 0.5) <= 0.1,
            ),
            Claim(
                "The error in depth has slope -1 in L.",
                f"{rate:.3f} with the same particles at every depth.",
                abs(rate + 1.0) <= 0.15,
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
