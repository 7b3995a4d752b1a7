"""Does the support of a start separate the spheres, or the two ends of a cylinder?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.measures import Measure
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.theory._homogeneity import Homogeneity, homogeneity, letters
from mfpde.theory._measures import particles

Array = NDArray[np.float64]

DEPTHS = 17  # tried of a law that depends on t
DIRECTIONS = 4096  # in which the widest gap between particles is looked for


@dataclass(frozen=True)
class Separation:
    """Whether the start separates what the theorems on homogeneous blocks ask for, at some depth.

    ``sphere``: every path from r_a S to r_b S meets the support, for some 0 < r_a < r_b (blocks
    that are 2-homogeneous); ``cylinder``: every path from θ¹ = −r to θ¹ = r does (blocks θ¹ f̂(x,
    θ²) with θ¹ in R). True and False are proofs for laws, None: not decided, or the block is of
    another kind. ``outer`` are the coordinates that can be θ¹. ``t`` is the depth found, ``gap``
    for particles the widest angle (radians) between a direction and its nearest particle, the
    least over depths.
    """

    sphere: bool | None
    cylinder: bool | None
    t: float
    gap: float
    homogeneity: Homogeneity
    outer: tuple[str, ...]
    reason: str

    @property
    def holds(self) -> bool | None:
        """Whether a theorem about this block has its separation: proved, refuted or open."""
        asked = [self.sphere] if self.homogeneity.two else []
        asked += [self.cylinder] if self.outer else []
        if any(asked):
            return True
        return None if None in asked else False


@checks.typed
def separation(rho: Law | DepthLaw | Measure, problem: Problem) -> Separation:
    """Does the support of ρ_{0,t} separate the spheres or the cylinder, at some t?

    Laws have independent coordinates, so that the support is a box, and the answer is exact: it
    separates spheres iff 0 is inside it, the ends of the cylinder iff it is all of R^{p−1} in θ².
    A law that depends on t is tried at 17 depths: True is a proof, else nothing is said. Finitely
    many particles never separate (p > 1): they get False when at no depth 0 is inside their convex
    hull (spheres) or θ² spans R^{p−1} (cylinder), else None, and ``gap`` says how densely they
    surround 0.

    Raises TypeError for a law on another R^p or a measure that is not one of particles.
    Source: Ding et al. 2022, Theorems 6.1 and 6.2; Chizat, Bach 2018.
    """
    known = homogeneity(problem.block)
    if isinstance(rho, Law):
        return _of_laws({0.0: rho}, problem, known, every=True)
    if callable(rho):
        tried = {float(t): at_depth(rho, float(t)) for t in np.linspace(0.0, 1.0, DEPTHS)}
        return _of_laws(tried, problem, known, every=False)
    return _of_particles(particles(rho, "separation"), problem, known)


def _outer(problem: Problem, known: Homogeneity) -> list[int]:
    """Places of single coordinates θ¹ in which f = θ¹ f̂(x, θ²)."""
    places = letters(problem.block)
    return [places[g][0] for (g,) in known.linear if len(places[g]) == 1]


def _names(problem: Problem, places: list[int]) -> tuple[str, ...]:
    return tuple(problem.block.coordinates[k] for k in places)


def _of_laws(
    laws: dict[float, Law], problem: Problem, known: Homogeneity, *, every: bool
) -> Separation:
    outer, spheres, cylinders = _outer(problem, known), [], []
    for law in laws.values():
        low, high = support(law, problem.block.size)
        full = np.isinf(low) & np.isinf(high)
        spheres.append(bool(np.all((low < 0.0) & (high > 0.0))))
        cylinders.append(any(np.delete(full, c).all() for c in outer))
    sphere = _decided(spheres, known.two, every)
    cylinder = _decided(cylinders, bool(outer), every)
    found = [t for t, a, b in zip(laws, spheres, cylinders, strict=True) if (a, b) > (False, False)]
    reason = "the support is a box" if every else f"{DEPTHS} depths were tried"
    t, names = found[0] if found else 0.0, _names(problem, outer)
    return Separation(sphere, cylinder, t, 0.0, known, names, reason)


def _decided(found: list[bool], fits: bool, every: bool) -> bool | None:
    if not fits:
        return None
    return True if any(found) else (False if every else None)


def support(law: Law, size: int) -> tuple[Array, Array]:
    """Ends of the support of every coordinate, (p,) and (p,); infinite where it has none."""
    if law.dim != size:
        raise TypeError(f"law must be on R^{size}, the block's parameters; given R^{law.dim}")
    ends = [m.ppf(np.array([0.0, 1.0])) for m in law.marginals]
    low, high = np.array(ends).T
    return low, high


def _of_particles(rho: ParticleMeasure, problem: Problem, known: Homogeneity) -> Separation:
    atoms = [theta[a > 0.0] for theta, a in zip(rho.theta, rho.weights, strict=True)]
    inside = [surrounds(theta) for theta in atoms]
    outer = _outer(problem, known)
    spanned = any(_spans(np.delete(theta, c, axis=1)) for theta in atoms for c in outer)
    sphere = None if not known.two or any(inside) else False
    cylinder = None if not outer or spanned else False
    gaps = [_gap(theta) for theta in atoms]
    node = int(np.argmin(gaps))
    reason = "finitely many particles never separate: see gap"
    t, names = float(rho.depth.nodes[node]), _names(problem, outer)
    return Separation(sphere, cylinder, t, gaps[node], known, names, reason)


def surrounds(theta: Array) -> bool:
    """Whether 0 is inside the convex hull of points (M, p): no half-space holds them all."""
    from scipy.optimize import linprog

    if np.linalg.matrix_rank(theta) < theta.shape[1]:
        return False
    # n maximises the mean of <n, θ_j> >= 0: it is above 0 iff a half-space holds all points.
    scaled = theta / np.abs(theta).max()
    found = linprog(-scaled.mean(axis=0), -scaled, np.zeros(len(scaled)), bounds=(-1.0, 1.0))
    return bool(-found.fun <= 1e-9)


def _spans(theta: Array) -> bool:
    return bool(np.linalg.matrix_rank(theta - theta.mean(axis=0)) == theta.shape[1])


def _gap(theta: Array) -> float:
    """The widest angle between a direction and its nearest particle."""
    norms = np.linalg.norm(theta, axis=1)
    if not np.any(norms > 0.0):
        return float(np.pi)
    rays = theta[norms > 0.0] / norms[norms > 0.0, None]
    ways = np.random.default_rng(0).standard_normal((DIRECTIONS, theta.shape[1]))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    return float(np.arccos(np.clip((ways @ rays.T).max(axis=1).min(), -1.0, 1.0)))
