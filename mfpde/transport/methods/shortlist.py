"""Exact transport on a sparse list of arcs, proved optimal by dual feasibility on all pairs.

1. Coarsen both measures fourfold, solve that smaller problem the same way, and carry its
   potentials to the fine atoms by a c-transform (multiscale: Mérigot 2011, Schmitzer 2016).
2. Shortlist the arcs of smallest reduced cost |x_i − y_j|² − u_i − v_j, a few for every atom.
3. Network simplex on those arcs. It sees the reduced costs instead of the costs: the plan is the
   same, and the first pivots already take nearly optimal arcs.
4. Price all n·m pairs in O(n) memory. Pairs that violate u_i + v_j ≤ |x_i − y_j|² join the list
   and the simplex goes on from its tree; when there is none, the plan is optimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.kernels.arc_pricing import arc_costs
from mfpde.kernels.network_simplex import (
    Tree,
    pivot_to_optimum,
    recompute_potentials,
    star_tree,
)
from mfpde.transport.coarse import coarsen
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
from mfpde.transport.methods.one_dim import staircase
from mfpde.transport.pricing import cheapest_arcs

_SMALL = 64  # no coarser level below this many atoms
_LEAF = 4  # atoms merged from one level to the next
_PER_ROW, _PER_COLUMN, _PER_VIOLATION = 12, 12, 6  # arcs proposed
_ROUND_OFF = 64 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Shortlist(Method):
    """Exact W₂², proved by dual feasibility on all pairs, in O(n) memory; for large slices."""

    name: ClassVar[str] = "shortlist"
    kind: ClassVar[str] = "exact"

    def solve(self, pair: Slice, start: Potentials | None = None) -> SliceResult:
        """Solve one slice; potentials of a nearby problem replace the coarse levels."""
        rows, columns = np.flatnonzero(pair.a > 0.0), np.flatnonzero(pair.b > 0.0)
        guess = None if start is None else start[1][columns]
        found = _solve_with_mass(pair, rows, columns, guess)
        cost = float(found.flow @ found.cost)
        v = np.empty(len(pair.b))  # atoms without mass get the potential that prices them out
        v[columns] = found.v
        empty = np.flatnonzero(pair.b == 0.0)
        if empty.size:
            v[empty] = cheapest_arcs(pair.y[empty], pair.x[rows], found.u, 1)[1][:, 0]
        potentials, gap = certify(pair, cost, v)
        plan = sparse_plan(pair, rows[found.rows], columns[found.columns], found.flow)
        return SliceResult(cost, plan, potentials, gap)

    def cost(self, pair: Slice) -> float:
        """W₂² alone: proved all the same, the gap is not evaluated."""
        found = _solve_with_mass(pair, np.flatnonzero(pair.a > 0.0), np.flatnonzero(pair.b > 0.0))
        return float(found.flow @ found.cost)


class SparsePlan(NamedTuple):
    """Masses `flow` (e,) moved from atom `rows` to atom `columns`, with the dual potentials."""

    rows: Ints
    columns: Ints
    flow: Floats
    cost: Floats
    u: Floats
    v: Floats


class _Arcs(NamedTuple):
    rows: Ints
    columns: Ints
    cost: Floats


def _solve_with_mass(pair: Slice, rows: Ints, columns: Ints, v: Floats | None = None) -> SparsePlan:
    return solve_on_shortlist(pair.x[rows], pair.a[rows], pair.y[columns], pair.b[columns], v)


def solve_on_shortlist(
    x: Floats, a: Floats, y: Floats, b: Floats, v: Floats | None = None
) -> SparsePlan:
    """Optimal plan between Σ a_i δ_{x_i} and Σ b_j δ_{y_j} for |x − y|²; all weights positive.

    Args:
        x: atoms (n, p). a: weights (n,). y: atoms (m, p). b: weights (m,), Σb = Σa.
        v: potentials (m,) to start from, for example those of a nearby problem.

    Raises:
        RuntimeError: round-off kept the simplex from a proof of optimality.
    """
    v = _coarse_potentials(x, a, y, b) if v is None else v
    arcs, u = _shortlist(x, a, y, b, v)
    tolerance = _ROUND_OFF * _scale(x, y, v)
    base_u, base_v = u, v
    reduced = arcs.cost - u[arcs.rows] - v[arcs.columns]
    big = 10.0 * (float(np.max(reduced)) + tolerance) or 1.0  # any price if all is free
    tree = star_tree(a, b, big)
    while True:
        big, pivots = _optimise(arcs, reduced, len(x), big, tolerance, tree)
        u = base_u + tree.potential[: len(x)]
        v = base_v + tree.potential[len(x) : -1]
        new = _violations(x, y, u, v, tolerance)
        if new.rows.size == 0 or pivots == 0:  # without a pivot the rest is round-off
            return _plan(arcs, tree, u, v)
        arcs = _Arcs(*(np.concatenate(pair) for pair in zip(arcs, new, strict=True)))
        reduced = arcs.cost - base_u[arcs.rows] - base_v[arcs.columns]


def _coarse_potentials(x: Floats, a: Floats, y: Floats, b: Floats) -> Floats:
    if max(len(x), len(y)) <= _SMALL:
        return np.zeros(len(y))
    coarse_x, coarse_a = coarsen(x, a, _LEAF)
    coarse_y, coarse_b = coarsen(y, b, _LEAF)
    coarse = solve_on_shortlist(coarse_x, coarse_a, coarse_y, coarse_b)
    return cheapest_arcs(y, coarse_x, coarse.u, 1)[1][:, 0]


def _shortlist(x: Floats, a: Floats, y: Floats, b: Floats, v: Floats) -> tuple[_Arcs, Floats]:
    """The cheapest arcs of every row and every column, and the c-transform of v.

    The monotone plan along the first axis joins them: with it the list admits a plan.
    """
    n, m = len(x), len(y)
    per_row, per_column = min(_PER_ROW, m), min(_PER_COLUMN, n)
    columns, reduced = cheapest_arcs(x, y, v, per_row)
    u = reduced[:, 0]
    rows = cheapest_arcs(y, x, u, per_column)[0]
    order_x, order_y = np.argsort(x[:, 0]), np.argsort(y[:, 0])
    i, j = staircase(a[order_x], b[order_y])[:2]
    keys = np.unique(
        np.concatenate(
            [
                (np.arange(n)[:, None] * m + columns).ravel(),
                (rows * m + np.arange(m)[:, None]).ravel(),
                order_x[i] * m + order_y[j],
            ]
        )
    )
    return _arcs(x, y, *np.divmod(keys, m)), u


def _arcs(x: Floats, y: Floats, rows: Ints, columns: Ints) -> _Arcs:
    return _Arcs(rows, columns, arc_costs(x, y, rows, columns))


def _take(arcs: _Arcs, chosen: NDArray[Any]) -> _Arcs:
    return _Arcs(arcs.rows[chosen], arcs.columns[chosen], arcs.cost[chosen])


def _scale(x: Floats, y: Floats, v: Floats) -> float:
    """Size of the numbers whose round-off decides whether a reduced cost is negative."""
    middle = 0.5 * (x.mean(axis=0) + y.mean(axis=0))
    squares = [np.max(np.einsum("np,np->n", z - middle, z - middle)) for z in (x, y)]
    return float(np.sum(squares) + np.max(np.abs(v)))


def _optimise(
    arcs: _Arcs, reduced: Floats, n: int, big: float, tolerance: float, tree: Tree
) -> tuple[float, int]:
    """The cheapest plan on the arcs; artificial arcs get dearer until they carry nothing.

    Returns the price of artificial arcs and the number of pivots.
    """
    most = 1000 * (tree.parent.size + 100)
    pivots = pivot_to_optimum(arcs.rows, arcs.columns, reduced, n, tree, tolerance, most)
    if pivots == most:
        raise RuntimeError(
            f"the network simplex made {most} pivots without reaching optimality: the atoms differ "
            "too little for float64; rescale them or use method='simplex'"
        )
    recompute_potentials(reduced, big, n, tree)
    if np.sum(tree.flow[n:-1], where=tree.arc[n:-1] < 0) > 1e-12:
        recompute_potentials(reduced, 16.0 * big, n, tree)
        big, more = _optimise(arcs, reduced, n, 16.0 * big, tolerance, tree)
        return big, pivots + more
    return big, pivots


def _violations(x: Floats, y: Floats, u: Floats, v: Floats, tolerance: float) -> _Arcs:
    """Arcs among all pairs that are cheaper than the potentials allow, the worst of each row."""
    columns, reduced = cheapest_arcs(x, y, v, min(_PER_VIOLATION, len(y)))
    rows, rank = np.nonzero(reduced < (u - tolerance)[:, None])
    found = _arcs(x, y, rows, columns[rows, rank])
    # `reduced` is computed from expanded squares; decide by the differences themselves
    true = found.cost - u[found.rows] - v[found.columns] < -2.0 * tolerance
    return _take(found, true)


def _plan(arcs: _Arcs, tree: Tree, u: Floats, v: Floats) -> SparsePlan:
    used = (tree.flow[:-1] > 0.0) & (tree.arc[:-1] >= 0)
    rows, columns, cost = _take(arcs, tree.arc[:-1][used])
    return SparsePlan(rows, columns, tree.flow[:-1][used], cost, u, v)
