"""Coarse copies of a discrete measure: neighbouring atoms merged at their barycentre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde.kernels.kd_groups import kd_groups


def coarsen(
    x: NDArray[np.float64], a: NDArray[np.float64], leaf: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge the atoms x (n, p) of positive weight a (n,) in groups of at most `leaf` neighbours."""
    order, starts = kd_groups(np.ascontiguousarray(x), leaf)
    mass = np.add.reduceat(a[order], starts)
    centre = np.add.reduceat(a[order, None] * x[order], starts, axis=0) / mass[:, None]
    return centre, mass
