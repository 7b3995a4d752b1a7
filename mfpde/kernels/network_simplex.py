"""Primal network simplex for a transport problem on a list of arcs.

    min Σ_e c_e f_e  over f ≥ 0,  Σ_{e out of row i} f_e = a_i,  Σ_{e into column j} f_e = b_j

The basis is a tree on the rows 0..n−1, the columns n..n+m−1 and an artificial root n+m. Every node
stores the arc to its parent; a real arc always runs from a row to a column, hence the arc above a
row carries flow upwards and the arc above a column carries flow downwards. Artificial arcs (arc
−1) join a node to the root: rows free of charge, columns at the price `big`. Ties of the ratio test
keep the tree strongly feasible, which excludes cycling (Cunningham 1976; Ahuja, Magnanti, Orlin
1993, ch. 11).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mfpde.kernels import FASTMATH


class Tree(NamedTuple):
    """A basis: arrays over the n + m + 1 nodes. Children form doubly linked lists."""

    parent: NDArray[np.int64]
    arc: NDArray[np.int64]
    flow: NDArray[np.float64]
    child: NDArray[np.int64]
    next: NDArray[np.int64]
    prev: NDArray[np.int64]
    depth: NDArray[np.int64]
    potential: NDArray[np.float64]


def star_tree(a: NDArray[np.float64], b: NDArray[np.float64], big: float) -> Tree:
    """The first basis: every row and column hangs from the root by its artificial arc."""
    nodes = a.size + b.size
    ids = np.arange(nodes + 1)
    return Tree(
        parent=np.where(ids < nodes, nodes, -1),
        arc=np.full(nodes + 1, -1),
        flow=np.concatenate([a, b, [0.0]]),
        child=np.where(ids < nodes, -1, 0),
        next=np.where(ids < nodes - 1, ids + 1, -1),
        prev=np.where(ids < nodes, ids - 1, -1),
        depth=np.where(ids < nodes, 1, 0),
        potential=np.where((ids >= a.size) & (ids < nodes), big, 0.0),
    )


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def pivot_to_optimum(rows, columns, cost, n, tree, tolerance, most):
    """Pivot until no arc has reduced cost below −tolerance; returns the number of pivots.

    `most` bounds that number (round-off guard); the tree is a feasible basis at any time.
    """
    block = max(4 * int(np.sqrt(cost.size)), 64)
    position, pivots = 0, 0
    while pivots < most:
        entering, reduced, position = _entering_arc(
            rows, columns, cost, n, tree.potential, position, block, tolerance
        )
        if entering < 0:
            break
        _pivot(rows[entering], n + columns[entering], entering, reduced, n, tree)
        pivots += 1
    return pivots


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _entering_arc(rows, columns, cost, n, potential, position, block, tolerance):
    """The most negative reduced cost of the first block that holds a negative one."""
    best, entering, scanned = -tolerance, -1, 0
    while scanned < cost.size and entering < 0:
        for _ in range(min(block, cost.size - scanned)):
            r = cost[position] - potential[rows[position]] - potential[n + columns[position]]
            if r < best:
                best, entering = r, position
            position += 1
            if position == cost.size:
                position = 0
        scanned += block
    return entering, best, position


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _pivot(i, j, entering, reduced, n, tree):
    leaving, apex, row_side = _ratio_test(i, j, n, tree)
    amount = tree.flow[leaving]
    if amount > 0.0:
        _push(i, apex, amount, n, tree.parent, tree.flow)
        _push(j, apex, amount, n, tree.parent, tree.flow)
    if row_side:
        _rehang(i, j, entering, amount, leaving, tree)
        _shift(i, reduced, n, tree)
    else:
        _rehang(j, i, entering, amount, leaving, tree)
        _shift(j, -reduced, n, tree)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _ratio_test(i, j, n, tree):
    """Smallest flow among the arcs of the cycle that lose flow: rows above i, columns above j."""
    amount, leaving, row_side = np.inf, -1, True
    p, q = i, j
    while p != q:
        if tree.depth[p] >= tree.depth[q]:
            if p < n and tree.flow[p] < amount:
                amount, leaving, row_side = tree.flow[p], p, True
            p = tree.parent[p]
        else:
            if q >= n and tree.flow[q] <= amount:  # the last tie along the cycle leaves
                amount, leaving, row_side = tree.flow[q], q, False
            q = tree.parent[q]
    return leaving, p, row_side


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _push(start, apex, amount, n, parent, flow):
    """Signs alternate along a path: the arcs of the start's own kind lose flow."""
    start_is_row = start < n
    w = start
    while w != apex:
        if (w < n) == start_is_row:
            flow[w] -= amount
        else:
            flow[w] += amount
        w = parent[w]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _rehang(top, new_parent, new_arc, new_flow, leaving, tree):
    """Cut the subtree below `leaving`, root it at `top` and hang it from `new_parent`."""
    w = top
    while True:
        old_parent, old_arc, old_flow = tree.parent[w], tree.arc[w], tree.flow[w]
        before, after = tree.prev[w], tree.next[w]
        if before >= 0:
            tree.next[before] = after
        else:
            tree.child[old_parent] = after
        if after >= 0:
            tree.prev[after] = before
        head = tree.child[new_parent]
        tree.parent[w], tree.arc[w], tree.flow[w] = new_parent, new_arc, new_flow
        tree.next[w], tree.prev[w], tree.child[new_parent] = head, -1, w
        if head >= 0:
            tree.prev[head] = w
        if w == leaving:
            return
        new_parent, new_arc, new_flow, w = w, old_arc, old_flow, old_parent


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def _shift(top, reduced, n, tree):
    """Rows of the subtree gain `reduced`, columns lose it; depths are counted anew."""
    w = top
    while True:
        tree.depth[w] = tree.depth[tree.parent[w]] + 1
        if w < n:
            tree.potential[w] += reduced
        else:
            tree.potential[w] -= reduced
        if tree.child[w] >= 0:
            w = tree.child[w]
            continue
        while w != top and tree.next[w] < 0:
            w = tree.parent[w]
        if w == top:
            return
        w = tree.next[w]


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def recompute_potentials(cost, big, n, tree):
    """Potentials from the tree alone: removes the round-off that pivots accumulate.

    A tree in one piece under the root is free to set its constant: `big` then stays out of it.
    """
    root = tree.parent.size - 1
    w = tree.child[root]
    if tree.next[w] < 0:
        big = 0.0
    while True:
        price = 0.0 if w < n else big  # of an artificial arc
        if tree.arc[w] >= 0:
            price = cost[tree.arc[w]]
        tree.potential[w] = price - tree.potential[tree.parent[w]]
        if tree.child[w] >= 0:
            w = tree.child[w]
            continue
        while w != root and tree.next[w] < 0:
            w = tree.parent[w]
        if w == root:
            return
        w = tree.next[w]
