"""In which of its coordinates a block is homogeneous, and of which degree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks import Block

Array = NDArray[np.float64]
Group = tuple[str, ...]

FACTORS = (2.0, 0.5, 3.0)  # the first one finds the degree
MOST_LETTERS = 6  # beyond, single letters and all of them only
ROUNDING = 1e-9


@dataclass(frozen=True)
class Homogeneity:
    """Degrees q of f(x, θ′) = λ^q f(x, θ), θ′ = θ with the coordinates of a group times λ > 0.

    ``degrees`` maps groups, letters of coordinates as ("w", "b"), to q; a group that is missing is
    one in which f is not homogeneous. ``odd`` holds the groups for which f changes sign with them,
    ``even`` those for which it does not see their sign. ``letters`` are all of them.
    """

    letters: Group
    degrees: dict[Group, float]
    odd: frozenset[Group]
    even: frozenset[Group]

    @property
    def whole(self) -> float | None:
        """The degree in all of θ; None where f is not homogeneous in it."""
        return self.degrees.get(self.letters)

    @property
    def two(self) -> bool:
        """f(x, λθ) = λ² f(x, θ) for λ > 0."""
        return self.whole == 2.0

    @property
    def linear(self) -> tuple[Group, ...]:
        """Single letters in which f is linear along rays, λ < 0 included."""
        singles = [(letter,) for letter in self.letters]
        return tuple(g for g in singles if self.degrees.get(g) == 1.0 and g in self.odd)


def letters(block: Block) -> dict[str, list[int]]:
    """Places of the coordinates of each letter: "u0", "u1", "b" are of u, u and b."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(block.coordinates):
        found.setdefault(re.sub(r"\d+$", "", name) or name, []).append(place)
    return found


@checks.typed
def homogeneity(block: Block, *, seed: int = 0) -> Homogeneity:
    """Degrees of a block by groups of coordinates, tested by scaling.

        f(x, θ with θ_G multiplied by λ) = λ^q f(x, θ)

    at 8 states, 32 parameters (standard Gaussian) and λ = 2, ½, 3, to a relative 1e−9; λ = −1
    tells odd from even. A group that fails is not homogeneous; one that passes is so at the
    points tried. Source: Ding et al. 2022, Assumptions 6.1 and 6.2 (2-homogeneous, partially
    1-homogeneous blocks).
    """
    rng = np.random.default_rng(checks.seed("seed", seed))
    x, theta = rng.standard_normal((8, block.dim)), rng.standard_normal((32, block.size))
    places = letters(block)
    degrees, odd, even = {}, set(), set()
    base = block.value(x, theta)
    for group in _groups(tuple(places)):
        columns = [k for letter in group for k in places[letter]]
        degree = _degree(block, x, theta, columns, base)
        if degree is None:
            continue
        degrees[group] = degree
        mirrored = block.value(x, _scaled(theta, columns, -1.0))
        if _same(mirrored, -base):
            odd.add(group)
        if _same(mirrored, base):
            even.add(group)
    return Homogeneity(tuple(places), degrees, frozenset(odd), frozenset(even))


def _groups(names: Group) -> Iterator[Group]:
    sizes = range(1, len(names) + 1) if len(names) <= MOST_LETTERS else (1, len(names))
    for size in sizes:
        yield from combinations(names, size)


def _degree(block: Block, x: Array, theta: Array, columns: list[int], base: Array) -> float | None:
    """The common degree of all values, or None."""
    degree = None
    for factor in FACTORS:
        values = block.value(x, _scaled(theta, columns, factor))
        if degree is None:
            degree = _exponent(base, values, factor)
        if degree is None or not _same(values, factor**degree * base):
            return None
    return degree


def _exponent(base: Array, values: Array, factor: float) -> float | None:
    at = np.unravel_index(np.abs(base).argmax(), base.shape)
    if not base[at] * values[at] > 0.0:
        return None
    found = float(np.log(values[at] / base[at]) / np.log(factor))
    nearest = round(2.0 * found) / 2.0
    return nearest if abs(found - nearest) < ROUNDING else found


def _scaled(theta: Array, columns: list[int], factor: float) -> Array:
    out = theta.copy()
    out[:, columns] *= factor
    return out


def _same(given: Array, expected: Array) -> bool:
    return bool(np.abs(given - expected).max() <= ROUNDING * np.abs(expected).max(initial=0.0))
