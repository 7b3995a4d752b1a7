"""The flow of u alone, whose limit is known: a control variate for laws with u = 0.

From u = 0 nothing moves the hidden states X_i = A x_i at first, and u follows the linear flow

    dZ/ds = −(1/N) K ∂ℓ(Z) B η_u Bᵀ,   K_ij = ∫∫ σ(w·X_i + b) σ(w·X_j + b) dρ dt,

outputs Z; those of other data are Z = B A x + K(x, X) Q with Q = −(1/N) ∫ ∂ℓ(Z) B η_u Bᵀ ds. For
Gaussian (w, b), K is an integral over two Gaussian numbers, which is as good as exact; a run's own
K is off by what its points are. Both through this flow tell most of the run's error, without a
run. How much of it is to be subtracted is read from other runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.blocks import SHL
from mfpde.depth import Depth
from mfpde.laws import Coupled, DepthLaw, Gaussian, Law, at_depth
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


@dataclass(frozen=True)
class Alone:
    """What the flow of u alone makes of a run's points, less what it makes of the law.

    ``error`` (n, N, k) of the data and ``others`` (n, n', k) of what is watched. For points that
    come later ``features`` (K, M, q), the run's w and b at the start, and ``pulls`` (N, k), Q at
    the last time.
    """

    error: Array
    others: Mapping[str, Array]
    features: NDArray[Any]
    pulls: Array

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a file."""
        others = {f"others/{name}": value for name, value in self.others.items()}
        return {"error": self.error, "features": self.features, "pulls": self.pulls, **others}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Alone | None:
        """From these; None where there are none."""
        if "error" not in arrays:
            return None
        others = {n.removeprefix("others/"): a for n, a in arrays.items() if "/" in n}
        return cls(arrays["error"], others, arrays["features"], arrays["pulls"])


class Lazy:
    """The flow of u alone from a law, and from the points of runs."""

    def __init__(
        self,
        problem: Problem,
        law: Law | DepthLaw,
        s: Array,
        others: Mapping[str, Array] | None = None,
    ) -> None:
        self._problem, self._law, self._s = problem, law, s
        self._x = problem.start()
        self._others = {name: problem.start(x) for name, x in (others or {}).items()}
        self._exact: dict[int, tuple[int, Array] | None] = {}
        self._known: dict[tuple[int, str], Array] = {}

    def alone(self, rho: ParticleMeasure) -> Alone | None:
        """Of this ρ_0; None where that of the law is not known."""
        exact = self._of_law(rho.depth)
        if exact is None:
            return None
        features = rho.theta[:, :, self._problem.block.dim :]
        pulls = self._pulls(self._of_sample(rho, features, self._x))
        found = {
            name: self._outputs(x, self._of_sample(rho, features, x), pulls)
            - self._law_at(rho.depth, name, x)
            for name, x in {"": self._x, **self._others}.items()
        }
        return Alone(found.pop(""), found, features.astype(np.float32), pulls[-1])

    def at(self, depth: Depth, x: Array) -> Array:
        """Outputs of the law's flow at the last time for new data, (n', k)."""
        exact, start = self._of_law(depth), self._problem.start(x)
        assert exact is not None
        return self._outputs(start, self._law_kernel(depth, start, exact[0]), exact[1][-1])

    def of_run(self, rho: ParticleMeasure, alone: Alone, x: Array) -> Array:
        """The same of the flow from a run's points; ``rho`` has its depth and weights."""
        start, features = self._problem.start(x), alone.features.astype(float)
        return self._outputs(start, self._of_sample(rho, features, start), alone.pulls)

    def table(self, depth: Depth) -> dict[str, Array]:
        """Means and standard deviations of the law, (1, p) or (K, p): all that is asked of it."""
        found = [law for _, law in self._slices(depth)]
        return {
            "mean": np.array([law.mean for law in found]),
            "std": np.array([law.std for law in found]),
        }

    # -- the law ----------------------------------------------------------------------------------

    def _of_law(self, depth: Depth) -> tuple[int, Array] | None:
        """Nodes that its kernel needs, and its Q (n, N, k); None where it is not known."""
        key = self._key(depth)
        if key not in self._exact:
            self._exact[key] = self._solve(depth)
        return self._exact[key]

    def _key(self, depth: Depth) -> int:
        return 0 if isinstance(self._law, Law) else depth.steps

    def _slices(self, depth: Depth) -> list[tuple[float, Law]]:
        """Shares of the depth and the laws there."""
        if isinstance(self._law, Law):
            return [(1.0, self._law)]
        pairs = zip(depth.weights, depth.nodes, strict=True)
        return [(float(o), at_depth(self._law, float(t))) for o, t in pairs]

    def _solve(self, depth: Depth) -> tuple[int, Array] | None:
        slices = self._slices(depth)
        if not all(self._knows(law) for _, law in slices):
            return None
        rough: Array | float = np.inf
        for nodes in NODES:
            if len(slices) * (len(self._x) * nodes) ** 2 > MOST_VALUES:
                break
            kernel = self._law_kernel(depth, self._x, nodes)
            pulls = self._pulls(kernel)
            fine = self._outputs(self._x, kernel, pulls)
            if np.abs(fine - rough).max() <= CLOSE * np.abs(fine).max():
                return nodes, pulls
            rough = fine
        return None

    def _law_at(self, depth: Depth, name: str, x: Array) -> Array:
        """Outputs (n, n', k) of the law's flow for data that come with every run."""
        key = self._key(depth), name
        exact = self._of_law(depth)
        assert exact is not None
        if key not in self._known:
            nodes, pulls = exact
            self._known[key] = self._outputs(x, self._law_kernel(depth, x, nodes), pulls)
        return self._known[key]

    def _knows(self, law: Law) -> bool:
        """u = 0, and the other coordinates Gaussian or fixed, all independent."""
        d = self._problem.block.dim
        if isinstance(law, Coupled):
            return False
        silent = all(not m.random and m.mean == 0.0 for m in law.marginals[:d])
        return silent and all(m.smooth or not m.random for m in law.marginals[d:])

    def _law_kernel(self, depth: Depth, x: Array, nodes: int) -> Array:
        slices = self._slices(depth)
        return np.asarray(sum(o * self._kernel(law, x, nodes) for o, law in slices))

    def _kernel(self, law: Law, x: Array, nodes: int) -> Array:
        """∫ σ(w·x_i + b) σ(w·X_j + b) dρ_t, (n', N)."""
        d = self._problem.block.dim
        left, right = self._with_bias(x), self._with_bias(self._x)
        std, mean = law.std[d:], law.mean[d:]
        covariance = (left * std**2) @ right.T
        variances = np.square(right * std).sum(axis=1)
        out = np.empty_like(covariance)
        for i, one in enumerate(left):
            start = i if x is self._x else 0  # symmetric
            middle, deviation = one @ mean, float(np.linalg.norm(one * std))
            slope = covariance[i, start:] / max(deviation, np.finfo(float).tiny)
            rest = np.sqrt(np.maximum(variances[start:] - slope**2, 0.0))
            lines = np.stack([right[start:] @ mean, slope, rest])
            out[i, start:] = self._gaussian(middle, deviation, lines, nodes)
            if x is self._x:
                out[i:, i] = out[i, i:]
        return out

    def _gaussian(self, middle: float, deviation: float, lines: Array, nodes: int) -> Array:
        """E[σ(middle + deviation g) σ(mean + slope g + rest h)] for the columns of ``lines``."""
        sigma = self._sigma
        g = np.linspace(-REACH, REACH, nodes)
        a = np.exp(-0.5 * g * g)
        a /= a.sum()
        own, found = a * sigma(middle + deviation * g), []
        for mean, slope, rest in np.array_split(
            lines[:, :, None, None], 1 + lines.shape[1] * nodes**2 // CHUNK, axis=1
        ):
            found.append((sigma(mean + slope * g[:, None] + rest * g) @ a) @ own)
        return np.concatenate(found)

    # -- samples ----------------------------------------------------------------------------------

    def _of_sample(self, rho: ParticleMeasure, features: Array, x: Array) -> Array:
        """The kernel (n', N) of points whose w and b are ``features`` (K, M, q)."""
        left, right = self._with_bias(x), self._with_bias(self._x)
        out = np.zeros((len(left), len(right)))
        size = max(1, CHUNK // max(len(left), len(right)))
        for share, points, weights in zip(rho.depth.weights, features, rho.weights, strict=True):
            for at in range(0, len(points), size):
                some = slice(at, at + size)
                sigma = self._sigma(points[some] @ right.T)
                other = sigma if x is self._x else self._sigma(points[some] @ left.T)
                out += float(share) * (other.T * weights[some]) @ sigma
        return out

    # -- the flow ---------------------------------------------------------------------------------

    @property
    def _sigma(self) -> Any:
        assert isinstance(self._problem.block, SHL)
        return self._problem.block.activation

    def _with_bias(self, x: Array) -> Array:
        assert isinstance(self._problem.block, SHL)
        return np.hstack([x, np.ones((len(x), 1 if self._problem.block.bias else 0))])

    def _outputs(self, x: Array, kernel: Array, pulls: Array) -> Array:
        """B A x + K Q, (..., n', k)."""
        out: Array = x @ self._problem.readout.T + kernel @ pulls
        return out

    def _pulls(self, kernel: Array) -> Array:
        """Q at the times s by rk4, (n, N, k)."""
        problem, n = self._problem, len(self._x)
        readout = problem.readout
        rates = 1.0 if problem.rates is None else problem.rates[: readout.shape[1]]
        metric = (readout * rates) @ readout.T
        start = self._x @ readout.T

        def slope(q: Array) -> Array:
            return -problem.loss_gradient(start + kernel @ q) @ metric / n

        hessian = problem.loss_hessian(start)
        steep = 1.0 if hessian is None else float(np.abs(hessian).sum(axis=2).max())
        rate = steep * np.linalg.norm(kernel, 2) * np.linalg.norm(metric, 2) / n
        q = np.zeros_like(start)
        found = [q]
        for begin, end in zip(self._s, self._s[1:], strict=False):
            count = int(np.clip(np.ceil((end - begin) * rate / STEP), 1, MOST_STEPS / len(self._s)))
            for _ in range(count):
                q = _rk4(slope, q, (end - begin) / count)
            found.append(q)
        return np.array(found)


def _rk4(slope: Any, q: Array, h: float) -> Array:
    first = slope(q)
    second = slope(q + 0.5 * h * first)
    third = slope(q + 0.5 * h * second)
    fourth = slope(q + h * third)
    out: Array = q + h / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
    return out


def of(
    problem: Problem, law: Law | DepthLaw, s: Array, others: Mapping[str, Array] | None = None
) -> Lazy | None:
    """The control variate for a problem; None for blocks that it is not made for.

    Kinks are not for trapezoidal rules: of relu the kernel would be off by up to CLOSE, which no
    spread over scrambles shows.
    """
    known = isinstance(problem.block, SHL) and problem.block.smooth
    return Lazy(problem, law, s, others) if known else None


def of_table(problem: Problem, s: Array, depth: Depth, table: Mapping[str, Array]) -> Lazy:
    """The same from ``Lazy.table``, at this depth."""
    found = [Gaussian(std, mean) for std, mean in zip(table["std"], table["mean"], strict=True)]
    if len(found) == 1:
        return Lazy(problem, found[0], s)
    nodes = depth.nodes
    return Lazy(problem, lambda t: found[int(np.abs(nodes - t).argmin())], s)
