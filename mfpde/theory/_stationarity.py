"""Is there a first-order descent direction anywhere? The stationarity residual over (t, θ)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.evaluate import layers, terminal_cotangent
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import propagate
from mfpde.problem import Problem

Array = NDArray[np.float64]


class Potential:
    """V(t_k, ·) of one ρ: both passes are done once, then V is evaluated anywhere."""

    def __init__(self, problem: Problem, rho: ParticleMeasure) -> None:
        stack = layers(problem, rho)
        passed = propagate.forward(stack, problem.start())
        back = propagate.adjoint(stack, passed, terminal_cotangent(problem, passed.end))
        self._block, self._penalty = problem.block, problem.penalty
        self._reads: list[list[tuple[Array, Array]]] = [[] for _ in range(rho.levels)]
        for (step, i), k in np.ndenumerate(rho.depth.stage_nodes):
            scaled = back.cotangents[step, i] / rho.depth.weights[k]
            self._reads[k].append((passed.stages[step, i], scaled))

    def value(self, node: int, theta: Array) -> Array:
        """V(t_k, θ) at points (n, p), shape (n,)."""
        out = self._penalty.value(theta)
        for states, q in self._reads[node]:
            out = out + self._block.potential(states, theta, q)
        return np.asarray(out)

    def gradient(self, node: int, theta: Array) -> Array:
        """∇_θ V(t_k, θ) at points (n, p), shape (n, p)."""
        out = self._penalty.gradient(theta)
        for states, q in self._reads[node]:
            out = out + self._block.gradient(states, theta, q)
        return np.asarray(out)


@dataclass(frozen=True)
class Stationarity:
    """sup over (t, θ) of ∫V dρ_t − V(t, θ), attained at depth node ``node`` (``t``) and ``theta``.

    ``per_depth`` (K,) and ``minimisers`` (K, p) hold the same at each node. Moving a mass ε at
    node k to its minimiser changes E by −ε ω_k per_depth_k + O(ε²).
    """

    value: float
    node: int
    t: float
    theta: Array
    per_depth: Array
    minimisers: Array


@checks.typed
def stationarity(
    problem: Problem,
    rho: ParticleMeasure,
    box: ArrayLike | None = None,
    *,
    samples: int = 512,
    starts: int = 4,
    seed: int = 0,
) -> Stationarity:
    """The stationarity residual sup_{t, θ ∈ box} (∫V dρ_t − V(t, θ)) >= 0, by multistart.

    V(t, ·) is evaluated at ``samples`` Sobol points of ``box`` and at the particles inside it,
    and minimised from the best ``starts`` of them by L-BFGS-B: a lower bound of the supremum that
    is exact when the global minimum is found. It is zero iff E has no first-order descent
    direction ρ → (1−ε)ρ + εδ_(t,θ) with θ in the box; V grows linearly in u for SHL blocks, so
    that a positive value scales with the box while zero does not. ``box`` is (p, 2), rows
    (low, high), or one pair for all coordinates; by default it is symmetric and holds every
    particle twice over (at least [−2, 2]).

    Raises ValueError for a box of another shape or with low >= high.
    Source: Lu et al. 2020 (Theorem on local minimisers: E > 0 implies inf V < ∫V dρ_t).
    """
    from scipy.stats import qmc

    limits = _box(rho, box)
    cube = qmc.Sobol(rho.dim, rng=np.random.default_rng(seed)).random_base2(
        int(np.ceil(np.log2(checks.count("samples", samples))))
    )
    points = limits[:, 0] + cube * (limits[:, 1] - limits[:, 0])
    potential = Potential(problem, rho)
    found = [
        _minimise(potential, k, np.concatenate([points, _inside(rho, k, limits)]), limits, starts)
        for k in range(rho.levels)
    ]
    means = [float(rho.weights[k] @ potential.value(k, rho.theta[k])) for k in range(rho.levels)]
    per_depth = np.array(means) - np.array([value for value, _ in found])
    minimisers = np.array([theta for _, theta in found])
    best = int(per_depth.argmax())
    return Stationarity(
        value=float(per_depth[best]),
        node=best,
        t=float(rho.depth.nodes[best]),
        theta=minimisers[best],
        per_depth=per_depth,
        minimisers=minimisers,
    )


def _minimise(
    potential: Potential, node: int, points: Array, limits: Array, starts: int
) -> tuple[float, Array]:
    from scipy.optimize import minimize

    values = potential.value(node, points)
    best = int(values.argmin())
    value, theta = float(values[best]), points[best]
    for start in points[np.argsort(values)[:starts]]:
        result = minimize(
            lambda z: float(potential.value(node, z[None])[0]),
            start,
            jac=lambda z: potential.gradient(node, z[None])[0],
            method="L-BFGS-B",
            bounds=limits,
        )
        if result.fun < value:
            value, theta = float(result.fun), result.x
    return value, theta


def _inside(rho: ParticleMeasure, node: int, limits: Array) -> Array:
    theta = rho.theta[node].astype(np.float64)
    return theta[np.all((theta >= limits[:, 0]) & (theta <= limits[:, 1]), axis=1)]


def _box(rho: ParticleMeasure, box: ArrayLike | None) -> Array:
    if box is None:
        half = 2.0 * np.maximum(np.abs(rho.theta).max(axis=(0, 1)), 1.0)
        return np.stack([-half, half], axis=1).astype(np.float64)
    limits = np.asarray(box, dtype=np.float64)
    if limits.ndim == 1:
        limits = np.tile(limits, (rho.dim, 1))
    limits = checks.array("box", limits, (rho.dim, 2))
    if np.any(limits[:, 0] >= limits[:, 1]):
        raise ValueError(f"box must have low < high in every coordinate; given {box!r}")
    return limits
