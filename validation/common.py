"""Problems and measures that several validation scripts share."""

from __future__ import annotations

import numpy as np

import mfpde
from mfpde import data, laws


def sine(count: int) -> mfpde.Problem:
    """sin(pi x) at ``count`` points of [-1, 1], lifted to d = 2 and read from the second."""
    x = np.linspace(-1, 1, count)[:, None]
    return mfpde.Problem(x, np.sin(np.pi * x), block=mfpde.SHL(dim=2), readout="last")


def supervised(x: np.ndarray, y: np.ndarray, components: int) -> mfpde.Problem:
    """Principal components beside zeros that the readout reads; labels one-hot, values scaled."""
    labels = y.ndim == 1 and y.dtype.kind in "iu"
    targets = data.one_hot(y) if labels else (y - y.mean(axis=0)) / y.std(axis=0)
    outputs = 1 if targets.ndim == 1 else targets.shape[1]
    inputs = data.principal_components(x, min(components, *x.shape))
    block = mfpde.SHL(dim=inputs.shape[1] + outputs, activation="tanh")
    return mfpde.Problem(inputs, targets, block=block, embed="pad", readout="last")


def silent_law(problem: mfpde.Problem) -> laws.Law:
    """u = 0, (w, b) standard Gaussian: the initialisation of Barboni et al. 2024."""
    d = problem.block.dim
    return laws.Product(laws.Dirac(0.0, dim=d), laws.Gaussian(1.0, dim=d + 1))


def fastest_backend() -> str:
    """For deep networks on few data: torch on a GPU, the package's compiled passes elsewhere."""
    try:
        import torch
    except ImportError:
        return "particles"
    return "torch" if torch.cuda.is_available() else "particles"


def rms(difference: np.ndarray) -> np.ndarray:
    """Root mean square over data and outputs, (..., N, k) to (...)."""
    return np.sqrt(np.mean(np.square(difference), axis=(-2, -1)))
