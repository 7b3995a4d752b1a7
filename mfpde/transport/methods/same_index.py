"""The coupling of atoms that carry the same index: common random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mfpde.transport.methods.base import Method, Potentials, Slice, SliceResult, sparse_plan


@dataclass(frozen=True)
class SameIndex(Method):
    """Σ_j a_j |x_j − y_j|² >= W₂², with equality for small displacements of distinct atoms.

    Needs equally many atoms whose j-th weights agree, as along a particle flow.
    """

    name: ClassVar[str] = "same_index"
    kind: ClassVar[str] = "upper bound"

    def solve(self, pair: Slice, start: Potentials | None = None) -> SliceResult:
        """Bound one slice; `start` is not used."""
        if not pair.balanced:
            raise ValueError(
                "method 'same_index' needs equally many atoms in both measures, with equal j-th "
                "weights"
            )
        step = pair.x - pair.y
        cost = float(pair.a @ np.einsum("np,np->n", step, step))
        index = np.arange(len(pair.a))
        return SliceResult(cost, sparse_plan(pair, index, index, pair.a))
