"""The limit to a tolerance against brute force: wide networks of i.i.d. particles.

Claim: at an output error of 1e-4 on a problem with d = 1 (θ ∈ R³ uniform, s = 4) the limit solver,
its companion runs included, does at least 1,000 times less work than the network that is wide
enough. Work is particles × depth nodes × gradients, which no machine's noise touches. Brute force
is measured at widths that can be run, and its error law c/√M gives the width it would need; depth
and training time cost it nothing extra here. About a minute on one thread.
"""

from __future__ import annotations

import time

import harness
import numpy as np

import mfpde
from mfpde import laws

LAW = laws.Uniform([-1] * 3, [1] * 3)
S_END = 4.0
WIDTHS = (64, 256, 1024, 4096)
SEEDS = 6
TARGETS = (1e-2, 1e-3, 1e-4, 1e-5)


def problem() -> mfpde.Problem:
    x = np.linspace(-1, 1, 8)[:, None]
    return mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1))


def error(task: mfpde.Problem, outputs: np.ndarray, exact: np.ndarray) -> float:
    """RMS over data of the outputs at s = 4, relative to the targets."""
    return float(np.sqrt(np.mean((outputs - exact) ** 2) / np.mean(task.y**2)))


def network(task: mfpde.Problem, width: int, seed: int) -> tuple[np.ndarray, int]:
    """Outputs and work of one wide network: i.i.d. particles, the cheapest depth and step."""
    rho0 = mfpde.ParticleMeasure.from_law(
        LAW, mfpde.Depth(2), count=width, rule="iid", coupling="tied", seed=seed
    )
    run = mfpde.solve(task, rho0, s_end=S_END, method="rk45", rtol=1e-4)
    work = width * rho0.levels * run.stats["gradients"]
    return mfpde.predict(task, run.final), work


def brute_force(task: mfpde.Problem, exact: np.ndarray) -> tuple[float, float]:
    """The constant c of error = c/√M, and the work of one particle."""
    constants, costs = [], []
    for width in WIDTHS:
        runs = [network(task, width, seed) for seed in range(SEEDS)]
        rms = np.sqrt(np.mean([error(task, outputs, exact) ** 2 for outputs, _ in runs]))
        constants.append(rms * np.sqrt(width))
        costs.append(np.mean([work for _, work in runs]) / width)
        print(f"M = {width:5d}  error {rms:.2e}  error √M {constants[-1]:.3f}")
    return float(np.median(constants)), float(np.median(costs))


def main() -> None:
    harness.options(__doc__, 1)
    task = problem()
    with harness.set_threads(1):
        exact = mfpde.limit(task, LAW, s_end=S_END, rtol=1e-7).outputs[-1]
        constant, cost = brute_force(task, exact)
        rows = []
        for target in TARGETS:
            begin = time.process_time()
            found = mfpde.limit(task, LAW, s_end=S_END, rtol=target)
            seconds = time.process_time() - begin
            width = (constant / target) ** 2
            ratio = width * cost / found.work
            rows.append(
                {
                    "case": f"error {target:g}",
                    "threads": 1,
                    "particles": found.sizes.particles,
                    "claimed": found.error,
                    "true": error(task, found.outputs[-1], exact),
                    "seconds": seconds,
                    "width_needed": width,
                    "less_work": (ratio, ratio, ratio),
                }
            )
            print(
                f"rtol {target:7g}: {found.sizes.particles:4d} particles, error claimed "
                f"{found.error:.1e}, true {rows[-1]['true']:.1e}, {seconds:.2f} s; "
                f"i.i.d. needs M = {width:.2g}: {ratio:.3g} times the work"
            )
    harness.record("limit", rows, "less_work", "times less work than an i.i.d. network")


if __name__ == "__main__":
    main()
