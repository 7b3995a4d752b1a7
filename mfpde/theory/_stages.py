"""What the stages of a Runge–Kutta step in depth add to the estimates of the certificate.

An evaluation e is stage i of a step of length h; it reads node n(e). ``a`` and ``b`` are the
tableau, Λ_n >= ‖∫D_xf dρ_n‖ at the stages of node n, y >= max hΛ_n. Sums over the stages that read
one node are grouped: b_n = Σ_{i at n} b_i, so that Σ h b_n over all steps is the quadrature ω.

1. A unit of slope at stage i moves the step's end by at most h β_i, β_i = b_i + y Σ_j β_j a_ji, and
   the stage e by at most h α_i, α_i = a_ei + y Σ_j α_j a_ji: both are sums over paths of stages.
   Let μ = max_n β_n/b_n and r = max_{e, n} α_n/b_n, over groups.
2. Slopes that err by g_n + Λ_n |change of the stage's state| hence move states by
   Δ_{l+1} <= (1 + μ S_l) Δ_l + μ Γ_l, and stages of step l by at most (1 + r S_l) Δ_l + r Γ_l,
   where S_l = Σ_n h b_n Λ_n and Γ_l = Σ_n h b_n g_n.
3. The cotangents of the stages at n, each at most h β_i |P_{l+1}|, sum to h b_n P_{l+1} up to
   h (β_n − b_n)|P_{l+1}|, and |P_l| lies between (1 − μS_l)|P_{l+1}| and (1 + μS_l)|P_{l+1}|. At a
   node that two steps share, l the later one, their sum is ω_n P_{l+1} up to
   ω_n [(μ − 1)(1 + μS_l) + μS_l]|P_{l+1}|.

Euler has μ = 1, r = 0 and no shared node.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mfpde.depth import Depth

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stages:
    """Sums over the stages of each step of ``depth``."""

    depth: Depth

    def step_sums(self, values: Array) -> Array:
        """Σ_n h b_n values_n of every step, (L,) from (K,)."""
        tableau = self.depth.tableau
        out: Array = self.depth.step * (values[self.depth.stage_nodes] @ tableau.b)
        return out

    def step_largest(self, values: Array) -> Array:
        """The largest value at a node that a step reads, (L,) from (K,)."""
        out: Array = values[self.depth.stage_nodes].max(axis=1)
        return out

    @cached_property
    def last_step(self) -> NDArray[np.int64]:
        """The last step that reads each node, (K,)."""
        out = np.zeros(len(self.depth.nodes), np.int64)
        for step, nodes in enumerate(self.depth.stage_nodes):
            out[nodes] = step
        return out

    @cached_property
    def shared(self) -> NDArray[np.bool_]:
        """Which nodes two steps read, (K,)."""
        readers = [np.unique(nodes) for nodes in self.depth.stage_nodes]
        return np.bincount(np.concatenate(readers), minlength=len(self.depth.nodes)) > 1

    def inflation(self, y: float) -> tuple[float, float]:
        """(μ, r) where hΛ <= y."""
        a, b = self.depth.tableau.a, self.depth.tableau.b
        end = self._over_nodes(_paths(a, b, y))
        inner = [self._over_nodes(_paths(a, row, y)) for row in a]
        return float(end.max()), float(np.max(inner))

    def _over_nodes(self, paths: Array) -> Array:
        """Sums over the stages of each node of a step, over b_n."""
        tableau = self.depth.tableau
        first, size = min(tableau.offset), max(tableau.offset) + 1
        total, weight = np.zeros(size), np.zeros(size)
        np.add.at(total, list(tableau.offset), paths)
        np.add.at(weight, list(tableau.offset), tableau.b)
        out: Array = total[first:] / weight[first:]
        return out


def _paths(a: Array, source: Array, y: float) -> Array:
    """β = source + y aᵀβ, from the last stage to the first."""
    beta = np.array(source, float)
    for i in reversed(range(len(beta))):
        beta[i] += y * (a[:, i] @ beta)
    return beta
