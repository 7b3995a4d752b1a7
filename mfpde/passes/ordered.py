"""``OrderedBlocks``: the published algorithm of Lu et al. 2020, descend in θ and t and sort again.

    X^{l+1} = X^l + (t^l − t^{l−1}) f(X^l, θ^l),   t^{−1} = 0
    ∂E/∂t^l = v_l − v_{l+1},   v_l = (1/N) Σ_i ⟨P_i^{l+1}, f(X_i^l, θ^l)⟩,   v_n = 0

dθ_j/ds = −n ∂E/∂θ_j and dt_j/ds = −β⁻² n ∂E/∂t_j; one step of method="gd" is the algorithm with
learning rates n·step and n·step/β². Depth widens the step of a block whose v is below that of its
successor: t moves *weights*, and by v_l − v_{l+1} = O(1) where neighbours are unrelated, so that β²
of order n keeps depths as slow as parameters.

**Where blocks change order E jumps.** When l comes up to its successor, l has the whole gap
g = t − t^{l−1} and the successor none; once they have passed, the successor has it. E changes by

    g (v_{l+1} − v_l) + O(g²),

of first order in the gap, and upwards, since l moved because v_l < v_{l+1}. That is a property of
the one-sided gap (midpoint gaps jump too). Steps that stay with their block, as in
``JointMeasure``, leave the commutator, O(1/n²); E is continuous only where blocks at equal
depth have equal steps and act in parallel, X + h f(X, θ) + h f(X, θ′) (``mfpde.images``
has such a rule, "window"). Steps in which the order changes may therefore raise E; all others
descend.

Source: Lu et al. 2020, Section 4.
"""

from __future__ import annotations

import numpy as np

from mfpde.passes.interface import Array
from mfpde.passes.placed import PlacedOperator


class OrderedOperator(PlacedOperator):
    """A problem on ``OrderedBlocks``."""

    def depth_slopes(self, t: Array, path: Array, back: Array, value: Array) -> Array:
        slopes: Array = -np.diff(value, axis=0, append=0.0)
        return self.count * slopes
