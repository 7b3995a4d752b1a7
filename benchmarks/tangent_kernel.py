"""Build of the tangent kernel as a fraction of this machine's rate of matrix products.

Claim: at least 60 % of dgemm at N·k = 2000, L·M = 10⁴, d = 16, counting symmetric work once. The
last case, N·k = 4000, also reports the memory beyond the kernel itself. Where the kernel is too
large its products with vectors stand in (a pull and a push at a point already passed): these are
given in full gradients of the particles benchmark's sizes. About one minute.
"""

from __future__ import annotations

import resource

import harness
import numpy as np

import mfpde
from mfpde import SHL, Depth
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.passes import propagate

CASES = (  # data, outputs, d, method, steps, particles
    (2000, 1, 16, "euler", 20, 500),
    (2000, 1, 16, "rk4", 5, 500),
    (200, 10, 16, "euler", 20, 500),
    (2000, 1, 2, "rk4", 5, 500),
    (4000, 1, 16, "euler", 20, 500),
)

PRODUCTS = {"A": (256, 2, 50, 1000), "C": (512, 10, 40, 500)}  # N, d, L, M


def product(size, rounds, threads):
    """Time of K v over that of a gradient, forward pass included."""
    n, d, layers, width = PRODUCTS[size]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, n, d))
    problem = mfpde.Problem(x, y, block=SHL(d))
    theta = rng.standard_normal((layers, width, problem.block.size))
    rho = mfpde.ParticleMeasure(theta, Depth(layers, "euler"))
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    contenders = {
        "product": lambda: flow.push(point, flow.pull_outputs(point, y)),
        "gradient": lambda: mfpde.gradient(problem, rho),
    }
    seconds = harness.alternate(contenders, rounds, threads)
    return {
        "case": f"K v at {size}, {threads} thread(s)",
        "seconds": harness.spread(seconds["product"]),
        "gradients": harness.ratios(seconds["product"], seconds["gradient"]),
    }


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
        "case": f"N·k={size} (k={outputs}) d={d} {method}, {threads} thread(s)",
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
        products = [product(size, 2 * given.rounds, given.threads) for size in PRODUCTS]
        for row in products:
            low, middle, high = row["gradients"]
            print(f"{row['case']:45s} {low:.2f} – {middle:.2f} – {high:.2f} gradients")
    name = f"tangent_kernel_{given.threads}"
    harness.record(name, rows, "fraction", "fraction of the rate of dgemm", products=products)
