"""What a solve of the dual system costs in gradients, by the sizes of a run: never the clock.

A gradient multiplies N (5d + 20) times for every particle (products with u, w, x; σ for twenty),
its kernel (N·k)². Measured in processor time from N·k = 12 to 1280, d = 2 to 24, 256 to 2,304
particles, one thread: a kernel costs 5 + 1.1 r gradients, r the ratio of the two, within 15 %, and
a factorisation, f multiplications beside the gradient's, .2 + .7 f. Of the factors A ⊗ B, each
mixed output costs .8 + .9 r gradients, r that ratio for N rows, and calls that small problems feel;
eigenvalues take 30 factorisations.
A product with K costs one gradient.
"""

from __future__ import annotations

from mfpde.flows.flow import Flow
from mfpde.passes.kronecker import mixtures, sample
from mfpde.problem import Problem

# Multiplications that the calls of one evaluation in depth are worth, where they are not compiled.
CALLS = 5e5


def work(problem: Problem) -> float:
    """Multiplications of a gradient for each particle."""
    return float(problem.size * (5 * problem.block.dim + 20))


def kernel(flow: Flow) -> float:
    """Gradients that a tangent kernel is worth."""
    return 5.0 + 1.1 * flow.rows**2 / work(flow.problem)


def factorisation(flow: Flow) -> float:
    """Gradients that factorising a formed system is worth."""
    return 0.2 + 0.7 * _factors(flow, flow.rows)


def kronecker(flow: Flow) -> float:
    """Gradients that the factors A ⊗ B of the kernel with their eigenvalues are worth."""
    problem = flow.problem
    some = len(sample(problem.size))
    mixed, count = (
        len(mixtures(problem.outputs)),
        max(flow.rho.state[0].size // problem.block.size, 1),
    )
    blocks = mixed * (0.8 + 0.9 * problem.size**2 / work(problem))
    blocks += (mixed + 1) * CALLS / (work(problem) * count)
    part = 5.0 * some / problem.size + 1.1 * (some * problem.outputs) ** 2 / work(problem)
    return blocks + part + 0.2 + 21.0 * _factors(flow, problem.size)


def _factors(flow: Flow, rows: int) -> float:
    """Multiplications of a factorisation over those of a gradient."""
    problem = flow.problem
    particles = max(flow.rho.state.size // problem.block.size, 1)
    return float(rows**3 / (3.0 * particles * work(problem)))
