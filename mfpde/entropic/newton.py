"""Newton–Krylov: A δ = R by conjugate gradients in ⟨·,·⟩, then a line search on J.

A is the identity but for the few directions that the hidden paths see, so that a handful of
products suffice; each is a difference of V, one pass forward and back. Where the data term is not
convex, A may be indefinite: a direction without positive curvature, which lowers J the longer it
is, is then followed to the end of a region |δ| <= radius that adapts to what the line search
accepts. Quadratic near a stationary point.
Source: Steihaug 1983, in the metric of the covariances; Nocedal, Yuan 1998 (backtracking).
"""

from __future__ import annotations

import numpy as np

from mfpde.entropic import search
from mfpde.entropic.free_energy import Array, Point

LOOSEST = 0.03  # relative tolerance of the inner iteration far from the solution
TIGHTEST = 1e-4  # a difference quotient does not carry more
PRODUCTS = 60
GROWTH = 4.0  # of the radius where a step that ended at it was accepted


class Newton:
    """Remembers the radius; at first |R|, which no step exceeds where the data term is convex."""

    def __init__(self) -> None:
        self._radius = 0.0

    def advance(self, point: Point) -> Point | None:
        self._radius = self._radius or norm(point, point.residual)
        step, cut = direction(point, self._radius)
        found, length = search.along(point, step)
        if length < 1.0:
            self._radius = length * norm(point, step)
        elif cut:
            self._radius *= GROWTH
        return found


def direction(point: Point, radius: float) -> tuple[Array, bool]:
    """δ with |A δ − R| <= η |R|, or where its path leaves the region, and whether it does."""
    found, rest = np.zeros_like(point.logs), point.residual
    size = point.inner(rest, rest)
    tolerance = np.clip(0.1 * np.sqrt(point.distance), TIGHTEST, LOOSEST) ** 2 * size
    along = rest
    for _ in range(PRODUCTS):
        if size <= tolerance:
            break
        image = point.curvature(along)
        curved = point.inner(along, image)
        length = size / curved if curved > 0.0 else np.inf
        most = _to_boundary(point, found, along, radius)
        if length > most:
            return found + most * along, True
        found, rest = found + length * along, rest - length * image
        before, size = size, point.inner(rest, rest)
        along = rest + (size / before) * along
    return found, False


def norm(point: Point, a: Array) -> float:
    """The root mean square of a over ρ."""
    return float(np.sqrt(point.inner(a, a)))


def _to_boundary(point: Point, found: Array, along: Array, radius: float) -> float:
    """The largest c with |found + c·along| <= radius."""
    a, b = point.inner(along, along), point.inner(found, along)
    room = (1.0 + 1e-6) * radius**2 - point.inner(found, found)
    return (np.sqrt(max(b * b + a * room, 0.0)) - b) / a
