"""Build of the tangent kernel as a fraction of this machine's rate of matrix products.

Claim: at least 60 % of dgemm at N·k = 2000, L·M = 10⁴, d = 16, counting symmetric work once. The
last case, N·k = 4000, also reports the memory beyond the kernel itself. About one minute.
"""

from __future__ import annotations

import resource

import harness
import numpy as np

from mfpde import SHL, Depth, propagate

CASES = (  # data, outputs, d, method, steps, particles
    (2000, 1, 16, "euler", 20, 500),
    (2000, 1, 16, "rk4", 5, 500),
    (200, 10, 16, "euler", 20, 500),
    (2000, 1, 2, "rk4", 5, 500),
    (4000, 1, 16, "euler", 20, 500),
)


def measure(n, outputs, d, method, steps, particles, rounds, threads):
    rng = np.random.default_rng(0)
    block, depth = SHL(d), Depth(steps, method)
    theta = 0.3 * rng.standard_normal((len(depth.nodes), particles, block.size))
    weights = np.full(theta.shape[:2], 1 / particles)
    layers = propagate.Layers(block, depth, theta, weights)
    passed = propagate.forward(layers, rng.standard_normal((n, d)))
    readout, size = np.eye(outputs, d), n * outputs
    square = rng.standard_normal((2000, 2000))
    contenders = {
        "build": lambda: propagate.tangent_kernel(layers, passed, readout),
        "dgemm": lambda: square @ square,
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = harness.alternate(contenders, rounds, threads)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    evaluations = np.bincount(depth.stage_nodes.ravel())
    hadamard = evaluations**2 * (size**2 + n**2)  # or J Jᵀ itself, where that is less work
    work = particles * float(np.minimum(block.size * size**2, hadamard).sum())
    rate = [work / s for s in seconds["build"]]
    peer = [2 * 2000**3 / s for s in seconds["dgemm"]]
    return {
        "case": f"N·k={size} (k={outputs}) d={d} {method}, {threads} threads",
        "seconds": harness.spread(seconds["build"]),
        "fraction": harness.ratios(rate, peer),
        "dgemm": np.median(peer) / 1e9,
        "growth_gib": peak / 2**20,
    }


if __name__ == "__main__":
    given = harness.options(__doc__, 3)
    rows = []
    with harness.set_threads(given.threads):
        for case in CASES:
            row = measure(*case, given.rounds, given.threads)
            rows.append(row)
            low, middle, high = row["fraction"]
            print(
                f"{row['case']:45s} {row['seconds'][1]:6.2f} s, {low:.2f} – {middle:.2f} – "
                f"{high:.2f} of dgemm ({row['dgemm']:.0f} Gflop/s), +{row['growth_gib']:.2f} GiB",
                flush=True,
            )
    name = f"tangent_kernel_{given.threads}"
    harness.record(name, rows, "fraction", "fraction of the rate of dgemm")
