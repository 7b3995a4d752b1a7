"""What an implicit step costs in gradients, by the sizes of a run: counts, never the clock.

A gradient multiplies N (5d + 20) times for every particle (products with u, w, x; σ for twenty),
its kernel (N·k)². Measured in processor time from N·k = 12 to 1280, d = 2 to 24, 256 to 2,304
particles, one thread: a kernel costs 5 + 1.1 r gradients, r the ratio of the two, within 15 %, and
a factorisation, f multiplications beside the gradient's, .2 + .7 f.
"""

from __future__ import annotations

from typing import Any

from mfpde.flows import dual
from mfpde.problem import Problem

# Products that a solve by conjugate gradients is taken to need before any has been seen.
PRODUCTS = 20.0


def work(problem: Problem) -> float:
    """Multiplications of a gradient for each particle."""
    return float(problem.size * (5 * problem.block.dim + 20))


def kernel(flow: Any) -> float:
    """Gradients that a tangent kernel is worth."""
    return 5.0 + 1.1 * flow.rows**2 / work(flow.problem)


def factorisation(flow: Any, particles: int) -> float:
    """Gradients that factorising a formed system is worth."""
    return 0.2 + 0.7 * flow.rows**3 / (3.0 * particles * work(flow.problem))


def implicit_step(flow: Any, point: Any, rows: tuple[int, ...]) -> float:
    """Gradients that one step of an extrapolation table is worth."""
    solves, starts = sum(rows), 1 + sum(j - 1 for j in rows)
    if not dual.is_dense(flow.problem):
        return solves * (PRODUCTS + 1.0) + starts
    particles = max(point.state.size // flow.problem.block.size, 1)
    return starts * (kernel(flow) + 1.0) + solves * (factorisation(flow, particles) + 1.0)
