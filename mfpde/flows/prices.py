"""What a solve of the dual system costs in gradients, by the sizes of a run: never the clock.

A gradient multiplies N (5d + 20) times for every particle and evaluation (products with u, w, x; σ
for twenty). Building on all outputs, or on some mixed ones, goes through depth with each of them,
.6 gradients, and multiplies rows by rows for every pair of evaluations at a node: .6 r gradients, r
the ratio of rows² to N (5d + 20), where a node has one evaluation, twice that where k = 1. Calls of
an evaluation are worth CALLS multiplications, which small problems feel. A factorisation takes .3,
eigenvalues 8 times n³/3 multiplications at the gradient's rate. Measured in processor time on one
thread for N·k = 8 to 5,000, d = 2 to 100, within a factor of 1.5. A product costs one gradient, in
single precision .55 of it; the factors A ⊗ B as much less.
"""

from __future__ import annotations

import numpy as np

from mfpde.flows.flow import Array, Flow
from mfpde.passes.kronecker import mixtures, sample
from mfpde.problem import Problem

# Products are made in single precision, in this share of a gradient's time, where a gradient is
# worth so many times its calls.
SINGLE, SINGLE_FROM = 0.55, 10.0
# Multiplications that the calls are worth: of an evaluation that is not compiled, of a gradient.
CALLS = 3e5
# Through depth with one output, and Gram products, in gradients; a Cholesky factor and eigenvalues.
THROUGH, GRAM, FACTOR, EIGEN = 0.6, 0.6, 0.3, 8.0


def work(problem: Problem) -> float:
    """Multiplications of a gradient for each particle and evaluation."""
    return float(problem.size * (5 * problem.block.dim + 20))


def single(flow: Flow) -> bool:
    """Whether products are made in single precision: where calls are not what they cost."""
    return flow.operator.single is not None and _gradient(flow) > SINGLE_FROM * CALLS


def product(flow: Flow) -> float:
    """Gradients that a product with K is worth."""
    return SINGLE if single(flow) else 1.0


def kernel(flow: Flow) -> float:
    """Gradients that a tangent kernel is worth."""
    nodes = _evaluations(flow)
    pairs = float((nodes**2).sum() / nodes.sum())
    ratio = flow.rows**2 / work(flow.problem)
    alike = 1.0 + flow.problem.outputs**-2.0  # products of σ, which outputs share
    return _calls(flow) + THROUGH * flow.problem.outputs + GRAM * alike * pairs * ratio


def factorisation(flow: Flow) -> float:
    """Gradients that factorising a formed system is worth."""
    return 0.2 + FACTOR * _factors(flow, flow.rows)


def kronecker(flow: Flow) -> float:
    """Gradients that the factors A ⊗ B of the kernel with their eigenvalues are worth.

    The evaluations of a node are merged, and the sample is a small kernel of its own.
    """
    problem = flow.problem
    some, mixed = len(sample(problem.size)), len(mixtures(problem.outputs))
    blocks = mixed * (THROUGH + 2.0 * GRAM * problem.size**2 / work(problem))
    eigen = EIGEN * _factors(flow, problem.size)
    part = 2.0 * some / problem.size + GRAM * (some * problem.outputs) ** 2 / work(problem)
    calls = 2.0 * (mixed + 1) * _calls(flow)
    return product(flow) * (blocks + eigen) + calls + part + 0.2


def _calls(flow: Flow) -> float:
    """Gradients that going through depth by calls is worth."""
    return float(CALLS * _evaluations(flow).sum() / _gradient(flow))


def _factors(flow: Flow, rows: int) -> float:
    """Multiplications of n³/3 over those of a gradient."""
    return float(rows**3 / (3.0 * _gradient(flow)))


def _gradient(flow: Flow) -> float:
    """Multiplications that a gradient is worth."""
    return float(CALLS + _evaluations(flow).sum() * _count(flow) * work(flow.problem))


def _evaluations(flow: Flow) -> Array:
    """How often each depth is evaluated; blocks placed in depth are, once each."""
    depth = getattr(flow.rho, "depth", None)
    return np.ones(len(flow.rho.state)) if depth is None else np.bincount(depth.stage_nodes.ravel())


def _count(flow: Flow) -> int:
    """Particles, or about as many terms, of a layer."""
    return int(max(flow.rho.state[0].size // flow.problem.block.size, 1))
