"""POT's exact network simplex, on the dense cost matrix or without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mfpde import checks
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


@checks.typed
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
        unit, spread = _unit_size(pair)
        first = None if start is None else (start[0] / spread**2, start[1] / spread**2)
        rows, columns, flow, v = (_dense if self._fits(pair) else _lazy)(unit, first)
        step = pair.x[rows] - pair.y[columns]
        cost = float(flow @ np.einsum("ep,ep->e", step, step))
        potentials, gap = certify(pair, cost, v * spread**2)
        return SliceResult(cost, sparse_plan(pair, rows, columns, flow), potentials, gap)

    def cost(self, pair: Slice) -> float:
        """W₂² alone: no plan is built."""
        if not self._fits(pair):
            return self.solve(pair).cost
        import ot

        unit, spread = _unit_size(pair)
        matrix = _cost_matrix(unit)
        value, log = ot.emd2(unit.a, unit.b, matrix, numItermax=_MOST_PIVOTS, log=True)
        _check(log)
        return float(value) * spread**2

    def _fits(self, pair: Slice) -> bool:
        return len(pair.x) * len(pair.y) <= self.dense_limit


def _unit_size(pair: Slice) -> tuple[Slice, float]:
    """The atoms moved and scaled into a unit box, and the scale.

    POT's tolerances are absolute: at costs far below one it stops too early.
    """
    spread = float(np.max(np.ptp(np.concatenate([pair.x, pair.y]), axis=0))) or 1.0
    middle = pair.x.mean(axis=0)
    return Slice((pair.x - middle) / spread, pair.a, (pair.y - middle) / spread, pair.b), spread


def _cost_matrix(pair: Slice) -> Floats:
    from scipy.spatial.distance import cdist

    matrix: Floats = cdist(pair.x, pair.y, "sqeuclidean")
    return matrix


def _dense(pair: Slice, start: Potentials | None) -> _Solved:
    import ot

    plan, log = ot.emd(
        pair.a, pair.b, _cost_matrix(pair), _MOST_PIVOTS, log=True, potentials_init=start
    )
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
