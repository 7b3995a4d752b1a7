"""How much more threads gain, verb by verb, beside what dgemm gains; and what limits each.

Contenders are numbers of threads, 1, 2, 4, … up to the machine's cores: they alternate within one
run, row by row, by the wall clock, each called in a row for a few hundredths of a second. The
yardsticks are a dgemm with as many BLAS threads, and a sum of arrays beyond the caches by as many
threads, in the same rounds.

A **model** is fitted to each row and, marked as such, read off beyond the machine's cores:

    T(t)/T(1) = s + m/g(t) + (1 − s − m)/min(t, c).

m is the share of T(1) in which the bytes that a row must move come at the rate of the sum of
arrays, g(t) the gain of that sum, c the most shares that a row is dealt in (eight data each for
gradients), and s, fitted, the rest that does not shrink. Assumed: moving does not overlap with
arithmetic, what is left is balanced, waking costs what it costs here however many wake, and beyond
the cores here memory serves ``--memory`` times what one thread takes, at most. With two numbers of
threads s has one equation: it says what is missing here, not why. What limits a row is the larger
of what s and m/g keep from shrinking. Two minutes on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

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
STAGE, CELLS = "grid stage, 256 x 256 x 9", 9 * 256**2
IN_A_ROW = 0.03  # seconds
COPIED = 1 << 22  # numbers that the yardstick of memory adds up: three times eight bytes each
# What must move at least: σ written over what was there and read again; masses likewise.
BYTES = {name: 24 * n * steps * m for name, (n, _, steps, m) in SIZES.items()}
BYTES |= {STAGE: 24 * CELLS, "V on the grid, 128 data": 16 * CELLS}
SHARES = {name: size[0] // 8 for name, size in SIZES.items()}


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
    """Seconds of a call by number of threads, in each round."""
    blas, begin = ThreadpoolController(), time.perf_counter()
    run()
    calls = max(1, round(IN_A_ROW / (time.perf_counter() - begin)))

    def limited(threads: int) -> Run:
        def work() -> None:
            with on(threads, blas):
                for _ in range(calls):
                    run()

        return work

    contenders = {str(threads): limited(threads) for threads in counts}
    seconds = harness.alternate(contenders, rounds, max(counts) + 1)
    return {int(threads): [s / calls for s in values] for threads, values in seconds.items()}


class Model(NamedTuple):
    """T(t)/T(1) = serial + moved/g(t) + (1 − serial − moved)/min(t, shares)."""

    serial: float
    moved: float
    shares: float
    memory: dict[int, float]  # g

    def losses(self, t: int) -> tuple[float, float]:
        """What is serial, and what moves, beyond a t-th of it."""
        return self.serial * (1 - 1 / t), self.moved * (1 / self.memory[t] - 1 / t)

    def gain(self, t: int) -> float:
        rest = 1 - self.serial - self.moved
        return 1 / (self.serial + self.moved / self.memory[t] + rest / min(t, self.shares))


def fitted(gains: dict[int, float], moved: float, shares: float, memory: dict[int, float]) -> Model:
    """The mean over the numbers of threads of the serial share that explains each gain."""
    found = []
    for t, gain in gains.items():
        if t > 1:
            even = 1 / min(t, shares)
            found.append((1 / gain - moved / memory[t] - (1 - moved) * even) / (1 - even))
    serial = float(np.clip(np.mean(found), 0.0, 1.0 - moved)) if found else 0.0
    return Model(serial, moved, shares, memory)


def limit(model: Model, gain: float, yardstick: float, cores: int) -> str:
    """What holds a row back on all cores, in words."""
    if gain >= 0.95 * yardstick:
        return "the cores"
    serial, moving = model.losses(cores)
    return "memory" if moving > serial else "what is serial"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (%(default)s)")
    parser.add_argument("--memory", type=float, default=8.0, help="threads that saturate memory")
    given = parser.parse_args()
    cores = int(numba.config.NUMBA_NUM_THREADS)
    counts = [2**k for k in range(cores.bit_length()) if 2**k < cores] + [cores]
    beyond = [t for t in MODEL if t > cores]
    table: list[dict[str, Any]] = []
    gains: dict[str, dict[int, float]] = {}
    rate, memory = np.inf, dict.fromkeys([*counts, *beyond], 1.0)
    for name, run in rows().items():
        seconds = measure(run, counts, given.rounds)
        median = {t: float(np.median(seconds[t])) for t in counts}
        spread = {t: harness.ratios(seconds[1], seconds[t]) for t in counts}
        gains[name] = {t: spread[t][1] for t in counts}
        if name == "memory":
            rate = 24 * COPIED / median[1]
            memory = gains[name] | {t: min(t, given.memory) for t in beyond}
        moved = min(BYTES.get(name, 0) / rate / median[1], 1.0)
        model = fitted(gains[name], moved, SHARES.get(name, np.inf), memory)
        yardstick = name in ("dgemm", "memory")
        words = "yardstick" if yardstick else limit(
            model, gains[name][cores], gains["dgemm"][cores], cores
        )  # fmt: skip
        table.append(
            {
                "case": name,
                "milliseconds": {f"ms on {t}": 1e3 * value for t, value in median.items()},
                "gain": spread[cores],
                "gains": {f"gain on {t}": spread[t] for t in counts if t > 1},
                "serial": model.serial,
                "moved": moved,
                "limit": words,
                "model": {f"model, {t}": model.gain(t) for t in beyond},
            }
        )
        print(text(table[-1]), flush=True)
    harness.record("threads", table, "gain", f"times as fast on {cores} threads as on one")


def text(row: dict[str, Any]) -> str:
    """A row in one line."""
    times = ", ".join(f"{ms:.2f}" for ms in row["milliseconds"].values())
    gains = ", ".join(
        f"{name}: " + " – ".join(f"{x:.2f}" for x in gain) for name, gain in row["gains"].items()
    )
    line = f"{row['case']:28s} {times} ms; {gains}; limit: {row['limit']}"
    if row["limit"] != "yardstick":
        model = ", ".join(f"{name}: {value:.1f}" for name, value in row["model"].items())
        line += f" (s {row['serial']:.2f}, m {row['moved']:.2f}); {model.upper()}"
    return line


if __name__ == "__main__":
    main()
