"""Damped Picard iteration, as published: ρ ← (1 − ω) ρ + ω (Gibbs state of ρ).

Linear, with the factor max |1 − ω (1 + λ)| over the eigenvalues λ >= 0 of HΣ/τ: it diverges once
λ > 2/ω − 1, that is, for small τ. Source: Daudin, Delarue 2025 (the fixed point).
"""

from __future__ import annotations

import numpy as np

from mfpde.entropic.free_energy import Point


class Picard:
    """Fixed damping ω, no guard."""

    def __init__(self, damping: float) -> None:
        self.damping = damping

    def advance(self, point: Point) -> Point | None:
        if self.damping == 1.0:
            return point.free.at(point.target)
        kept, new = np.log1p(-self.damping), np.log(self.damping)
        return point.free.at(np.logaddexp(point.logs + kept, point.target + new))
