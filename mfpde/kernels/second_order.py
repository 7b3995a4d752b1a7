"""The elementwise part of second derivatives of σ(w·x + b), in one sweep through memory."""

from __future__ import annotations

from numba import njit


@njit(cache=True, error_model="numpy")
def sweep(kappa, ds, curved, dt):
    """dt ← dt σ′ + curved κ, κ ← κ σ′, in one go through memory."""
    for i in range(kappa.size):
        dt[i] = dt[i] * ds[i] + curved[i] * kappa[i]
        kappa[i] *= ds[i]
