"""p = 1: the monotone rearrangement, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mfpde.transport.methods.base import (
    Floats,
    Ints,
    Method,
    Potentials,
    Slice,
    SliceResult,
    sparse_plan,
)


@dataclass(frozen=True)
class OneDim(Method):
    """W₂² = ∫₀¹ |F⁻¹(q) − G⁻¹(q)|² dq, exact, O(n log n); parameters in R only."""

    name: ClassVar[str] = "one_dim"
    kind: ClassVar[str] = "exact"

    def costs(self, pairs: Sequence[Slice], workers: int) -> Floats:
        """Slices of one shape go through POT in a single vectorised call."""
        shapes = {(len(pair.x), len(pair.y)) for pair in pairs}
        if len(shapes) > 1:
            return super().costs(pairs, workers)
        import ot

        for pair in pairs:
            _check_line(pair)
        columns = [np.stack(part, axis=1) for part in zip(*map(_columns, pairs), strict=True)]
        x, y, a, b = columns
        return np.atleast_1d(ot.wasserstein_1d(x, y, a, b, p=2))

    def solve(self, pair: Slice, start: Potentials | None = None) -> SliceResult:
        """Walk the staircase of the two cumulative laws; `start` has nothing to speed up."""
        _check_line(pair)
        order_x, order_y = np.argsort(pair.x[:, 0]), np.argsort(pair.y[:, 0])
        rows, columns, flow, row_moves = staircase(pair.a[order_x], pair.b[order_y])
        step = pair.x[order_x[rows], 0] - pair.y[order_y[columns], 0]
        arc_costs = step * step
        cost = float(flow @ arc_costs)
        rise = np.diff(arc_costs)
        u, v = np.empty(len(pair.x)), np.empty(len(pair.y))
        u[order_x] = np.concatenate([[0.0], np.cumsum(rise[row_moves])])
        v[order_y] = arc_costs[0] + np.concatenate([[0.0], np.cumsum(rise[~row_moves])])
        used = flow > 0.0
        plan = sparse_plan(pair, order_x[rows[used]], order_y[columns[used]], flow[used])
        return SliceResult(cost, plan, (u, v), float(cost - pair.a @ u - pair.b @ v))


def _columns(pair: Slice) -> tuple[Floats, Floats, Floats, Floats]:
    return pair.x[:, 0], pair.y[:, 0], pair.a, pair.b


def _check_line(pair: Slice) -> None:
    if pair.x.shape[1] != 1:
        raise ValueError(f"method 'one_dim' needs parameters in R; given p = {pair.x.shape[1]}")


def staircase(a: Floats, b: Floats) -> tuple[Ints, Ints, Floats, NDArray[np.bool_]]:
    """Arcs (i, j) of the monotone plan of two sorted laws; each step raises i or j by one."""
    breaks = np.concatenate([np.cumsum(a)[:-1], np.cumsum(b)[:-1]])
    order = np.argsort(breaks, kind="stable")
    row_moves = order < a.size - 1
    rows = np.concatenate([[0], np.cumsum(row_moves)])
    columns = np.concatenate([[0], np.cumsum(~row_moves)])
    flow: Floats = np.diff(np.concatenate([[0.0], np.minimum(breaks[order], 1.0), [1.0]]))
    return rows, columns, flow, row_moves
