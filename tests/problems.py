"""Small problems that several tests share."""

from __future__ import annotations

import numpy as np

import mfpde
from mfpde import laws


def sine(
    data: int = 12, activation: str = "tanh", loss: str = "squared", **terms: float
) -> mfpde.Problem:
    """sin(πx) on [−1, 1], lifted to d = 2 (two classes by sign under the cross-entropy)."""
    x = np.linspace(-1, 1, data)[:, None]
    y = np.sin(np.pi * x)
    target = y if loss == "squared" else (y[:, 0] > 0).astype(int)
    block = mfpde.SHL(dim=2, activation=activation)
    return mfpde.Problem(x, target, block=block, loss=loss, **terms)


def gaussian_measure(
    problem: mfpde.Problem, depth: mfpde.Depth, count: int = 16, seed: int = 0, **how
) -> mfpde.ParticleMeasure:
    law = laws.Gaussian(1.0, dim=problem.block.size)
    return mfpde.ParticleMeasure.from_law(law, depth, count=count, seed=seed, **how)


def random_case(block: mfpde.Block, method: str, loss: str, seed: int = 0):
    """A problem and a measure with unequal weights, everything random."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((5, block.dim))
    y = np.arange(5) % 2 if loss == "cross_entropy" else rng.standard_normal((5, 2))
    embed = np.eye(block.dim) + 0.1 * rng.standard_normal((block.dim, block.dim))
    readout = rng.standard_normal((2, block.dim))
    problem = mfpde.Problem(
        x,
        y,
        block=block,
        embed=embed,
        readout=readout,
        loss=loss,
        weight_decay=0.1,
        quartic_decay=0.02,
    )
    depth = mfpde.Depth(3, method)
    nodes = len(depth.nodes)
    theta = rng.standard_normal((nodes, 4, block.size))
    return problem, mfpde.ParticleMeasure(theta, depth, rng.dirichlet(np.ones(4), nodes))


class Cubic(mfpde.Block):
    """A user's own block, f(x, (u, w)) = u (w x)³ on R."""

    dim, coordinates = 1, ("u", "w")

    def value(self, x, theta):
        u, w = theta.T
        return (u * (x * w) ** 3)[:, :, None]

    def pull_state(self, x, theta, q):
        u, w = theta.T
        return (q * 3 * u * w * (x * w) ** 2)[:, :, None]

    def pull_parameter(self, x, theta, q):
        u, w = theta.T
        return np.stack([q * (x * w) ** 3, q * 3 * u * x * (x * w) ** 2], axis=-1)
