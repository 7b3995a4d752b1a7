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

4. Linear blocks: with N = Π_{1,l+1}ᵀ ∇ℓ(Π) Π_{l,0}ᵀ the stages at a node n of step l sum to
   h Σ_i φ_iᵀ N ψ_iᵀ, where φ_i = b_i Id + … and ψ_i = Id + … are sums of products of hΣ^{vu} with
   coefficients >= 0, hence to ω_n N up to ω_n (T_n − 1)|N|, T_n = Σ_i β_i ψ_i / b_n,
   ψ_i = 1 + y Σ_j a_ij ψ_j. At a node that steps l and l + 1 share N is Π_{1,l+2}ᵀ ∇ℓ(Π) Π_{l,0}ᵀ
   and T_n has a further factor for the other step, 1 + y Σ_i b_i ψ_i.

Euler has μ = 1, r = 0, T = 1 and no shared node.
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

    def best_of_steps(self, values: Array) -> Array:
        """The larger value of the steps that read each node, (K,) from (L,)."""
        out: Array = np.maximum(values[self.last_step], values[self.last_step - self.shared])
        return out

    def turning(self, y: float) -> Array:
        """T of every node where hΛ <= y, (K,)."""
        a, b = self.depth.tableau.a, self.depth.tableau.b
        state, nodes = _states(a, y), self.depth.stage_nodes.ravel()
        total, weight = (
            np.bincount(nodes, np.tile(values, self.depth.steps))
            for values in (_paths(a, b, y) * state, b)
        )
        out: Array = np.where(self.shared, 1.0 + y * (b @ state), 1.0) * total / weight
        return out

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


@dataclass(frozen=True)
class Stretch:
    """Λ_n <= coupling_n + √moment_n δ_n + ½ bend δ_n² on the ball Σ ωδ² <= R²."""

    coupling: Array
    moment: Array
    bend: float
    stages: Stages

    def stiffest(self, radius: float) -> float:
        """y >= max hΛ_n, where δ_n <= R/√ω_n."""
        delta = radius / np.sqrt(self.stages.depth.weights)
        lam = self.coupling + np.sqrt(self.moment) * delta + 0.5 * self.bend * delta**2
        return float(min(self.stages.depth.step * lam.max(), 1e3))

    def grown(self, radius: float) -> Array:
        """An upper bound of S of every step, (L,)."""
        coupling, moment = self.stages.step_sums(self.coupling), self.stages.step_sums(self.moment)
        out: Array = coupling + np.sqrt(moment) * radius + 0.5 * self.bend * radius**2
        return out

    def contraction(self, radius: float, mu: float, *, others: bool = False) -> Array:
        """Lower bound of Π_{m>l} (1 − μS_m) (Π_{m≠l} where ``others``), (L,); 0 from μS = 1 on."""
        coupling, moment = (self.stages.step_sums(v) for v in (self.coupling, self.moment))
        coupling, moment = mu * coupling, mu * np.sqrt(moment)
        reach = _others if others else _after
        excess = 0.5 * mu * self.bend * radius**2 * (reach(np.ones_like(coupling)) > 0.0)
        worst = reach(coupling + moment * radius, np.maximum) + excess
        spent = reach(coupling) + radius * np.sqrt(reach(moment**2)) + excess
        safe = np.clip(worst, 1e-8, 0.999999)
        factor = np.where(worst > 1e-8, -np.log1p(-safe) / safe, 1.0 + 1e-8)
        bound: Array = np.where(worst < 0.999999, np.exp(-np.minimum(factor * spent, 300.0)), 0.0)
        return bound


def before(values: Array, ufunc: np.ufunc = np.add) -> Array:
    """Sum (or maximum) of the non-negative values_m over m < l, (L,)."""
    return np.append(0.0, ufunc.accumulate(values)[:-1])


def _after(values: Array, ufunc: np.ufunc = np.add) -> Array:
    """The same over m > l."""
    return before(values[::-1], ufunc)[::-1]


def _others(values: Array, ufunc: np.ufunc = np.add) -> Array:
    """The same over m ≠ l."""
    out: Array = ufunc(before(values, ufunc), _after(values, ufunc))
    return out


def _states(a: Array, y: float) -> Array:
    """ψ = 1 + y aψ, from the first stage to the last."""
    psi = np.ones(len(a))
    for i in range(len(psi)):
        psi[i] += y * (a[i, :i] @ psi[:i])
    return psi


def _paths(a: Array, source: Array, y: float) -> Array:
    """β = source + y aᵀβ, from the last stage to the first."""
    beta = np.array(source, float)
    for i in reversed(range(len(beta))):
        beta[i] += y * (a[:, i] @ beta)
    return beta
