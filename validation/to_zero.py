"""The runs that ``zero_loss`` compares: the limit, and finite networks that go to zero with it.

``size`` holds the sizes of that script.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba
import numpy as np
import study
from study import Shape, Sizes

import mfpde
from mfpde.kernels.pools import deal, one_thread
from mfpde.limits import lazy

SEED = 1  # of the networks
HEADER = ("layers", "width", "s", "loss", "limit", "seen", "unseen", "uncertain", "cot")


def run(problem: mfpde.Problem, rho0: mfpde.ParticleMeasure, size: Sizes, **more) -> mfpde.Solution:
    """The flow until the loss is ``size.goal``, or s is ``size.late``; the verdict says which."""
    saves = [*np.geomspace(1.0, size.late, 17).tolist(), size.early, size.s_compare]
    how = {"loss_below": size.goal, "method": "implicit", "rtol": 0.03, "max_steps": 2000}
    how |= {"save": sorted(set(saves)), "raise_on_failure": False}
    return mfpde.solve(problem, rho0, s_end=size.late, **how, **more)


def network(problem: mfpde.Problem, shape: Shape) -> mfpde.ParticleMeasure:
    """A ResNet at the start, as ``mfpde.resnet.train`` draws it."""
    how = {"rule": "iid", "coupling": "independent", "seed": SEED}
    depth = mfpde.Depth(shape[0], "euler")
    return mfpde.ParticleMeasure.from_law(study.silent_law(problem), depth, count=shape[1], **how)


def limits(problem: mfpde.Problem, size: Sizes, out: Path) -> list[mfpde.Solution]:
    """Two scrambles; the initial parameters of ``riding`` networks ride in the first."""
    starts = [network(problem, shape).theta for shape in riding(size)]
    first, second = (
        study.sobol_start(problem, size.depth_steps, size.particles, seed) for seed in (0, 1)
    )
    first = study.with_riders(first, np.concatenate(starts, axis=1))
    tasks = (first, {"checkpoint": out / "limit.h5"}), (second, {})
    return on_threads(lambda task: run(problem, task[0], size, **task[1]), tasks)


def on_threads(work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
    """``work(task)`` for every task, each on a thread of its own."""
    found: dict[int, Any] = {}

    def one(number: int) -> None:
        with one_thread():
            found[number] = work(tasks[number])

    deal(one, range(len(tasks)), numba.get_num_threads())
    return [found[number] for number in range(len(tasks))]


def riding(size: Sizes) -> list[Shape]:
    """Networks with a layer for each depth node of the limit, and few enough blocks."""
    return [s for s in size.to_zero if s[0] == 2 * size.depth_steps and s[1] <= 16]


def between(x: np.ndarray) -> np.ndarray:
    """Inputs that are not trained: means of two data."""
    half = len(x) // 2
    return 0.5 * (x[:half] + x[half : 2 * half])


def gaps(
    problem: mfpde.Problem, size: Sizes, limits: list[mfpde.Solution], out: Path
) -> list[tuple]:
    """Rows of HEADER for every network at saved s and, last, at zero loss; all are written."""
    rows, ends = [], []
    runs = on_threads(lambda shape: run(problem, network(problem, shape), size), size.to_zero)
    for shape, one in zip(size.to_zero, runs, strict=True):
        study.write_series(out / f"to_zero_{shape[0]}_{shape[1]}.csv", s=one.s, loss=one.loss)
        last = min(one.s[-1], *(each.s[-1] for each in limits))
        for s in (*one.saved_s[(one.saved_s > 0) & (one.saved_s < last)].tolist(), None):
            states = [each.final if s is None else each.at(s) for each in (one, *limits)]
            rows.append((*shape, s or float(one.s[-1]), *_gap(problem, size, shape, states)))
        ends.append(rows[-1])
    study.write_csv(out / "gaps.csv", HEADER, rows)
    study.report(out / "ends.csv", HEADER, ends)
    return ends


def _gap(
    problem: mfpde.Problem, size: Sizes, shape: Shape, states: list[mfpde.ParticleMeasure]
) -> tuple[float, ...]:
    """Losses, RMS distances of outputs on the data and between them, uncertainty of these, COT."""
    losses = [mfpde.loss(problem, rho) for rho in states[:2]]
    seen, unseen = (
        [mfpde.predict(problem, rho, x) for rho in states] for x in (None, between(problem.x))
    )
    (near, _), (far, uncertain) = (_apart(each) for each in (seen, unseen))
    return *losses, near, far, uncertain, _cot(size, shape, states)


def _apart(outputs: list[np.ndarray]) -> tuple[float, float]:
    mean, uncertain = study.pooled(outputs[1:])
    return float(study.rms(outputs[0] - mean)), uncertain


def _cot(size: Sizes, shape: Shape, states: list[mfpde.ParticleMeasure]) -> float:
    """COT by common random numbers of a network and samples of the limit; nan where none ride."""
    if shape not in riding(size):
        return float("nan")
    before = sum(width for _, width in riding(size)[: riding(size).index(shape)])
    first = size.particles + before
    riders = states[1].theta[: shape[0], first : first + shape[1]]
    return float(np.sqrt(np.mean(np.sum((states[0].theta - riders) ** 2, axis=2))))


def by_descent(problem: mfpde.Problem, size: Sizes, out: Path) -> tuple[float, float, str]:
    """Gradient descent of one network to ``size.early`` in the independent code.

    Loss over that of the implicit run, distance of their outputs, the backend.
    """
    backend = "particles" if find_spec("torch") is None else "torch"
    law, (layers, width) = study.silent_law(problem), size.descent
    how = {"s_end": size.early, "step": size.step, "seeds": [SEED], "backend": backend}
    plain = mfpde.resnet.train(problem, law, layers=layers, width=width, **how)
    study.write_series(out / "descent.csv", s=plain.s, loss=plain.loss[0])
    start = network(problem, size.descent)
    same = mfpde.solve(problem, start, s_end=size.early, method="implicit", rtol=0.01)
    apart = float(study.rms(plain.outputs[0] - mfpde.predict(problem, same.final)))
    return float(plain.loss[0, -1] / same.loss[-1]), apart, backend


def descended(problem: mfpde.Problem, rho: mfpde.ParticleMeasure, size: Sizes) -> np.ndarray:
    """Outputs after descent with the networks' own step; in single precision, good to 1e-6."""
    theta, single = rho.theta, np.float32
    for _ in range(round(size.s_compare / size.step)):
        rho = mfpde.ParticleMeasure(theta, rho.depth, rho.weights, dtype=single)
        theta = rho.theta - single(size.step) * mfpde.gradient(problem, rho)
    return mfpde.predict(problem, mfpde.ParticleMeasure(theta, rho.depth, rho.weights))


def reference(problem: mfpde.Problem, size: Sizes) -> tuple[np.ndarray, float]:
    """Mean outputs of the limit from many scrambles under descent, and its uncertainty.

    Less what the flow of u alone, whose limit is known, makes of it: 8 % of the error at s = 80.
    72 scrambles of 4,096 points are sure to 1.7e-4 in a minute and a half; 1e-4 would take 200.
    """
    alone = lazy.Lazy(problem, study.silent_law(problem), np.array([0.0, size.s_compare]))

    def both(seed: int) -> np.ndarray:
        rho = study.sobol_start(problem, size.depth_steps, size.reference, seed)
        return np.stack([descended(problem, rho, size), alone.alone(rho).error[-1]])

    outputs, known = np.stack(on_threads(both, range(size.scrambles)), axis=1)
    own, all_of_it = (values - values.mean(axis=0) for values in (known, outputs))
    return study.pooled(outputs - np.sum(own * all_of_it) / np.sum(own**2) * known)


def by_depth(problem: mfpde.Problem, size: Sizes) -> list[tuple[int, float]]:
    """Rows (L, error in depth alone): the same particles at every depth."""
    law, how = study.silent_law(problem), {"count": size.tied, "coupling": "tied"}
    depths = mfpde.Depth(8, "rk4"), *(mfpde.Depth(n, "euler") for n in size.layers)
    starts = (mfpde.ParticleMeasure.from_law(law, depth, **how) for depth in depths)
    exact, *found = (descended(problem, rho, size) for rho in starts)
    return [(n, float(study.rms(z - exact))) for n, z in zip(size.layers, found, strict=True)]
