"""Random small problems and laws for studies that ask whether a promise holds in general."""

from __future__ import annotations

import numpy as np

import mfpde
from mfpde import laws

ACTIVATIONS = ("tanh", "sigmoid", "softplus", "gelu", "silu", "sin", "relu")


def draw_block(rng: np.random.Generator) -> tuple[mfpde.Block, str]:
    dim = int(rng.choice([1, 1, 2]))
    if rng.random() < 0.15:
        return mfpde.Linear(dim), "linear"
    name = str(rng.choice(ACTIVATIONS))
    return mfpde.SHL(dim, name, bias=bool(rng.random() < 0.6)), name


def draw_law(rng: np.random.Generator, block: mfpde.Block) -> tuple[laws.Law | laws.DepthLaw, str]:
    p, d = block.size, block.dim
    std, mean = rng.uniform(0.4, 1.4, p), rng.normal(0, 0.4, p)
    style = str(rng.choice(["gaussian", "uniform", "silent"]))
    if style == "silent" and isinstance(block, mfpde.SHL):
        std[:d], mean[:d] = 0.0, 0.0
    turn, speed, kind = rng.normal(0, 0.8, p), rng.uniform(0.5, 3), rng.integers(6)

    def at(t: float) -> laws.Law:
        grow = t if kind == 0 else 1.0  # from a point at t = 0
        shift = turn * np.sin(speed * np.pi * t) if kind == 1 else 0.0
        middle = mean + shift
        if style == "uniform":
            return laws.Uniform(middle - 1.5 * std * (0.2 + grow), middle + 1.5 * std)
        return laws.Gaussian(std * grow, middle)

    return (at if kind < 2 else at(1.0)), f"{style}{int(kind) if kind < 2 else ''}"


def draw(seed: int) -> tuple[mfpde.Problem, laws.Law | laws.DepthLaw, float, float, str]:
    """A problem, a law, a training time, a tolerance, and a name for the case."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    block, name = draw_block(rng)
    law, style = draw_law(rng, block)
    x = rng.uniform(-1, 1, (int(rng.integers(4, 10)), block.dim))
    a, b = rng.normal(0, 2, block.dim), rng.normal()
    y = np.sin(x @ a + b) * rng.uniform(0.5, 1.5)
    loss = "cross_entropy" if block.dim == 2 and rng.random() < 0.4 else "squared"
    targets = np.eye(2)[(y > 0).astype(int)] if loss == "cross_entropy" else y
    problem = mfpde.Problem(x, targets, block=block, loss=loss)
    s_end = float(rng.choice([0.5, 1.0, 2.0, 4.0, 8.0]))
    return problem, law, s_end, float(rng.choice([1e-2, 1e-3, 1e-4])), f"{name}-{style}-{loss}"
