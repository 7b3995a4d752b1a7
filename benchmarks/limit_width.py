"""What makes the limit of many coordinates cheap: error of one set of points against its work.

Digits, wine and diabetes (128 data each, u = 0 and (w, b) Gaussian, s = 20, rk4 in depth): the
spread over 8 sets of 256 points, relative to the targets' root mean square, beside their work,
particles × depth nodes × gradients. Averages over sets fall like the root of their number, so that
the work for an error of 1e-3 is that of one set times (error/1e-3)².

 (a) ways of running: i.i.d. points, Sobol points tied over depth and fresh at every node; in few
     steps of time; less what the flow of u alone explains; both, as ``mfpde.limit`` does it.
 (b) other points, judged by the flow of u alone, which costs no run: scrambled Sobol points of 256
     and 1,024, with b first, one net shared by all depths, Latin hypercubes, shifted lattices,
     orthogonal frames.

About three minutes on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import harness
import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

import mfpde
from mfpde import data, laws
from mfpde.limits import lazy, scrambled
from mfpde.limits.progress import Display
from mfpde.limits.run import rms
from mfpde.limits.sizes import Scrambles
from mfpde.limits.study import Study
from mfpde.limits.watch import Watch

COUNT, SETS, S_END, STEPS, RTOL = 256, 8, 20.0, 2, 1e-3
SETTINGS = {"digits": 14, "wine": 13, "diabetes": 10}
Points = Callable[[int, int, np.random.Generator], np.ndarray]


def task(name: str) -> tuple[mfpde.Problem, laws.Law]:
    """Principal components beside zeros that the readout reads, as in the validation scripts."""
    x, y = data.subset(*data.load(name), 128)
    targets = (
        data.one_hot(y) if y.dtype.kind in "iu" and len(set(y)) <= 10 else (y - y.mean()) / y.std()
    )
    inputs = data.principal_components(x, SETTINGS[name])
    d = inputs.shape[1] + (targets.shape[1] if targets.ndim > 1 else 1)
    problem = mfpde.Problem(inputs, targets, block=mfpde.SHL(d), readout="last")
    return problem, laws.Product(laws.Dirac(0.0, dim=d), laws.Gaussian(1.0, dim=d + 1))


def search(problem: mfpde.Problem, law: laws.Law) -> Study:
    """What ``mfpde.limit`` would run."""
    s, off = np.array([0.0, 0.5 * S_END, S_END]), Display(False, 1e-3)
    endless = {"max_work": np.inf, "max_seconds": np.inf, "display": off}
    watch = Watch(problem, None)
    return Study(problem, law, s, method="auto", optimizer=None, seed=0, watch=watch, **endless)


def of_scrambles(name: str) -> dict[str, list[tuple[np.ndarray, float]]]:
    """Last outputs and gradients of every scramble: in full, and by what makes it cheap."""
    study = search(*task(name))
    steps = scrambled.quickest(study, STEPS, RTOL)
    coarse = [
        ((1.0, study.run(spec)),) for spec in Scrambles(COUNT // 4, SETS).all_specs(STEPS, RTOL)
    ]
    factor = scrambled._explained(study, coarse).factor[-1]
    print(f"{name}: {steps} steps in time, {factor:.2f} of the flow of u alone")
    found = {}
    for spec in Scrambles(COUNT, SETS).all_specs(STEPS, RTOL):
        full, quick = study.run(spec), study.run(spec._replace(hurry=steps))
        known = factor * full.alone.error[-1]
        for title, run, less in (
            ("sobol, fresh", full, 0.0),
            ("few steps", quick, 0.0),
            ("flow of u", full, known),
            ("both", quick, known),
        ):
            found.setdefault(title, []).append((run.outputs[-1] - less, run.gradients))
    return found


def plain(name: str, rule: str, coupling: str) -> list[tuple[np.ndarray, float]]:
    """The same of other points, in full."""
    (problem, law), found = task(name), []
    for seed in range(SETS):
        how = {"count": COUNT, "rule": rule, "coupling": coupling, "seed": seed}
        rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(STEPS), **how)
        run = mfpde.solve(problem, rho, s_end=S_END, rtol=RTOL, progress=False)
        found.append((mfpde.predict(problem, run.final), run.stats["gradients"]))
    return found


def ways(name: str) -> list[dict]:
    """(a)"""
    found = {
        "i.i.d., fresh": plain(name, "iid", "independent"),
        "sobol, tied": plain(name, "sobol", "tied"),
        **of_scrambles(name),
    }
    scale, rows = np.sqrt(np.mean(task(name)[0].y ** 2)), []
    for title, results in found.items():
        outputs, gradients = zip(*results, strict=True)
        error = float(rms(np.std(outputs, axis=0, ddof=1)[None])[0] / scale)
        work = COUNT * (2 * STEPS + 1) * float(np.mean(gradients))
        row = {"case": f"{name}: {title}", "threads": 1, "error": error, "work": work}
        rows.append(row | {"for_1e-3": work * (error / 1e-3) ** 2})
    base = next(row["for_1e-3"] for row in rows if row["case"].endswith("sobol, fresh"))
    for row in rows:
        row["gain"] = (base / row["for_1e-3"],) * 3
        print(
            f"{row['case']:24s} error {row['error']:.1e}  work {row['work']:.2e}  for 1e-3 "
            f"{row['for_1e-3']:.2e}  gain {row['gain'][0]:.2f}",
            flush=True,
        )
    return rows


def sobol(dim: int, count: int, rng: np.random.Generator) -> np.ndarray:
    return qmc.Sobol(dim, seed=rng).random(count)


def last_first(dim: int, count: int, rng: np.random.Generator) -> np.ndarray:
    return np.roll(sobol(dim, count, rng), -1, axis=1)


def latin(dim: int, count: int, rng: np.random.Generator) -> np.ndarray:
    return qmc.LatinHypercube(dim, seed=rng).random(count)


def lattice(dim: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Korobov's, shifted at random and folded."""
    powers = np.array([pow(1517, j, count) for j in range(dim)])
    v = (np.arange(count)[:, None] * powers / count + rng.random(dim)) % 1.0
    return 1.0 - np.abs(2.0 * v - 1.0)


def independent(dim: int, count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.random((count, dim))


def frames(dim: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Normal points, orthogonal to each other by ``dim`` of them."""
    blocks = [np.linalg.qr(rng.standard_normal((dim, dim)))[0] for _ in range(-(-count // dim))]
    lengths = np.sqrt(rng.chisquare(dim, (len(blocks) * dim, 1)))
    return (np.concatenate(blocks) * lengths)[:count]


def points(name: str) -> None:
    """(b)"""
    problem, law = task(name)
    alone, depth = lazy.Lazy(problem, law, np.array([0.0, S_END])), mfpde.Depth(STEPS)
    d, scale = problem.block.dim, np.sqrt(np.mean(problem.y**2))
    kinds = (independent, sobol, last_first, latin, lattice, frames)
    for count in (256, 1024):
        texts = []
        for kind in kinds:
            errors = []
            for seed in range(12):
                rng = np.random.default_rng(seed)
                theta = np.zeros((len(depth.nodes), count, 2 * d + 1))
                for node in theta:
                    v = kind(d + 1, count, rng)
                    node[:, d:] = v if kind is frames else ndtri(np.clip(v, 2.0**-53, 1 - 2.0**-53))
                errors.append(alone.alone(mfpde.ParticleMeasure(theta, depth)).error[-1])
            texts.append(f"{kind.__name__} {rms(np.array(errors)).mean() / scale:.1e}")
        print(f"{name}, {count} points: " + ", ".join(texts), flush=True)


def main() -> None:
    harness.options(__doc__, 1)
    with harness.set_threads(1):
        rows = [row for name in SETTINGS for row in ways(name)]
        for name in SETTINGS:
            points(name)
    harness.record("limit_width", rows, "gain", "times less work than Sobol points in full")


if __name__ == "__main__":
    main()
