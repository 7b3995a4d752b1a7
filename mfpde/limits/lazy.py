"""The flow of u alone, whose limit is known: a control variate for laws with u = 0.

From u = 0 nothing moves the hidden states X_i = A x_i at first, and u follows the linear flow

    dZ/ds = −(1/N) K ∂ℓ(Z) B η_u Bᵀ,   K_ij = ∫∫ σ(w·X_i + b) σ(w·X_j + b) dρ dt,

outputs Z. For Gaussian (w, b), K is an integral over two Gaussian numbers, which is as good as
exact; a run's own K is off by what its points are. Both through this flow tell most of the run's
error, without a run. How much of it is to be subtracted is read from other runs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mfpde.blocks import SHL
from mfpde.depth import Depth
from mfpde.laws import Coupled, DepthLaw, Law, at_depth
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem

Array = NDArray[np.float64]

# Trapezoidal nodes in each of two Gaussian coordinates, and how far they reach. Where one number
# of them agrees with the one before to CLOSE, it is good to some 1e-6: errors fall by e^−cn.
NODES, REACH = (32, 48, 72, 108), 6.5
CLOSE = 1e-4
MOST_VALUES = 6e8  # of σ in one kernel
CHUNK = 1 << 22  # numbers at a time
# hλ of the linear flow's rk4 steps, and the most of them: beyond, it has nothing left to say.
STEP, MOST_STEPS = 1.0, 4096


class Lazy:
    """The exact kernel at each number of depth steps, and runs' distances from it."""

    def __init__(self, problem: Problem, law: Law | DepthLaw, s: Array) -> None:
        self._problem, self._law, self._s = problem, law, s
        self._x = problem.start()
        self._exact: dict[int, Array | None] = {}

    def error(self, rho: ParticleMeasure) -> Array | None:
        """What this ρ_0 makes of the outputs, less what the law makes of them; or None."""
        exact = self._of_law(rho.depth)
        if exact is None:
            return None
        return self._outputs(self._of_sample(rho)) - exact

    def _of_law(self, depth: Depth) -> Array | None:
        key = 0 if isinstance(self._law, Law) else depth.steps
        if key not in self._exact:
            self._exact[key] = self._solve(depth)
        return self._exact[key]

    def _solve(self, depth: Depth) -> Array | None:
        """Outputs (n, N, k) of the law's kernel; None where it is not known well enough."""
        pairs = [(float(o), at_depth(self._law, float(t))) for o, t in
                 zip(depth.weights, depth.nodes, strict=True)]  # fmt: skip
        if isinstance(self._law, Law):
            pairs = [(1.0, self._law)]
        if not all(self._knows(law) for _, law in pairs):
            return None
        rough: Array | float = np.inf
        for nodes in NODES:
            if len(pairs) * (len(self._x) * nodes) ** 2 > MOST_VALUES:
                break
            kernel = np.asarray(sum(o * self._kernel(law, nodes) for o, law in pairs))
            fine = self._outputs(kernel)
            if np.abs(fine - rough).max() <= CLOSE * np.abs(fine).max():
                return fine
            rough = fine
        return None

    def _knows(self, law: Law) -> bool:
        """u = 0, and the other coordinates Gaussian or fixed, all independent."""
        d = self._problem.block.dim
        if isinstance(law, Coupled):
            return False
        silent = all(not m.random and m.mean == 0.0 for m in law.marginals[:d])
        return silent and all(m.smooth or not m.random for m in law.marginals[d:])

    def _kernel(self, law: Law, nodes: int) -> Array:
        """∫ σ_i σ_j dρ_t, (N, N)."""
        block, x = self._problem.block, self._x
        assert isinstance(block, SHL)
        d, ones = block.dim, np.ones((len(x), 1 if block.bias else 0))
        features, std = np.concatenate([x, ones], axis=1), law.std[d:]
        mean, root = features @ law.mean[d:], features * std
        covariance = root @ root.T
        out = np.empty_like(covariance)
        g = np.linspace(-REACH, REACH, nodes)
        a = np.exp(-0.5 * g * g)
        a /= a.sum()
        deviation = np.sqrt(np.diag(covariance))
        safe = np.maximum(deviation, np.finfo(float).tiny)
        for i in range(len(x)):
            own = block.activation(mean[i] + deviation[i] * g)  # (q,)
            slope = covariance[i] / safe[i]
            rest = np.sqrt(np.maximum(deviation**2 - slope**2, 0.0))
            for part in np.array_split(np.arange(i, len(x)), 1 + len(x) * nodes**2 // CHUNK):
                z = mean[part, None, None] + slope[part, None, None] * g[:, None]
                inner = block.activation(z + rest[part, None, None] * g) @ a
                out[i, part] = out[part, i] = inner @ (a * own)
        return out

    def _of_sample(self, rho: ParticleMeasure) -> Array:
        block, x = self._problem.block, self._x
        assert isinstance(block, SHL)
        out = np.zeros((len(x), len(x)))
        size = max(1, CHUNK // len(x))
        for share, theta, weights in zip(rho.depth.weights, rho.theta, rho.weights, strict=True):
            for at in range(0, len(theta), size):
                _, w, b = block.split(theta[at : at + size])
                sigma = block.activation(w @ x.T + b[:, None])
                out += float(share) * (sigma.T * weights[at : at + size]) @ sigma
        return out

    def _outputs(self, kernel: Array) -> Array:
        """Z at the times s by rk4, (n, N, k)."""
        problem, n = self._problem, len(self._x)
        readout = problem.readout
        rates = 1.0 if problem.rates is None else problem.rates[: readout.shape[1]]
        metric = (readout * rates) @ readout.T

        def slope(z: Array) -> Array:
            return -(kernel @ problem.loss_gradient(z)) @ metric / n

        z = self._x @ readout.T
        hessian = problem.loss_hessian(z)
        steep = 1.0 if hessian is None else float(np.abs(hessian).sum(axis=2).max())
        rate = steep * np.linalg.norm(kernel, 2) * np.linalg.norm(metric, 2) / n
        found = [z]
        for begin, end in zip(self._s, self._s[1:], strict=False):
            count = int(np.clip(np.ceil((end - begin) * rate / STEP), 1, MOST_STEPS / len(self._s)))
            for _ in range(count):
                z = _rk4(slope, z, (end - begin) / count)
            found.append(z)
        return np.array(found)


def _rk4(slope: Callable[[Array], Array], z: Array, h: float) -> Array:
    first = slope(z)
    second = slope(z + 0.5 * h * first)
    third = slope(z + 0.5 * h * second)
    fourth = slope(z + h * third)
    out: Array = z + h / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
    return out


def of(problem: Problem, law: Law | DepthLaw, s: Array) -> Lazy | None:
    """The control variate for a problem; None for blocks that it is not made for."""
    return Lazy(problem, law, s) if isinstance(problem.block, SHL) else None
