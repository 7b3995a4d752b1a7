"""Small networks that the tests of this folder share."""

import numpy as np

import mfpde


def random_problem(block, loss="squared", data=6, seed=0, **how):
    """Everything random, embedding and readout included."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((data, block.dim))
    y = np.arange(data) % 2 if loss == "cross_entropy" else rng.standard_normal((data, 2))
    embed = np.eye(block.dim) + 0.1 * rng.standard_normal((block.dim, block.dim))
    readout = rng.standard_normal((2, block.dim))
    return mfpde.Problem(x, y, block=block, embed=embed, readout=readout, loss=loss, **how)


def random_start(block, count=2, layers=3, width=7, seed=1):
    """Parameters (S, L, M, p)."""
    return np.random.default_rng(seed).standard_normal((count, layers, width, block.size))


def relative(a, b):
    """Largest difference over the largest entry."""
    return float(np.abs(a - b).max() / np.abs(b).max())
