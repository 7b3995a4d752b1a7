"""A rigorous lower bound m(R) of the Polyak–Łojasiewicz constant on a whole COT ball.

**Setting.** Euler depth, h = 1/L: the energy is that of the ResNet with L layers and N data, the
one that is run. ρ is any measure with COT²(ρ_0, ρ) = Σ_l h δ_l² ≤ R², δ_l = W₂(ρ_0,l , ρ_l); γ_l
is an optimal coupling of (θ, θ′), X and X′ the hidden states under ρ_0 and ρ. The ball bounds
Σ h δ_l², not sup δ_l, so every estimate below is summed over depth before δ is eliminated, by
Σ h δ_l g_l ≤ R (Σ h g_l²)^½.

**SHL**, f = u σ(w·x + b), s = sup|σ′|. At ρ_0: p_l² = ‖∫uuᵀ‖, q_l² = ‖∫wwᵀ‖ (operator norms),
x_l² = Σ_i (|X_i|² + 1) (no 1 without bias), S_l = (∫σ(z_i)σ(z_j) dρ_0)_ij with z_i = w·X_i + b,
φ_l² = tr S_l. Split δ² ≥ δ_u² + δ_w², Δ_l² = Σ_i |X′_i − X_i|².

1. Features: z′ − z = (w′−w, b′−b)·(X, 1) + w′·(X′ − X), hence the L²(γ) norms over all data obey
   D_l := (Σ_i ‖σ(z′_i) − σ(z_i)‖²)^½ ≤ s [x_l δ_w + (q_l + δ_w) Δ_l].
2. States: F′(X′) − F(X) = ∫ (u′−u)σ(z) + u′(σ(z′) − σ(z)) dγ, so by Cauchy–Schwarz
   Δ_{l+1} ≤ Δ_l + h [δ_u φ_l + (p_l + δ_u) D_l]
           ≤ (1 + hΛ_l) Δ_l + h [δ_l (φ_l² + s²p_l²x_l²)^½ + s x_l δ_l²/2],
   Λ_l = s [p_l q_l + δ_l (p_l² + q_l²)^½ + δ_l²/2] ≥ s (p_l + δ_u)(q_l + δ_w), and by Grönwall
   Δ_l ≤ e^{A_l} [R (Σ_{m<l} h(φ² + s²p²x²))^½ + s R² max_{m<l} x_m /2],
   A_l = Σ_{m<l} hΛ_m ≤ s [Σ_{m<l} hpq + R (Σ_{m<l} h(p² + q²))^½ + R²/2].
3. Adjoint: ‖∫D_xf dρ_l‖ ≤ s (p_l + δ_u)(q_l + δ_w) ≤ Λ_l, so |P_{l+1}| ≥ c_l |P_L| with
   c_l = Π_{m>l} (1 − hΛ_m) ≥ exp(−κ Σ_{m>l} hΛ_m), κ = −log(1 − y)/y for y ≥ max hΛ_m, y < 1
   (log(1 − ·) is concave); the sum is bounded as A_l is, and hδ_m ≤ √h R, hδ_m² ≤ R².
4. Kernel: only ∂_u V = (1/N) Σ_i P_i σ(z′_i) is used: |grad E|² ≥ Σ h λ_min(S′_l) |P_{l+1}|², and
   λ_min(S′_l)^½ ≥ λ_min(S_l)^½ − D_l (triangle inequality in L²(γ)). With |P_L|² ≥
   2σ_min(B)²E/N and the triangle inequality in L²(dt),

       m(R) = (σ_min(B)²/N) [ (Σ h c_l² λ_min(S_l))^½ − (Σ h D_l²)^½ ]₊²,
       (Σ h D_l²)^½ ≤ s [R max(x_l + Δ_l) + (Σ h q_l²Δ_l²)^½].

**Linear**, f = v⟨u, x⟩: with p² = ‖Σ^{vv}‖, q² = ‖Σ^{uu}‖ and Λ_l = ‖Σ_l^{vu}‖ + δ_l(p² + q²)^½ +
δ_l²/2 ≥ ‖Σ′_l^{vu}‖, |E_l| ≥ Π_{m≠l}(1 − hΛ_m) |∇ℓ(Π)| and |∇ℓ|² ≥ 2κ_ℓ(ℓ − ℓ*), so

    m(R) = κ_ℓ [ (Σ h c_l² (λ_min(Σ_l^{uu}) + λ_min(Σ_l^{vv})))^½ − R max c_l ]₊²,

c_l a lower bound of Π_{m≠l} (1 − hΛ_m) as in 3, for the excess over the least loss ℓ* of any
linear map.

**Rounding.** Every constant is widened by the relative margin 32 ε n e^{A} with n = L(M + N + d)
the length of the longest sum and A the stretching at ρ_0, which exceeds the worst-case rounding
error of the passes, products and eigenvalues; least eigenvalues are lowered by that fraction of
the trace (plus what a rounded preactivation can change), so a kernel that is singular to
round-off certifies nothing. m(R) is a decreasing function of R.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.blocks.shl import SHL
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import carry
from mfpde.problem import Problem
from mfpde.theory._linear_exact import gradient_domination
from mfpde.theory._polyak_lojasiewicz import readout_floor, require_squared

Array = NDArray[np.float64]


class Constants(Protocol):
    """The measured constants of ρ_0, and the bound they give."""

    @property
    def gain(self) -> float:
        """What the loss and the readout contribute as a factor."""

    @property
    def least(self) -> Array:
        """Least eigenvalues that remain beyond rounding, (L,)."""

    @property
    def safety(self) -> float:
        """The relative rounding margin that every constant includes."""

    def rate(self, radius: float) -> float:
        """m(R): |grad E|² ≥ 2 m(R) (E − E*) on the whole COT ball of radius R."""

    def scaled(self, factor: float) -> Constants:
        """The same with least eigenvalues multiplied (richer features)."""


@dataclass(frozen=True)
class SHLConstants:
    """p, q, x, φ and λ_min(S), each (L,); s = sup|σ′|; ``gain`` = σ_min(B)²/N."""

    p: Array
    q: Array
    x: Array
    phi: Array
    least: Array
    slope: float
    gain: float
    safety: float

    def rate(self, radius: float) -> float:
        h, s, r = 1.0 / len(self.p), self.slope, radius
        coupling, moment = s * h * self.p * self.q, h * (self.p**2 + self.q**2)
        contraction = _contraction(coupling, s * np.sqrt(moment), s * r, r)
        stretch = _before(coupling) + s * r * np.sqrt(_before(moment)) + 0.5 * s * r**2
        drive = r * np.sqrt(_before(h * (self.phi**2 + (s * self.p * self.x) ** 2)))
        widest = _before(self.x, np.maximum)
        delta = np.exp(np.minimum(stretch, 200.0)) * (drive + 0.5 * s * r**2 * widest)
        with np.errstate(over="ignore", invalid="ignore"):
            spread = np.sqrt(h * np.sum((self.q * delta) ** 2))
            change = s * (r * (self.x + delta).max() + spread)
            floor = np.sqrt(h * np.sum(contraction**2 * self.least)) - change
        if not floor > 0.0:  # NaN or -inf where the data may be anywhere
            return 0.0
        return self.gain * float(floor) ** 2 * (1.0 - self.safety)

    def scaled(self, factor: float) -> SHLConstants:
        return replace(self, least=factor * self.least)


@dataclass(frozen=True)
class LinearConstants:
    """p, q, ‖Σ^{vu}‖ and λ_min(Σ^uu) + λ_min(Σ^vv), each (L,); ``gain`` = κ_ℓ."""

    p: Array
    q: Array
    coupling: Array
    least: Array
    gain: float
    safety: float

    def rate(self, radius: float) -> float:
        h = 1.0 / len(self.p)
        moment = np.sqrt(h * (self.p**2 + self.q**2))
        contraction = _contraction(h * self.coupling, moment, radius, radius, others=True)
        floor = np.sqrt(h * np.sum(contraction**2 * self.least)) - radius * contraction.max()
        return self.gain * max(float(floor), 0.0) ** 2 * (1.0 - self.safety)

    def scaled(self, factor: float) -> LinearConstants:
        return replace(self, least=factor * self.least)


def constants(problem: Problem, rho: ParticleMeasure) -> Constants:
    """Measure the constants of ρ_0 (in float64), rounding margin included.

    Raises TypeError for other blocks than SHL and Linear, ValueError for another loss than
    squared, a weight decay, rates, a depth integrator other than Euler, or an activation that is
    not C¹.
    """
    require_squared(problem, "certificate")
    problem.refuse_rates("certificate")
    if rho.depth.method != "euler":
        raise ValueError(f"certificate needs Euler depth; given {rho.depth.method!r}")
    exact = ParticleMeasure(rho.theta, rho.depth, rho.weights, dtype=np.float64)
    if computes(problem.block, SHL):
        return _shl(problem, problem.block, exact)
    if computes(problem.block, Linear):
        return _linear(problem, exact)
    raise TypeError(f"certificate needs an SHL or Linear block; given {problem.block!r}")


def _shl(problem: Problem, block: SHL, rho: ParticleMeasure) -> SHLConstants:
    if not np.isfinite(block.activation.curvature):
        raise ValueError(f"certificate needs a smooth activation; given {block.activation.name!r}")
    u, w, b = block.split(rho.theta)
    p, q = _norm(u, rho.weights), _norm(w, rho.weights)
    safety = _safety(problem, rho, block.activation.slope * float(np.mean(p * q)))
    states = carry(problem, rho).passed.path[:-1]
    squares = np.square(states).sum(axis=(1, 2))
    count = problem.size
    trace, least = np.empty(rho.levels), np.empty(rho.levels)
    for k, x in enumerate(states):
        features = block.activation(x @ w[k].T + b[k]) * np.sqrt(rho.weights[k])
        gram = features @ features.T
        trace[k], least[k] = np.trace(gram), np.linalg.eigvalsh(gram)[0]
    offset = count * (rho.weights * b**2).sum(axis=1)
    shift = block.activation.slope**2 * (q**2 * squares + offset)
    up = 1.0 + safety
    return SHLConstants(
        p=up * p,
        q=up * q,
        x=up * np.sqrt(squares + (count if block.bias else 0)),
        phi=up * np.sqrt(trace + safety * shift),
        least=np.maximum(least - safety * (trace + shift), 0.0),
        slope=block.activation.slope,
        gain=(readout_floor(problem) * (1.0 - safety)) ** 2 / count,
        safety=safety,
    )


def _linear(problem: Problem, rho: ParticleMeasure) -> LinearConstants:
    d = problem.block.dim
    sigma = rho.second_moment()
    coupling = np.linalg.norm(sigma[:, d:, :d], 2, axis=(1, 2))
    safety = _safety(problem, rho, float(np.mean(coupling)))
    blocks = [np.linalg.eigvalsh(sigma[:, i : i + d, i : i + d]) for i in (0, d)]
    margin = safety * np.trace(sigma, axis1=1, axis2=2)
    up = 1.0 + safety
    return LinearConstants(
        p=up * np.sqrt(blocks[1][:, -1]),
        q=up * np.sqrt(blocks[0][:, -1]),
        coupling=up * coupling,
        least=sum(np.maximum(block[:, 0] - margin, 0.0) for block in blocks),
        gain=gradient_domination(problem)[0] * (1.0 - safety),
        safety=safety,
    )


def _contraction(
    coupling: Array, moment: Array, weight: float, radius: float, *, others: bool = False
) -> Array:
    """Lower bound of Π_{m>l} (1 − hΛ_m) (Π_{m≠l} where ``others``), (L,); 0 where hΛ can reach 1.

    hΛ_m = coupling_m + moment_m √h δ_m + ½s hδ_m² with Σ hδ² ≤ R² and ``weight`` = sR.
    """
    reach = _others if others else _after
    excess = 0.5 * weight * radius * (reach(np.ones_like(coupling)) > 0.0)
    worst = reach(coupling + moment * radius, np.maximum) + excess
    spent = reach(coupling) + radius * np.sqrt(reach(moment**2)) + excess
    safe = np.clip(worst, 1e-8, 0.999999)
    factor = np.where(worst > 1e-8, -np.log1p(-safe) / safe, 1.0 + 1e-8)
    bound: Array = np.where(worst < 0.999999, np.exp(-np.minimum(factor * spent, 300.0)), 0.0)
    return bound


def _norm(vectors: Array, weights: Array) -> Array:
    """‖∫ vvᵀ dρ_l‖^½ in operator norm, (K,)."""
    moment = np.einsum("kmi,kmj,km->kij", vectors, vectors, weights)
    return np.sqrt(np.maximum(np.linalg.eigvalsh(moment)[:, -1], 0.0))


def _safety(problem: Problem, rho: ParticleMeasure, stretch: float) -> float:
    n = rho.levels * (rho.count + problem.size + problem.block.dim)
    return float(32.0 * np.finfo(np.float64).eps * n * np.exp(min(stretch, 200.0)))


def _before(values: Array, ufunc: np.ufunc = np.add) -> Array:
    """Sum (or maximum) of the non-negative values_m over m < l, (L,)."""
    return np.append(0.0, ufunc.accumulate(values)[:-1])


def _after(values: Array, ufunc: np.ufunc = np.add) -> Array:
    """The same over m > l."""
    return _before(values[::-1], ufunc)[::-1]


def _others(values: Array, ufunc: np.ufunc = np.add) -> Array:
    """The same over m ≠ l."""
    out: Array = ufunc(_before(values, ufunc), _after(values, ufunc))
    return out
