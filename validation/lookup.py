"""What transformers learn in ``transformer_limit``: to look up the value of a marked token."""

from __future__ import annotations

import numpy as np

import mfpde

D = 3  # coordinates of a token: value, mark, query
LAW = mfpde.laws.Gaussian(1.0, dim=19)  # of a head and a neuron


def sequences(context: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (count, (context + 1) D) and the marked value of each sequence (count, 1)."""
    rng = np.random.default_rng(seed)
    x = np.zeros((count, context + 1, D))
    x[:, :-1, 0] = rng.uniform(-1.0, 1.0, (count, context))
    marked = rng.permutation(np.arange(count) % context)
    x[np.arange(count), marked, 1] = 1.0
    x[:, -1, 2] = 1.0
    return x.reshape(count, -1), x[np.arange(count), marked, :1]


def transformer(context: int, count: int) -> mfpde.Problem:
    """An attention head and a neuron a particle, on sequences of ``context`` values and a query."""
    tokens = context + 1
    pair = mfpde.Attention(tokens, D), mfpde.TokenMLP(tokens, mfpde.SHL(D))
    readout = np.eye(1, tokens * D, k=context * D)  # first coordinate of the query
    how = {"block": mfpde.Populations(pair), "readout": readout}
    return mfpde.Problem(*sequences(context, count, 0), **how)


def start(problem: mfpde.Problem, steps: int, count: int, seed: int = 0) -> mfpde.ParticleMeasure:
    """Sobol particles and their mirror images in O and u, which the law does not tell apart."""
    depth = mfpde.Depth(steps, "rk4")
    how = {"rule": "sobol", "coupling": "independent", "count": count // 2, "seed": seed}
    theta = mfpde.ParticleMeasure.from_law(LAW, depth, **how).theta
    signs = [-1.0 if name[2] in "Ou" else 1.0 for name in problem.block.coordinates]
    return mfpde.ParticleMeasure(np.concatenate([theta, theta * signs], axis=1), depth)
