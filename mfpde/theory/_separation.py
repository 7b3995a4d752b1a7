"""Does the support of a start separate the spheres, or the two ends of a cylinder?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.laws.coupled import CorrelatedLaw, EmpiricalLaw, GroupsLaw, MixtureLaw
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

    Where coordinates are independent the support is a box, and the answer is exact: it separates
    spheres iff 0 is inside it, the ends of the cylinder iff it is all of R^{p−1} in θ². Of laws
    whose coordinates hang together, boxes in the support prove True, a box around it False;
    between the two nothing is said. A law that depends on t is tried at 17 depths: True is a proof.
    Finitely many particles never separate (p > 1): they get False when at no depth 0 is inside
    their convex hull (spheres) or θ² spans R^{p−1} (cylinder), else None, and ``gap`` says how
    densely they surround 0.

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
        boxes, (low, high) = supports(law, problem.block.size)
        spheres.append(_sided([_around_zero(*one) for one in boxes], _around_zero(low, high)))
        cylinders.append(
            _sided([_spanned(*one, outer) for one in boxes], _spanned(low, high, outer))
        )
    sphere = _decided(spheres, known.two, every)
    cylinder = _decided(cylinders, bool(outer), every)
    found = [t for t, a, b in zip(laws, spheres, cylinders, strict=True) if a or b]
    reason = "by boxes in and around the support" if every else f"{DEPTHS} depths were tried"
    t, names = found[0] if found else 0.0, _names(problem, outer)
    return Separation(sphere, cylinder, t, 0.0, known, names, reason)


def _around_zero(low: Array, high: Array) -> bool:
    return bool(np.all((low < 0.0) & (high > 0.0)))


def _spanned(low: Array, high: Array, outer: list[int]) -> bool:
    full = np.isinf(low) & np.isinf(high)
    return any(bool(np.delete(full, c).all()) for c in outer)


def _sided(inside: list[bool], around: bool) -> bool | None:
    """True where a box in the support has it, False where a box around it has not."""
    return True if any(inside) else (None if around else False)


def _decided(found: list[bool | None], fits: bool, every: bool) -> bool | None:
    if not fits:
        return None
    if any(found):
        return True
    return None if None in found or not every else False


Box = tuple[Array, Array]


def supports(law: Law, size: int) -> tuple[list[Box], Box]:
    """Boxes within the support of a law on R^p, and the smallest box around it: ends (p,), (p,)."""
    if law.dim != size:
        raise TypeError(f"law must be on R^{size}, the block's parameters; given R^{law.dim}")
    return _boxes(law)


def _boxes(law: Law) -> tuple[list[Box], Box]:
    if isinstance(law, MixtureLaw):
        parts = [_boxes(part) for share, part in law.parts if share > 0.0]
        ends = np.array([around for _, around in parts])
        return [box for boxes, _ in parts for box in boxes], (ends[:, 0].min(0), ends[:, 1].max(0))
    if isinstance(law, GroupsLaw):
        groups = [_boxes(part) for part, _ in law.groups]
        inside = [_product(choice) for choice in product(*(boxes for boxes, _ in groups))]
        return inside, _product([around for _, around in groups])
    if isinstance(law, EmpiricalLaw):
        points = law.points[0][law.points[1] > 0.0]
        return [(one, one) for one in points], (points.min(axis=0), points.max(axis=0))
    if isinstance(law, CorrelatedLaw):
        wide = np.where(law.std > 0.0, np.inf, 0.0)
        box = law.mean - wide, law.mean + wide
        return [box] if np.all(law.conditional_std[law.std > 0.0] > 0.0) else [], box
    low, high = np.array([m.ppf(np.array([0.0, 1.0])) for m in law.marginals]).T
    return [(low, high)], (low, high)


def _product(boxes: Sequence[Box]) -> Box:
    low, high = (np.concatenate([box[end] for box in boxes]) for end in (0, 1))
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
