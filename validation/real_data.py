"""Finite networks against the limit on real data, trained on minibatches.

Theorem (Barboni, Peyre, Vialard 2024; rates of Chizat 2025). ResNets of L layers and width M with
i.i.d. parameters follow the limit within O(1/L + 1/sqrt(LM)), in their outputs and in conditional
optimal transport. Minibatches change both flows alike: the limit of the networks that see a
sequence of batches is the limit that sees the same ones.

Here. Up to 2,000 images in 10 classes (scikit-learn's digits, or --data mnist.npz), 14 principal
components, d = 24; u = 0 and (w, b) Gaussian; batches of 100, reshuffled each epoch.
 (a) networks of L = 4..16, M = 4..256 by stochastic gradient descent, 3 seeds, each against the
     limit on its own batches (Sobol particles, rk4 in depth), in outputs over all data; beside it
     the same-index COT distance to their initial parameters moved by the limit's field (riders
     without mass, which bound COT from above, as in consistency.py);
 (b) the limit on minibatches against the limit on all data, over the step;
 (c) accuracy on images that were never seen.

Prediction: slope -1/2 in LM for both distances; the batches' own noise falls with the step, faster
than h^{1/2}, since reshuffled batches cancel over an epoch. Takes a minute on one core, --quick 10
seconds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from common import rms, silent_law, supervised
from reporting import Claim, parser, say, table, verdict, write_csv

import mfpde
from mfpde import data
from mfpde.resnet import SGD, randomness
from mfpde.runs.progress import track
from mfpde.theory import fit_finite_size
from mfpde.theory._finite_size import slope


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    count: int = 2000
    unseen: int = 400
    components: int = 14
    batch: int = 100
    layers: tuple[int, ...] = (4, 8, 16)
    widths: tuple[int, ...] = (4, 16, 64, 256)
    seeds: int = 3
    particles: int = 1024
    s_end: float = 40.0
    step: float = 0.5
    noise_steps: tuple[float, ...] = (2.0, 1.0, 0.5, 0.25)
    noise_particles: int = 256

    @classmethod
    def quick(cls) -> Settings:
        return cls(
            count=200,
            unseen=100,
            components=6,
            batch=50,
            layers=(4, 8),
            widths=(4, 16, 64),
            particles=512,
            s_end=10.0,
            noise_steps=(1.0, 0.5, 0.25),
            noise_particles=64,
        )


@dataclass(frozen=True)
class Images:
    """The problem on the first images, inputs (n, d_in) and classes (n,) of those held out."""

    problem: mfpde.Problem
    unseen: np.ndarray
    classes: np.ndarray

    @classmethod
    def load(cls, source: str, settings: Settings) -> Images:
        x, y = data.load(source)
        if not (y.ndim == 1 and y.dtype.kind in "iu"):
            raise SystemExit(f"--data must hold integer class labels; {source} does not")
        unseen = min(settings.unseen, len(x) // 5)
        x, y = data.subset(x, y, min(settings.count + unseen, len(x)))
        whole = supervised(x, y, settings.components)
        seen = len(x) - unseen
        problem = _restricted(whole, slice(None, seen))
        return cls(problem, whole.x[seen:], whole.y[seen:].argmax(axis=1))

    def accuracy(self, rho: mfpde.ParticleMeasure) -> float:
        """Share of the unseen images whose largest output is that of their class."""
        outputs = mfpde.predict(self.problem, rho, self.unseen)
        return float(np.mean(outputs.argmax(axis=1) == self.classes))


def _restricted(problem: mfpde.Problem, rows: slice | np.ndarray) -> mfpde.Problem:
    """The same problem on some of its data."""
    how = {"block": problem.block, "embed": problem.embed, "readout": problem.readout}
    return mfpde.Problem(problem.x[rows], problem.y[rows], **how)


def descend(
    problem: mfpde.Problem,
    rho: mfpde.ParticleMeasure,
    settings: Settings,
    step: float,
    seed: int | None,
) -> mfpde.ParticleMeasure:
    """Gradient descent of a measure to s_end, on the batches of the network ``seed`` or on all."""
    for n in range(round(settings.s_end / step)):
        part = problem
        if seed is not None:
            rows = randomness.minibatch(seed, n, settings.batch, problem.size)
            part = _restricted(problem, rows)
        change = step * mfpde.gradient(part, rho)
        rho = mfpde.ParticleMeasure(rho.theta - change, rho.depth, rho.weights)
    return rho


def limit_start(
    problem: mfpde.Problem, steps: int, count: int, seed: int = 0
) -> mfpde.ParticleMeasure:
    return mfpde.ParticleMeasure.from_law(
        silent_law(problem),
        mfpde.Depth(steps, "rk4"),
        count=count,
        coupling="independent",
        seed=seed,
    )


def with_riders(rho: mfpde.ParticleMeasure, starts: np.ndarray) -> mfpde.ParticleMeasure:
    """``rho`` and particles (L, m, p) without mass at its first L nodes."""
    riders = np.concatenate([starts, starts[-1:]])  # the node at t = 1 has no layer
    theta = np.concatenate([rho.theta, riders], axis=1)
    weights = np.concatenate([rho.weights, np.zeros(riders.shape[:2])], axis=1)
    return mfpde.ParticleMeasure(theta, rho.depth, weights)


def networks(
    problem: mfpde.Problem, layers: int, width: int, settings: Settings
) -> mfpde.resnet.Training:
    return mfpde.resnet.train(
        problem,
        silent_law(problem),
        layers=layers,
        width=width,
        seeds=range(1, settings.seeds + 1),
        s_end=settings.s_end,
        step=settings.step,
        optimizer=SGD(batch=settings.batch),
        record=10**9,
    )


def finite_size(
    images: Images, settings: Settings
) -> tuple[list[tuple], list[tuple], mfpde.ParticleMeasure]:
    """(a), (c): rows (L, M, seed, output error, COT bound, accuracy); rows of the limit; itself."""
    problem, rows, limits = images.problem, [], []
    for layers in track(settings.layers, "depths"):
        runs = [networks(problem, layers, width, settings) for width in settings.widths]
        for index in range(settings.seeds):
            seed = runs[0].seeds[index]
            starts = np.concatenate([run.saved[index, 0] for run in runs], axis=1)
            own = limit_start(problem, layers // 2, settings.particles)
            end = descend(problem, with_riders(own, starts), settings, settings.step, seed)
            exact = mfpde.predict(problem, end)
            limits.append((layers, seed, float(mfpde.loss(problem, end)), images.accuracy(end)))
            first = settings.particles
            for width, run in zip(settings.widths, runs, strict=True):
                moved = end.theta[:layers, first : first + width]
                first += width
                gap = float(np.sqrt(np.square(run.theta[index] - moved).sum(axis=-1).mean()))
                error = float(rms(run.outputs[index] - exact))
                accuracy = images.accuracy(run.measure(index))
                rows.append((layers, width, seed, error, gap, accuracy))
    return rows, limits, end


def reference_error(images: Images, end: mfpde.ParticleMeasure, settings: Settings) -> float:
    """Distance of the last limit to one from other Sobol points, on the same batches."""
    start = limit_start(images.problem, settings.layers[-1] // 2, settings.particles, seed=1)
    other = descend(images.problem, start, settings, settings.step, settings.seeds)
    outputs = (mfpde.predict(images.problem, rho) for rho in (end, other))
    return float(rms(np.subtract(*outputs)))


def batch_noise(problem: mfpde.Problem, settings: Settings) -> list[tuple[float, float]]:
    """(b) Rows (step, RMS over seeds of the distance between batches and all data)."""
    start = limit_start(problem, 2, settings.noise_particles)
    rows = []
    for step in track(settings.noise_steps, "steps"):
        exact, *noisy = (
            mfpde.predict(problem, descend(problem, start, settings, step, seed))
            for seed in (None, *range(1, settings.seeds + 1))
        )
        rows.append((step, float(rms(np.concatenate(noisy) - np.tile(exact, (len(noisy), 1))))))
    return rows


def main(argv: list[str] | None = None) -> int:
    options = parser(__doc__, "real_data")
    options.add_argument("--data", default="digits", help="bundled set or .npz with class labels")
    chosen = options.parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()
    images = Images.load(chosen.data, settings)
    say(f"{images.problem}, {len(images.classes)} images held out")

    rows, limits, end = finite_size(images, settings)
    uncertainty = reference_error(images, end, settings)
    noise = batch_noise(images.problem, settings)
    header = ("layers", "width", "seed", "error", "distance", "accuracy")
    write_csv(chosen.out / "networks.csv", header, rows)
    write_csv(chosen.out / "limit.csv", ("layers", "seed", "loss", "accuracy"), limits)
    write_csv(chosen.out / "noise.csv", ("step", "error"), noise)

    shapes = [(layers, width) for layers in settings.layers for width in settings.widths]
    cells = np.array([[row[3:] for row in rows if row[:2] == shape] for shape in shapes])
    sizes = np.array(shapes, float).T
    of_outputs, of_parameters = (
        fit_finite_size(*sizes, cells[:, :, column], form="quadrature") for column in (0, 1)
    )
    means = np.sqrt(np.mean(cells**2, axis=1))
    table(
        ("L", "M", "output error", "fit", "COT bound", "fit", "accuracy"),
        [
            (*shape, m[0], float(of_outputs(*shape)), m[1], float(of_parameters(*shape)), m[2])
            for shape, m in zip(shapes, means.tolist(), strict=True)
        ],
    )
    accuracy = float(np.mean([row[3] for row in limits]))
    widest = float(
        np.mean(cells[[i for i, s in enumerate(shapes) if s[1] == sizes[1].max()], :, 2])
    )
    of_noise = slope(*np.array(noise).T)
    say(f"\nlimit: loss {np.mean([row[2] for row in limits]):.4f}, accuracy {accuracy:.3f}")
    return verdict(
        [
            Claim(
                "The reference is sharper than every network that is compared with it.",
                f"two Sobol limits differ by {uncertainty:.2e}, smallest error "
                f"{means[:, 0].min():.2e}.",
                uncertainty < means[:, 0].min(),
            ),
            *(
                Claim(
                    f"{name} fall like 1/sqrt(LM) where width rules.",
                    f"slope {fit.exponent:.3f} [{fit.exponent_interval[0]:.3f}, "
                    f"{fit.exponent_interval[1]:.3f}]; sqrt(a^2/L^2 + b^2/(LM)) with "
                    f"a = {fit.a:.3g}, b = {fit.b:.3g}.",
                    abs(fit.exponent + 0.5) <= 0.1,
                )
                for name, fit in (
                    ("Output errors under minibatches", of_outputs),
                    ("COT distances to samples of the limit", of_parameters),
                )
            ),
            Claim(
                "The noise of minibatches falls with the step, at least like its root.",
                f"h^{of_noise:.3f}: "
                + ", ".join(f"{error:.2e} at h = {step:g}" for step, error in noise)
                + ".",
                of_noise >= 0.4,
            ),
            Claim(
                "On unseen images the widest networks do as well as the limit.",
                f"accuracy {widest:.3f}, limit {accuracy:.3f}, the smallest network "
                f"{cells[0, :, 2].mean():.3f} ({len(images.classes)} images).",
                abs(widest - accuracy) <= 0.03,
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
