"""POT's exact network simplex, on the dense cost matrix or without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mfpde.transport.methods.base import (
    Floats,
    Ints,
    Method,
    Potentials,
    Slice,
    SliceResult,
    certify,
    sparse_plan,
)

_MOST_PIVOTS = 10**9

_Solved = tuple[Ints, Ints, Floats, Floats]  # rows, columns, flow, v


@dataclass(frozen=True)
class Simplex(Method):
    """Exact W₂² by the network simplex (Bonneel et al. 2011, as packaged in POT).

    ``dense_limit``: the largest number n·m of pairs for which the cost and plan matrices (8 bytes
    an entry each) are formed; above it costs are recomputed on the fly in O(n + m) memory, about
    2.5x slower.
    """

    dense_limit: int = 2**24
    name: ClassVar[str] = "simplex"
    kind: ClassVar[str] = "exact"

    def solve(self, pair: Slice, start: Potentials | None = None) -> SliceResult:
        """Solve one slice; potentials of a nearby problem save about half of the time."""
        # POT's tolerances are absolute: at costs far below one it would stop too early
        spread = float(np.max(np.ptp(np.concatenate([pair.x, pair.y]), axis=0))) or 1.0
        middle = pair.x.mean(axis=0)
        unit = Slice((pair.x - middle) / spread, pair.a, (pair.y - middle) / spread, pair.b)
        first = None if start is None else (start[0] / spread**2, start[1] / spread**2)
        dense = len(pair.x) * len(pair.y) <= self.dense_limit
        rows, columns, flow, v = (_dense if dense else _lazy)(unit, first)
        step = pair.x[rows] - pair.y[columns]
        cost = float(flow @ np.einsum("ep,ep->e", step, step))
        potentials, gap = certify(pair, cost, v * spread**2)
        return SliceResult(cost, sparse_plan(pair, rows, columns, flow), potentials, gap)


def _dense(pair: Slice, start: Potentials | None) -> _Solved:
    import ot
    from scipy.spatial.distance import cdist

    cost = cdist(pair.x, pair.y, "sqeuclidean")
    plan, log = ot.emd(pair.a, pair.b, cost, _MOST_PIVOTS, log=True, potentials_init=start)
    _check(log)
    rows, columns = np.nonzero(plan)
    return rows, columns, plan[rows, columns], log["v"]


def _lazy(pair: Slice, start: Potentials | None) -> _Solved:
    import ot

    _, log = ot.lp.emd2_lazy(
        pair.x, pair.y, pair.a, pair.b, numItermax=_MOST_PIVOTS, log=True, potentials_init=start
    )
    _check(log)
    plan = log["G"].tocoo()
    return plan.row, plan.col, plan.data, log["v"]


def _check(log: dict[str, Any]) -> None:
    if log["warning"] is not None:
        raise RuntimeError(f"POT's network simplex failed: {log['warning']}")
