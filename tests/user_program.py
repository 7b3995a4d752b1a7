"""A user's program as ``mypy --strict`` reads it: what the public names say of themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import mfpde
from mfpde import laws, plots

Array = NDArray[np.float64]


class Cubic(mfpde.Block):
    """f(x, (u, w)) = u (w x)³ on R."""

    dim, coordinates = 1, ("u", "w")

    def value(self, x: Array, theta: Array) -> Array:
        u, w = theta.T
        return np.asarray(u * (x * w) ** 3)[:, :, None]

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        u, w = theta.T
        return np.asarray(q * 3 * u * w * (x * w) ** 2)[:, :, None]

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        u, w = theta.T
        return np.stack([q * (x * w) ** 3, q * 3 * u * x * (x * w) ** 2], axis=-1)


def train(x: Array, y: Array) -> float:
    problem = mfpde.Problem(x, y, block=Cubic())
    law = laws.Gaussian(1.0, dim=2)
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(4), count=16)
    solution: mfpde.Solution = mfpde.solve(problem, rho, s_end=1.0, rtol=1e-3)
    outputs: Array = mfpde.predict(problem, solution.final)
    found = mfpde.limit(problem, law, s_end=1.0, rtol=1e-2)
    distance: float = mfpde.cot_distance(rho, solution.final)
    plots.save(solution.plot(), "out", "training")
    return float(found.error) + distance + float(outputs.sum()) + mfpde.loss(problem, rho)


if __name__ == "__main__":
    line = np.linspace(-1.0, 1.0, 8)[:, None]
    print(train(line, 0.5 * line))
