"""How finely a run resolves width, depth and training time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

# Steps of rk4 in depth: neighbours in this list are coprime, so that what one size aliases the
# next ones see, and each size has the same ratio to those that its error is judged by.
DEPTH_STEPS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233)

# Nodes in one coordinate; both parities, for rules whose error depends on it.
ORDERS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 64)

# Tensor rules of more pieces than this are shown by their number of particles.
MANY_PIECES = 4

# A bias like 1/M is read from sets of so many times fewer points, as few as leave enough of them.
COARSER, ENOUGH = (16, 4), 64
# Sets in a hurry are checked by ones of so many times fewer points, but not fewer than that.
CHECK, FEWEST = 16, 16

# The most particles of one depth node, all scrambles together.
MOST_PARTICLES = 131072


@dataclass(frozen=True)
class Tensor:
    """Tensor rules, ``orders[i]`` nodes of ``rules[i]`` in coordinate i, one for each piece.

    ``pieces`` says of each piece of the law how many sheets and how many coordinates it has;
    coordinates are numbered piece after piece.
    """

    orders: tuple[int, ...]
    rules: tuple[str, ...]
    pieces: tuple[tuple[int, int], ...]

    @property
    def grids(self) -> list[tuple[int, tuple[int, ...]]]:
        """Of each piece, its sheets and the orders of its coordinates."""
        ends = np.cumsum([0, *(coordinates for _, coordinates in self.pieces)])
        return [
            (sheets, self.orders[a:b])
            for (sheets, _), a, b in zip(self.pieces, ends, ends[1:], strict=False)
        ]

    @property
    def total(self) -> int:
        return sum(sheets * int(np.prod(orders)) for sheets, orders in self.grids)

    def with_line(self, i: int, order: int, rule: str) -> Tensor:
        """The same rule with another one in coordinate i."""
        orders, rules = list(self.orders), list(self.rules)
        orders[i], rules[i] = order, rule
        return replace(self, orders=tuple(orders), rules=tuple(rules))

    def __str__(self) -> str:
        if len(self.pieces) > MANY_PIECES:
            return str(self.total)
        texts = []
        for sheets, orders in self.grids:
            factors = [n for n in (sheets, *orders) if n > 1]
            texts.append(" x ".join(map(str, factors)) or "1")
        return " + ".join(texts)


@dataclass(frozen=True)
class Scramble:
    """One of the scrambled Sobol sets of ``count`` points; ``tied``: one set for all depths."""

    count: int
    number: int
    tied: bool = False

    @property
    def total(self) -> int:
        return self.count


@dataclass(frozen=True)
class Scrambles:
    """``scrambles`` independent sets of ``count`` Sobol points, whose results are averaged.

    ``hurry``: the steps of Heun's method that these sets take through training time, a set of
    ``check`` points beside each showing what that costs; 0: they are run in full.
    """

    count: int
    scrambles: int
    hurry: int = 0

    @property
    def total(self) -> int:
        return self.count * self.scrambles

    @property
    def check(self) -> int:
        return max(self.count // CHECK, FEWEST)

    def coarser(self) -> Scrambles:
        """The same of fewer points, whose bias is larger."""
        most, least = COARSER
        fold = most if self.count >= most * ENOUGH else least
        return replace(self, count=max(self.count // fold, 1))

    def specs(self, number: int, depth_steps: int, rtol: float) -> list[tuple[float, Spec]]:
        """The runs of one scramble, and their signs."""
        main = Spec(Scramble(self.count, number), depth_steps, rtol, self.hurry)
        if not self.hurry:
            return [(1.0, main)]
        small = Spec(Scramble(self.check, number), depth_steps, rtol)
        return [(1.0, main), (1.0, small), (-1.0, small._replace(hurry=self.hurry))]

    def all_specs(self, depth_steps: int, rtol: float) -> list[Spec]:
        """The runs of all scrambles."""
        each = (self.specs(number, depth_steps, rtol) for number in range(self.scrambles))
        return [spec for terms in each for _, spec in terms]

    def __str__(self) -> str:
        return f"{self.scrambles} scrambles of {self.count}"


Points = Tensor | Scramble


class Spec(NamedTuple):
    """One run: its particles, rk4 steps in depth, rtol in training time, or steps of a hurry."""

    points: Points
    depth_steps: int
    rtol: float
    hurry: int = 0

    @property
    def fresh(self) -> bool:
        """Whether its points are those of a scramble, fresh at every depth."""
        return isinstance(self.points, Scramble) and not self.points.tied


class Sizes(NamedTuple):
    """The discretisation of a result: particles, rk4 steps in depth and rtol in training time."""

    points: Tensor | Scrambles
    depth_steps: int
    rtol: float

    @property
    def particles(self) -> int:
        """Particles of one depth node, all scrambles together."""
        return self.points.total

    @property
    def rule(self) -> str:
        return "tensor" if isinstance(self.points, Tensor) else "sobol"


# Sets for a first look, whose spread shows how far a hurry may go.
TRIAL = Scrambles(64, 8)
