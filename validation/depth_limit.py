"""Residual networks with shared initial weights stay discretisations of a neural ODE.

Theorem (Marion, Wu, Sander, Biau 2024, Thm 4 and 6). Layers h + V_k GELU(W_k h)/L that start from
weights shared over depth stay close to their neighbours: max_k |Z_k - Z_{k+1}| = O(1/L) for
Z = V, W, throughout training; trained weights converge to functions of depth as L grows; and with
enough width the loss goes to zero, the limit being an ODE that interpolates the data.

Here, with the published settings: d = 16, V = 0, one Gaussian W repeated over the layers, X and Y
Gaussian, full-batch gradient descent on the mean square over all entries.
 (a) M = 32, n = 100, 50 steps of rate .01 L, L = 2..1024: the largest jump in depth and time;
 (b) the same networks' distance to the deep reference, L = 16384, and to the limit in depth by rk4;
 (c) M = 64, n = 50, L = 64: 10,000 steps of rate .005 L (at .01 L the step leaves the stability
     interval, 2 over the largest eigenvalue, after some 6,000), and the implicit scheme on the same
     flow until the loss is below 1e-7 (descent itself took 89,600 steps to get there), for
     L = 32..256: jumps after training to the end.
With u = sqrt(M) V, w = sqrt(M) W, A = Id/sqrt(M), B = sqrt(M) Id this is the plain flow from M
particles tied over depth, by gradient descent of step 2 rate/(d L).

Prediction: all three distances fall like 1/L; the loss falls below 1e-7.
Takes 6 minutes on one core, --quick 10 seconds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import fastest_backend
from reporting import Claim, parser, say, table, verdict, write_csv

import mfpde
from mfpde import laws
from mfpde.runs.progress import track
from mfpde.theory._finite_size import slope

D = 16
RATE, LONG_RATE = 0.01, 0.005  # times L


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    count: int = 100
    width: int = 32
    steps: int = 50
    layers: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    reference: int = 16384
    limit_steps: int = 512
    long_count: int = 50
    long_width: int = 64
    long_layers: int = 64
    long_steps: int = 10_000
    end_layers: tuple[int, ...] = (32, 64, 128, 256)
    goal: float = 1e-7

    @classmethod
    def quick(cls) -> Settings:
        return cls(
            count=20,
            steps=20,
            layers=(2, 4, 8, 16, 32),
            reference=512,
            limit_steps=16,
            long_count=8,
            long_layers=16,
            long_steps=1000,
            end_layers=(16, 32, 64),
        )


def problem_of(count: int, width: int, seed: int = 0) -> mfpde.Problem:
    """X, Y ~ N(0, 1), in the coordinates in which the published training is the plain flow."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    x, y = rng.standard_normal((2, count, D))
    root = np.sqrt(width) * np.eye(D)
    block = mfpde.SHL(dim=D, activation="gelu", bias=False)
    return mfpde.Problem(x, y, block=block, embed=root / width, readout=root)


def law_of(width: int) -> laws.Law:
    """V = 0 and W standard Gaussian."""
    return laws.Product(laws.Dirac(0.0, dim=D), laws.Gaussian(np.sqrt(width), dim=D))


def weights(theta: np.ndarray) -> dict[str, np.ndarray]:
    """V and W of parameters (..., L, M, 2d), in the scale of the paper."""
    scaled = theta / np.sqrt(theta.shape[-2])
    return {"V": scaled[..., :D], "W": scaled[..., D:]}


def jumps(theta: np.ndarray) -> list[float]:
    """max_k |Z_{k+1} - Z_k| in Frobenius norm for Z = V, W; theta (..., L, M, 2d)."""
    changes = [np.diff(z, axis=-3) for z in weights(theta).values()]
    return [float(np.sqrt(np.square(change).sum(axis=(-2, -1))).max()) for change in changes]


def distances(theta: np.ndarray, reference: np.ndarray) -> list[float]:
    """Root mean square over the layers of |Z_k - Z_ref(k/L)| for Z = V, W."""
    stride = len(reference) // len(theta)
    pairs = zip(weights(theta).values(), weights(reference[::stride]).values(), strict=True)
    return [float(np.sqrt(np.square(z - r[: len(z)]).sum(axis=(1, 2)).mean())) for z, r in pairs]


def largest_jumps(state: mfpde.resnet.Snapshot) -> np.ndarray:
    return np.array([jumps(one) for one in state.theta])


def short(problem: mfpde.Problem, layers: int, settings: Settings) -> mfpde.resnet.Training:
    """(a) A network after the published number of steps, with its jumps on the way."""
    h = 2 * RATE / D
    return mfpde.resnet.train(
        problem,
        law_of(settings.width),
        layers=layers,
        width=settings.width,
        seeds=[0],
        coupling="tied",
        s_end=settings.steps * h,
        step=h,
        observables={"jumps": largest_jumps},
        backend=fastest_backend(),
    )


def start(depth: mfpde.Depth, width: int) -> mfpde.ParticleMeasure:
    how = {"count": width, "rule": "iid", "coupling": "tied", "seed": 0}
    return mfpde.ParticleMeasure.from_law(law_of(width), depth, **how)


def deep_limit(problem: mfpde.Problem, settings: Settings) -> np.ndarray:
    """(b) The limit in depth after the same gradient steps, at the nodes of rk4."""
    h = 2 * RATE / D
    rho0 = start(mfpde.Depth(settings.limit_steps, "rk4"), settings.width)
    how = {"s_end": settings.steps * h, "method": "gd", "step": h}
    return mfpde.solve(problem, rho0, **how).final.theta


def descent(problem: mfpde.Problem, settings: Settings) -> mfpde.resnet.Training:
    """(c) The published number of steps on the small data set."""
    h = 2 * LONG_RATE / D
    return mfpde.resnet.train(
        problem,
        law_of(settings.long_width),
        layers=settings.long_layers,
        width=settings.long_width,
        seeds=[0],
        coupling="tied",
        s_end=settings.long_steps * h,
        step=h,
        record=max(settings.long_steps // 500, 1),
        backend=fastest_backend(),
    )


def to_the_end(problem: mfpde.Problem, layers: int, settings: Settings) -> mfpde.Solution:
    """(c) The flow until the mean square is below the goal."""
    return mfpde.solve(
        problem,
        start(mfpde.Depth(layers, "euler"), settings.long_width),
        s_end=1e6,
        loss_below=settings.goal * D / 2,
        method="implicit",
        rtol=1e-3,
        save=[settings.long_steps * 2 * LONG_RATE / D],
        max_steps=500,
        raise_on_failure=False,  # the verdict says what was reached
    )


HEADER = ("layers", "jump_V", "jump_W", "deep_V", "deep_W", "limit_V", "limit_W")


def shallow_to_deep(out: Path, settings: Settings) -> list[Claim]:
    """(a) and (b)."""
    problem = problem_of(settings.count, settings.width)
    exact = deep_limit(problem, settings)
    deep = short(problem, settings.reference, settings).theta[0]
    rows, series = [], []
    for layers in track(settings.layers, "depths"):
        run = short(problem, layers, settings)
        theta, jump = run.theta[0], run.observed["jumps"][0]
        series += [(layers, n, *map(float, jump[n])) for n in range(len(jump))]
        far = [*distances(theta, deep), *distances(theta, exact)]
        rows.append((layers, *map(float, jump.max(axis=0)), *far))
    write_csv(out / "jumps.csv", ("layers", "step", "V", "W"), series)
    write_csv(out / "depths.csv", HEADER, rows)
    table(HEADER, rows)

    columns = np.array(rows).T
    layers, last = columns[0], dict(zip(HEADER, columns[:, -1], strict=True))
    rate = {
        name: slope(layers[layers >= 8], column[layers >= 8])
        for name, column in zip(HEADER, columns, strict=True)
    }
    of_deep = distances(exact[:-1], deep)[0]
    expected = last["limit_V"] * layers[-1] / settings.reference
    return [
        Claim(
            "The largest jump between neighbouring layers falls like 1/L.",
            f"slopes {rate['jump_V']:.3f} for V and {rate['jump_W']:.3f} for W up to "
            f"L = {settings.layers[-1]}; there L times the jump of V is "
            f"{layers[-1] * last['jump_V']:.4f}.",
            max(abs(rate["jump_V"] + 1), abs(rate["jump_W"] + 1)) <= 0.05,
        ),
        Claim(
            "Trained weights converge to those of the limit like 1/L.",
            f"slopes {rate['limit_V']:.3f} and {rate['limit_W']:.3f} against the limit, "
            f"{rate['deep_V']:.3f} and {rate['deep_W']:.3f} against L = {settings.reference}.",
            max(abs(rate["limit_V"] + 1), abs(rate["limit_W"] + 1)) <= 0.05,
        ),
        Claim(
            "The deep reference is as far from the limit as 1/L says.",
            f"{of_deep:.2e}; extrapolated {expected:.2e}.",
            abs(of_deep / expected - 1) <= 0.2,
        ),
    ]


def long_training(out: Path, settings: Settings) -> list[Claim]:
    """(c)."""
    problem = problem_of(settings.long_count, settings.long_width)
    run = descent(problem, settings)
    ends = {n: to_the_end(problem, n, settings) for n in track(settings.end_layers, "ends")}
    same = ends[settings.long_layers]
    iteration = 2 * LONG_RATE / D
    for name, s, loss in (("descent", run.s, run.loss[0]), ("implicit", same.s, same.loss)):
        rows = zip((s / iteration).tolist(), (2 / D * loss).tolist(), strict=True)
        write_csv(out / f"{name}.csv", ("iteration", "loss"), rows)
    last = [(n, *jumps(end.final.theta)) for n, end in ends.items()]
    write_csv(out / "ends.csv", ("layers", "V", "W"), last)
    say("")
    table(("layers", "jump of V at the end", "of W"), last)

    flow = float(same.loss[np.abs(same.s - run.s[-1]).argmin()])
    decades = np.log([run.loss[0, 0] / run.loss[0, -1], same.loss[0] / flow])
    of_v, of_w = (slope(*np.array(last)[-2:, [0, i]].T) for i in (1, 2))
    return [
        Claim(
            f"The loss falls below {settings.goal:g}, and descent follows the flow there.",
            f"mean square {2 / D * same.loss[0]:.3f} to {2 / D * same.loss[-1]:.1e} in "
            f"{same.control.steps} implicit steps, the equivalent of {same.s[-1] / iteration:.0f} "
            f"of descent, which has {2 / D * run.loss[0, -1]:.3e} after {settings.long_steps}, the "
            f"flow {2 / D * flow:.3e}.",
            2 / D * same.loss[-1] <= settings.goal and abs(decades[0] / decades[1] - 1) <= 0.03,
        ),
        Claim(
            "Jumps still fall like 1/L when training has gone to the end.",
            f"slopes {of_v:.3f} for V and {of_w:.3f} for W in the last doubling of L.",
            max(abs(of_v + 1), abs(of_w + 1)) <= 0.15,
        ),
    ]


def main(argv: list[str] | None = None) -> int:
    chosen = parser(__doc__, "depth_limit").parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()
    claims = shallow_to_deep(chosen.out, settings)
    return verdict([*claims, *long_training(chosen.out, settings)])


if __name__ == "__main__":
    sys.exit(main())
