"""Is there a first-order descent direction anywhere? The stationarity residual over (t, θ)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.measures import Measure
from mfpde.measures.grid import GridMeasure
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.theory._measures import conditional

Array = NDArray[np.float64]


class Potential:
    """V(t_k, ·) of one ρ: both passes are done once, then V is evaluated anywhere."""

    def __init__(self, problem: Problem, rho: Measure) -> None:
        self.carried = conditional(problem, rho, "stationarity")
        self._penalty = problem.penalty

    def value(self, node: int, theta: Array) -> Array:
        """V(t_k, θ) at points (n, p), shape (n,)."""
        return self.carried.potential_at(node, theta) + self._penalty.value(theta)

    def gradient(self, node: int, theta: Array) -> Array:
        """∇_θ V(t_k, θ) at points (n, p), shape (n, p)."""
        return self.carried.potential_slope(node, theta) + self._penalty.gradient(theta)

    def mean(self, node: int) -> float:
        """∫V dρ_t at a node."""
        points, masses = self.carried.atoms(node)
        return float(masses @ self.value(node, points))


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
    rho: Measure,
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
    particle twice over (at least [−2, 2]), or that of the outermost centres of a grid.

    Raises ValueError for a box of another shape or with low >= high, TypeError for joint measures.
    Source: Lu et al. 2020 (Theorem on local minimisers: E > 0 implies inf V < ∫V dρ_t).
    """
    from scipy.stats import qmc

    potential = Potential(problem, rho)
    law = potential.carried.operator.rho
    atoms = [potential.carried.atoms(k)[0].astype(np.float64) for k in range(law.levels)]
    limits = _box(_default_box(law, atoms), box)
    cube = qmc.Sobol(law.dim, rng=np.random.default_rng(seed)).random_base2(
        int(np.ceil(np.log2(checks.count("samples", samples))))
    )
    points = limits[:, 0] + cube * (limits[:, 1] - limits[:, 0])
    found = [
        _minimise(potential, k, np.concatenate([points, _inside(own, limits)]), limits, starts)
        for k, own in enumerate(atoms)
    ]
    means = [potential.mean(k) for k in range(law.levels)]
    per_depth = np.array(means) - np.array([value for value, _ in found])
    minimisers = np.array([theta for _, theta in found])
    best = int(per_depth.argmax())
    return Stationarity(
        value=float(per_depth[best]),
        node=best,
        t=float(law.depth.nodes[best]),
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


def _inside(theta: Array, limits: Array) -> Array:
    return theta[np.all((theta >= limits[:, 0]) & (theta <= limits[:, 1]), axis=1)]


def _default_box(rho: ParticleMeasure | GridMeasure, atoms: list[Array]) -> Array:
    """Twice the reach of the particles, or where a grid can hold mass."""
    if isinstance(rho, GridMeasure):
        return np.array([axis.centres[[0, -1]] for axis in rho.axes])
    widest = np.max([np.abs(theta).max(axis=0) for theta in atoms], axis=0)
    half = 2.0 * np.maximum(widest, 1.0)
    return np.stack([-half, half], axis=1)


def _box(default: Array, box: ArrayLike | None) -> Array:
    if box is None:
        return default
    dim = len(default)
    limits = np.asarray(box, dtype=np.float64)
    if limits.ndim == 1:
        limits = np.tile(limits, (dim, 1))
    limits = checks.array("box", limits, (dim, 2))
    if np.any(limits[:, 0] >= limits[:, 1]):
        raise ValueError(f"box must have low < high in every coordinate; given {box!r}")
    return limits
