"""Equal weights: the plan is a permutation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mfpde.transport.methods.base import Method, Potentials, Slice, SliceResult, sparse_plan


@dataclass(frozen=True)
class Assignment(Method):
    """Exact W₂² = min_π (1/n) Σ |x_i − y_π(i)|² by shortest augmenting paths (scipy).

    Needs the same number of atoms with equal weights. It has no dual certificate (gap None).
    """

    name: ClassVar[str] = "assignment"
    kind: ClassVar[str] = "exact"

    def solve(self, pair: Slice, start: Potentials | None = None) -> SliceResult:
        """Solve one slice; `start` is not used."""
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        n = len(pair.a)
        if not (pair.balanced and np.ptp(pair.a) <= 1e-12 / n):
            raise ValueError(
                "method 'assignment' needs equally many atoms of equal weight in both measures; "
                "use method='simplex'"
            )
        cost = cdist(pair.x, pair.y, "sqeuclidean")
        rows, columns = linear_sum_assignment(cost)
        plan = sparse_plan(pair, rows, columns, np.full(n, 1.0 / n))
        return SliceResult(float(cost[rows, columns].mean()), plan)
