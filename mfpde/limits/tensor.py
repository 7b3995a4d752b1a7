"""Width by a tensor rule: each coordinate's rule and order from runs along that coordinate.

Runs along one coordinate keep the others at two or three nodes, so that they are cheap enough to
go beyond the order that is needed: errors are differences to a finer run, not extrapolations.
What the coordinates do to each other is seen by one run with all orders changed together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mfpde.limits.gaps import geometric
from mfpde.limits.law_in_depth import LawInDepth
from mfpde.limits.parts import Part, part
from mfpde.limits.sizes import ORDERS, Spec, Tensor
from mfpde.limits.study import Study

# Orders of the other coordinates while one is looked at, by the random ones of a piece.
ANCHORS = {1: 4, 2: 4, 3: 3, 4: 3}
BOLD_ANCHOR = 2
# A coordinate's orders are tried up to that of a tensor rule of this many particles with all equal.
LARGEST = 200_000
# A rule's order is believed where this many finer ones were run.
BEYOND = 2


@dataclass(frozen=True)
class Line:
    """One coordinate: its rule, the orders run (the last is the reference), and their errors."""

    coordinate: int
    rule: str
    orders: tuple[int, ...]
    errors: tuple[float, ...]  # of all but the reference, never rising
    worst: tuple[int, ...]  # the order, at or above, at which that error was seen
    tail: float  # error of the reference itself

    def bound(self, j: int) -> float:
        """Error of the j-th order."""
        return self.errors[j] + self.tail


def anchor(view: LawInDepth) -> Tensor:
    """The small rule that lines start from."""
    assert view.pieces is not None
    order = ANCHORS.get(view.widest, BOLD_ANCHOR)
    orders = tuple(order if one else 1 for one in view.random)
    return Tensor(orders, ("gauss",) * len(orders), view.pieces)


class Lines:
    """The coordinates' errors at one depth and tolerance."""

    def __init__(self, study: Study, base: Tensor, depth_steps: int, rtol: float) -> None:
        self.study, self.base = study, base
        self.depth_steps, self.rtol = depth_steps, rtol

    def spec(self, points: Tensor) -> Spec:
        return Spec(points, self.depth_steps, self.rtol)

    def along(self, i: int, order: int, rule: str) -> Spec:
        """The run with another rule in coordinate i."""
        return self.spec(self.base.with_line(i, order, rule))

    def explore(self, i: int, rules: tuple[str, ...], wanted: float) -> Line | None:
        """The first rule with an order whose error is within ``wanted``; None if there is none."""
        sheets, orders = next(grid for n, grid in self._numbered() if i < n)
        free = sum(order > 1 for order in orders)
        allowed = [n for n in ORDERS if n <= (LARGEST / sheets) ** (1.0 / free)]
        for k in range(BEYOND + 1, len(allowed)):
            ladder = tuple(allowed[: k + 1])
            self.study.announce(f"width, coordinate {i}, {ladder[-1]} nodes")
            lines = [self._line(i, rule, ladder) for rule in rules]
            best = min(lines, key=lambda line: line.bound(-BEYOND))
            if best.bound(-BEYOND) <= wanted:
                return best
        return None

    def _numbered(self) -> Iterator[tuple[int, tuple[int, tuple[int, ...]]]]:
        """Each piece's sheets and orders, after the number of coordinates up to its end."""
        at = 0
        for sheets, orders in self.base.grids:
            at += len(orders)
            yield at, (sheets, orders)

    def _line(self, i: int, rule: str, ladder: tuple[int, ...]) -> Line:
        self.study.ahead(self.along(i, n, rule) for n in ladder)
        reference = self.along(i, ladder[-1], rule)
        raw = [self.study.distance(self.along(i, n, rule), reference) for n in ladder[:-1]]
        # From the finest down: an order is as bad as the worst at or above it (rules whose errors
        # depend on parity, or change sign, are lucky now and then).
        worst = [max(range(j, len(raw)), key=raw.__getitem__) for j in range(len(raw))]
        errors = tuple(raw[j] for j in worst)
        tail = errors[-1] * geometric(errors[-1], errors[-2])
        return Line(i, rule, ladder, errors, tuple(ladder[j] for j in worst), tail)


def allot(lines: list[Line], share: float) -> list[int]:
    """Indices into the lines' orders: few particles for a sum of errors within ``share``."""
    chosen = [0] * len(lines)

    def gain(m: int) -> float:
        line, j = lines[m], chosen[m]
        if j + 1 >= len(line.errors):
            return -1.0
        growth = np.log(line.orders[j + 1] / line.orders[j])
        return float((line.errors[j] - line.errors[j + 1]) / growth)

    while sum(line.bound(j) for line, j in zip(lines, chosen, strict=True)) > share:
        m = max(range(len(lines)), key=gain)
        if gain(m) < 0.0:
            break
        chosen[m] += 1
    return chosen


def combine(base: Tensor, lines: list[Line], chosen: list[int]) -> Tensor:
    """The tensor rule of the chosen orders."""
    for line, j in zip(lines, chosen, strict=True):
        base = base.with_line(line.coordinate, line.orders[j], line.rule)
    return base


def neighbour(points: Tensor, lines: list[Line], chosen: list[int]) -> Tensor:
    """All orders one lower; one higher where they are the lowest."""
    for line, j in zip(lines, chosen, strict=True):
        points = points.with_line(line.coordinate, line.orders[j - 1 if j else 1], line.rule)
    return points


def width_part(runs: Lines, lines: list[Line], chosen: list[int], points: Tensor) -> Part:
    """The lines' errors, magnified by what the coordinates do to each other."""
    other = neighbour(points, lines, chosen)
    runs.study.announce(f"width, {points}", [runs.spec(points), runs.spec(other)])
    runs.study.ahead([runs.spec(points), runs.spec(other)])
    together = runs.study.distance(runs.spec(points), runs.spec(other))
    alone = sum(
        runs.study.distance(*(runs.along(line.coordinate, n, line.rule) for n in pair))
        for line, j in zip(lines, chosen, strict=True)
        for pair in [(line.orders[j], line.orders[j - 1 if j else 1])]
    )
    magnified = max(1.0, together / alone) if alone > 0 else 1.0
    pairs = []
    for line, j in zip(lines, chosen, strict=True):
        i, rule, error = line.coordinate, line.rule, line.errors[j]
        factor = magnified * (line.bound(j) / error if error > 0 else 1.0)
        reference = runs.along(i, line.orders[-1], rule)
        pairs.append((reference, runs.along(i, line.worst[j], rule), factor))
    return part(runs.study, pairs)
