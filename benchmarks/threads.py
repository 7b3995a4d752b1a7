"""How much more threads gain, verb by verb, beside what dgemm gains; and what limits each.

Contenders are numbers of threads, 1, 2, 4, … up to the machine's cores: they alternate within one
run, row by row, by the wall clock. The yardstick is a dgemm with as many BLAS threads, in the same
rounds. Where a row must move more than caches hold, bytes over the rate of memory (a sum of two
arrays by as many threads) say which part of its time that is.

Beyond the machine's cores a **model** extrapolates, marked as such in what is printed. It assumes
that a share of the time on one thread stays serial (Amdahl), as fitted to what is measured here,
and that the rest is balanced; rows bound by memory gain no more than ``--memory``. One minute on
two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import harness
import numba
import numpy as np
from threadpoolctl import ThreadpoolController

import mfpde
from mfpde import theory, transport
from mfpde.flows.grid_flow import GridFlow
from mfpde.kernels.totals import add_all
from mfpde.measures.axes import Grid

Run = Callable[[], Any]
MODEL = (8, 64)  # cores
SIZES = {  # N, d, L, M
    "gradient A": (256, 2, 50, 1000),
    "gradient C": (512, 10, 40, 500),
    "gradient D": (1024, 64, 32, 512),
    "gradient (128, 24, 8, 256)": (128, 24, 8, 256),
}
STAGE = "grid stage, 256 x 256 x 9"
COPIED = 1 << 22  # numbers that the yardstick of memory adds up: three times eight bytes each
# What must move at least: σ written over what was there and read again; masses likewise.
BYTES = {name: 24 * n * steps * m for name, (n, _, steps, m) in SIZES.items()}
BYTES[STAGE] = 9 * 256**2 * 24


def particles(n: int, d: int, steps: int, count: int, **how: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, n, d))
    problem = mfpde.Problem(x, y[:, : how.get("outputs", d)], block=mfpde.SHL(d), readout="first")
    theta = rng.standard_normal((steps, count, problem.block.size)) / np.sqrt(d)
    return problem, mfpde.ParticleMeasure(theta, mfpde.Depth(steps, "euler"))


def gradient(size: tuple[int, ...]) -> Run:
    problem, rho = particles(*size)
    return lambda: mfpde.gradient(problem, rho)


def kernel(size: tuple[int, ...], outputs: int) -> Run:
    problem, rho = particles(*size, outputs=outputs)
    return lambda: theory.tangent_kernel(problem, rho)


def product(size: tuple[int, ...]) -> Run:
    """K v at a point already passed by as many threads."""
    problem, rho = particles(*size)
    passed: dict[int, Any] = {}

    def run() -> None:
        threads = numba.get_num_threads()
        if threads not in passed:
            passed[threads] = theory.tangent_operator(problem, rho)
        passed[threads].matvec(np.ones(passed[threads].shape[0]))

    return run


def grid() -> tuple[Run, Run]:
    """A van Leer stage at 256² cells and nine depth nodes, and V at those cells."""
    box = Grid.of_box([(-4.0, 4.0)] * 2, (256, 256))
    masses = np.exp(-0.5 * np.square(box.points).sum(axis=-1))[None]
    masses = np.tile(masses / masses.sum(), (9, 1, 1))
    x = np.linspace(-1, 1, 128)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(1, bias=False))
    rho = mfpde.GridMeasure(masses, mfpde.Depth(4, "rk4"), box)
    flow = GridFlow(problem, rho)
    v = flow.at(rho.masses).potential
    stage = lambda: flow.transport.advance("van_leer", v, masses, masses, 1e-4)  # noqa: E731
    return stage, lambda: mfpde.first_variation(problem, rho)


def distance() -> Run:
    """COT over sixteen depths of a thousand atoms."""
    rng, depth = np.random.default_rng(0), mfpde.Depth(16, "euler")
    pair = [mfpde.ParticleMeasure(t, depth) for t in rng.standard_normal((2, 16, 1000, 3))]
    return lambda: transport.cot_distance(*pair, workers=numba.get_num_threads())


def rows() -> dict[str, Run]:
    stage, potential = grid()
    square = np.random.default_rng(1).standard_normal((1500, 1500))
    parts, total = np.ones((1, COPIED)), np.ones(COPIED)
    return {
        "dgemm": lambda: square @ square,
        "memory": lambda: add_all(parts, total),
        **{name: gradient(size) for name, size in SIZES.items()},
        "kernel, N k = 2000": kernel((2000, 16, 20, 500), 1),
        "kernel, digits": kernel((128, 24, 9, 256), 10),
        "product K v, C": product(SIZES["gradient C"]),
        STAGE: stage,
        "V on the grid, 128 data": potential,
        "transport over depths": distance(),
    }


@contextmanager
def on(threads: int, blas: ThreadpoolController) -> Iterator[None]:
    """So many threads of ours, and of BLAS outside of the package."""
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        with blas.limit(limits=threads, user_api="blas"):
            yield
    finally:
        numba.set_num_threads(before)


def measure(run: Run, counts: list[int], rounds: int) -> dict[int, list[float]]:
    blas = ThreadpoolController()

    def limited(threads: int) -> Run:
        def work() -> None:
            with on(threads, blas):
                run()

        return work

    contenders = {str(threads): limited(threads) for threads in counts}
    seconds = harness.alternate(contenders, rounds, max(counts) + 1)
    return {int(threads): values for threads, values in seconds.items()}


def serial_share(gains: dict[int, float]) -> float:
    """Amdahl's share s in 1/gain = s + (1 − s)/T, by least squares over the counts measured."""
    found = [(1 / gain - 1 / t) / (1 - 1 / t) for t, gain in gains.items() if t > 1]
    return float(np.clip(np.mean(found), 0.0, 1.0)) if found else 0.0


def limit(name: str, seconds: float, rate: float, gain: float, yardstick: float) -> str:
    """What holds a row back on all cores, in words; ``rate`` is in bytes a second."""
    if gain >= 0.95 * yardstick:
        return "the cores"
    busy = BYTES.get(name, 0) / rate / seconds
    return f"memory, {busy:.0%} of the time" if busy > 0.5 else "what is serial, and waking threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (%(default)s)")
    parser.add_argument("--memory", type=float, default=8.0, help="threads that saturate memory")
    given = parser.parse_args()
    cores = int(numba.config.NUMBA_NUM_THREADS)
    counts = [2**k for k in range(cores.bit_length()) if 2**k < cores] + [cores]
    table: list[dict[str, Any]] = []
    gains: dict[str, dict[int, float]] = {}
    for name, run in rows().items():
        seconds = measure(run, counts, given.rounds)
        median = {t: float(np.median(seconds[t])) for t in counts}
        spread = {t: harness.ratios(seconds[1], seconds[t]) for t in counts}
        gains[name] = {t: spread[t][1] for t in counts}
        if name == "memory":
            rate = 24 * COPIED / median[cores]
        share, words = serial_share(gains[name]), "yardstick"
        if name not in ("dgemm", "memory"):
            words = limit(name, median[cores], rate, gains[name][cores], gains["dgemm"][cores])
        model = {t: 1 / (share + (1 - share) / t) for t in MODEL if t > cores}
        if words.startswith("memory") or name == "memory":
            model = {t: min(value, given.memory) for t, value in model.items()}
        table.append(
            {
                "case": name,
                "milliseconds": {t: 1e3 * value for t, value in median.items()},
                "gain": spread[cores],
                "gains": spread,
                "serial": share,
                "limit": words,
                "model": model,
            }
        )
        times = ", ".join(f"{ms:.2f}" for ms in table[-1]["milliseconds"].values())
        shown = ", ".join(
            f"{t}: " + " – ".join(f"{x:.2f}" for x in spread[t]) for t in counts if t > 1
        )
        beyond = ", ".join(f"{t}: {value:.1f}" for t, value in model.items())
        print(f"{name:28s} {times} ms; gain on {shown}; limit: {words}; MODEL {beyond}", flush=True)
    harness.record("threads", table, "gain", f"times as fast on {cores} threads as on one")


if __name__ == "__main__":
    main()
