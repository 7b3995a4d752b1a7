"""Conditional optimal transport against a loop over POT's emd2, in one run.

Same measures, exact value on both sides, contenders taken in turn; medians of the repetitions.
Everything runs on one thread unless a column says otherwise. Ratios above one are in our favour.

    python benchmarks/transport.py            grid of sizes, dimensions and depths (2 minutes)
    python benchmarks/transport.py --memory   one slice of 10 000 atoms: time and peak memory
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402
import json  # noqa: E402
import multiprocessing  # noqa: E402
import resource  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402

import numpy as np  # noqa: E402
import ot  # noqa: E402

from mfpde.transport import Shortlist, Simplex, cot_distance  # noqa: E402

Measure = tuple[np.ndarray, np.ndarray, np.ndarray]


def pair(n: int, p: int, depths: int, weights: str, seed: int = 0) -> tuple[Measure, Measure]:
    """Gaussian clouds, the second one wider and shifted."""
    rng = np.random.default_rng(seed)
    t = (np.arange(depths) + 0.5) / depths
    out = []
    for spread, shift in ((1.0, 0.0), (1.5, 0.5)):
        theta = spread * rng.normal(size=(depths, n, p)) + shift
        a = np.ones((depths, n)) if weights == "equal" else rng.random((depths, n))
        out.append((t, theta, a / a.sum(axis=1, keepdims=True)))
    return out[0], out[1]


def pot_loop(mu: Measure, nu: Measure) -> float:
    """What a user writes today: a dense cost matrix and emd2 at every depth."""
    costs = [
        ot.emd2(a, b, ot.dist(x, y), numItermax=10**9)
        for x, a, y, b in zip(mu[1], mu[2], nu[1], nu[2], strict=True)
    ]
    return float(np.sqrt(np.mean(costs)))


CONTENDERS: dict[str, Callable[[Measure, Measure], float]] = {
    "POT loop": pot_loop,
    "auto": lambda mu, nu: cot_distance(mu, nu, workers=1),
    "auto, 2 threads": lambda mu, nu: cot_distance(mu, nu, workers=2),
    "simplex": lambda mu, nu: cot_distance(mu, nu, method=Simplex(), workers=1),
    "shortlist": lambda mu, nu: cot_distance(mu, nu, method=Shortlist(), workers=1),
}


def timed(names: list[str], mu: Measure, nu: Measure, repeats: int) -> dict[str, tuple]:
    """Median seconds and value of each contender, taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    values = {name: CONTENDERS[name](*_first_slice(mu, nu)) for name in names}  # compile
    for _ in range(repeats):
        for name in names:
            start = time.perf_counter()
            values[name] = CONTENDERS[name](mu, nu)
            seconds[name].append(time.perf_counter() - start)
    return {name: (float(np.median(seconds[name])), values[name]) for name in names}


def _first_slice(mu: Measure, nu: Measure) -> tuple[Measure, Measure]:
    """A few atoms of one depth, enough to compile everything that will be timed."""
    first, second = ((t[:1], theta[:1, :80], np.full((1, 80), 1 / 80)) for t, theta, _ in (mu, nu))
    return first, second


def grid(repeats: int, largest: int) -> None:
    """Ratios over the grid n x p x depth."""
    print(
        f"{'n':>6}{'p':>4}{'depths':>8}{'weights':>9}{'POT ms':>10}"
        f"{'auto':>8}{'2 thr.':>8}{'simplex':>9}{'shortl.':>9}{'max |dW2²|':>12}"
    )
    for n in (100, 300, 1000, 2000, 4000):
        for p in (1, 2, 3, 10, 27):
            for depths in (1, 8):
                if n > largest or n * depths > 8000 or (depths == 1 and n < 1000):
                    continue
                for weights in ("equal", "random"):
                    mu, nu = pair(n, p, depths, weights)
                    found = timed(list(CONTENDERS), mu, nu, 1 if n > 2000 else repeats)
                    base, exact = found["POT loop"]
                    ratios = [base / found[name][0] for name in list(CONTENDERS)[1:]]
                    off = max(abs(value**2 - exact**2) for _, value in found.values())
                    print(
                        f"{n:>6}{p:>4}{depths:>8}{weights:>9}{1e3 * base:>10.1f}"
                        + "".join(f"{r:>{w}.2f}" for r, w in zip(ratios, (8, 8, 9, 9), strict=True))
                        + f"{off:>12.1e}",
                        flush=True,
                    )


def _peak(name: str, n: int, weights: str, pipe: object) -> None:
    mu, nu = pair(n, 2, 1, weights)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    value = CONTENDERS[name](mu, nu)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send(json.dumps([value, seconds, peak / 1e6, (peak - before) / 1e6]))  # type: ignore[attr-defined]


def memory(n: int) -> None:
    """One slice of n atoms in a fresh process each: value, seconds, peak resident memory."""
    context = multiprocessing.get_context("spawn")
    print(
        f"{'n':>6}{'weights':>9}{'contender':>12}{'W2²':>20}{'s':>8}{'peak GB':>9}{'added GB':>9}"
    )
    for weights in ("equal", "random"):
        for name in ("shortlist", "POT loop"):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=_peak, args=(name, n, weights, send))
            process.start()
            value, seconds, peak, added = json.loads(receive.recv())
            process.join()
            print(
                f"{n:>6}{weights:>9}{name:>12}{value**2:>20.14f}{seconds:>8.2f}{peak:>9.2f}"
                f"{added:>9.2f}",
                flush=True,
            )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--memory", action="store_true")
    options.add_argument("--atoms", type=int, default=10_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--largest", type=int, default=4000)
    chosen = options.parse_args()
    if chosen.memory:
        memory(chosen.atoms)
    else:
        grid(chosen.repeats, chosen.largest)
