"""The cheapest arcs of a transport problem with squared Euclidean cost, over all pairs of atoms.

One pass costs n·m·p multiplications and O(n k) memory: the cost matrix is never formed. It both
proposes arcs (the shortlist) and proves optimality (dual feasibility on every pair).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde.kernels.arc_pricing import scan_pairs


def cheapest_arcs(
    x: NDArray[np.float64], y: NDArray[np.float64], v: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `count` smallest reduced costs |x_i − y_j|² − v_j of every row i, in rising order.

    Args:
        x: atoms (n, p). y: atoms (m, p). v: potentials (m,). count: 1..m.

    Returns:
        columns (n, count) and reduced costs (n, count). With count = 1 the second is the
        c-transform of v, the largest u with u_i + v_j ≤ |x_i − y_j|² on all pairs.
    """
    middle = 0.5 * (x.mean(axis=0) + y.mean(axis=0))  # |x|² − 2x·y + |y|² cancels least here
    xc, yc = np.ascontiguousarray(x - middle), np.ascontiguousarray((y - middle).T)
    columns = np.full((len(x), count), -1, dtype=np.int64)
    reduced = np.full((len(x), count), np.inf)
    scan_pairs(xc, yc, np.einsum("pm,pm->m", yc, yc) - v, columns, reduced)
    return columns, reduced + np.einsum("np,np->n", xc, xc)[:, None]
