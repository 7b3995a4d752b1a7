"""A rigorous lower bound m(R) of the Polyak–Łojasiewicz constant on a whole COT ball.

**Setting.** The energy is that of the depth integrator and the N data that are run; first Euler,
h = 1/L, the ResNet with L layers. ρ is any measure with COT²(ρ_0, ρ) = Σ_l h δ_l² ≤ R²,
δ_l = W₂(ρ_0,l , ρ_l); γ_l is an optimal coupling of (θ, θ′), X and X′ the hidden states under ρ_0
and ρ. The ball bounds Σ h δ_l², not sup δ_l, so every estimate below is summed over depth before δ
is eliminated, by Σ h δ_l g_l ≤ R (Σ h g_l²)^½.

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

**Heun, rk4, midpoint** (SHL): every node k has p, q and Λ as above; x_k and φ_k are the largest
over the stages that read it, S_k that of the first, G_k ≥ (Σ_i ‖σ(z_i) − σ(z_i at the first)‖²)^½
for the others. With μ, r, S_l, Γ_l of ``_stages``, ω_k for h and sums over nodes,

* states: with χ = μ for the steps before l and r for step l itself, a stage of step l moves by
  Δ ≤ e^A [R (Σ_m χ² Σ_n h b_n (φ² + s²p²x²))^½ + s max χ R² max x/2], A ≥ Σ_m χ S_m;
* adjoint: |Σ Q_e over the stages at k| ≥ ω_k c_k |P_L| with c_k = Π_{m>l} (1 − μS_m) (2 − T_l), l
  the last step that reads k, and Σ|Q_e| ≤ ω_k T_l |P_{l+1}|, where T_l = μ(1 + μS_l) at a node that
  two steps share and μ elsewhere;
* kernel: m(R) = (σ_min(B)²/N) [ (Σ ω c² λ_min(S))^½ − max T (Σ ω D²)^½ ]₊², where
  (Σ ω D²)^½ ≤ (Σ ω G²)^½ + s [R max(x + Δ) + (Σ ω q²Δ²)^½].

**Linear**, f = v⟨u, x⟩: with p² = ‖Σ^{vv}‖, q² = ‖Σ^{uu}‖ and
Λ_k = ‖Σ_k^{vu}‖ + δ_k(p² + q²)^½ + δ_k²/2 ≥ ‖Σ′_k^{vu}‖, the first variation vᵀG_k u at node k of
step l has |G_k| ≥ (2 − T_k) c_l |∇ℓ(Π)|, c_l a lower bound of Π_{m≠l} (1 − μS_m) as in 3 (at a
shared node the larger of two) and T_k of ``_stages`` (1 for Euler). With |∇ℓ|² ≥ 2κ_ℓ(ℓ − ℓ*)

    m(R) = κ_ℓ [ (Σ ω g² (λ_min(Σ^{uu}) + λ_min(Σ^{vv})))^½ − R max g ]₊²,  g = (2 − T)₊ c,

for the excess over the least loss ℓ* of any linear map.

**Rates** η (the metric Σ |dθ_i|²/η_i): in the variables θ/√η, whose ball has the radius R, the
same steps hold with a δ_u for δ_u, c δ_w for δ_w, a² = max η_u, c² = max η_w, and η_w|X_i|² + η_b
for |X_i|² + 1. Hence (c²p² + a²q²)^½ δ + acδ²/2 in Λ, a²φ² + s²p²x² and a s x δ²/2 in 2, x + cΔ in
4, and m has the factor min η_u. Linear: λ_min(Σ^{vv}) has the factor min η_u, λ_min(Σ^{uu}) has
min η_v, and R the root of max(min η_u max η_v, min η_v max η_u).

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
from mfpde.theory._stages import Stages, Stretch, before

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
    """q, x, force = φ² + s²p²x², G and λ_min(S), each (K,); s = sup|σ′|; Λ of the ball.

    ``speeds`` are √max η of u and of (w, b), ``gain`` is min η_u σ_min(B)²/N.
    """

    q: Array
    x: Array
    force: Array
    gap: Array
    least: Array
    slope: float
    speeds: tuple[float, float]
    gain: float
    safety: float
    stretch: Stretch

    def rate(self, radius: float) -> float:
        r, s, over = radius, self.slope, self.stretch.stages
        omega = over.depth.weights
        mu, inner = over.inflation(self.stretch.stiffest(r))
        one = mu * self.stretch.grown(r)  # μS_l
        turned = np.where(over.shared, mu * (1.0 + one[over.last_step]), mu)
        after = self.stretch.contraction(r, mu)
        contraction = after[over.last_step] * np.maximum(2.0 - turned, 0.0)
        delta = self._moved(r, mu, inner)
        with np.errstate(over="ignore", invalid="ignore"):
            spread = np.sqrt(omega @ (self.q * delta) ** 2)
            features = r * (self.x + self.speeds[1] * delta).max() + spread
            change = np.sqrt(omega @ self.gap**2) + s * features
            floor = np.sqrt(omega @ (contraction**2 * self.least)) - turned.max() * change
        if not floor > 0.0:  # NaN or -inf where the data may be anywhere
            return 0.0
        return self.gain * float(floor) ** 2 * (1.0 - self.safety)

    def _moved(self, r: float, mu: float, inner: float) -> Array:
        """Δ of the stages that read each node, (K,)."""
        over, bend = self.stretch.stages, self.stretch.bend
        coupling, moment = (
            over.step_sums(self.stretch.coupling),
            over.step_sums(self.stretch.moment),
        )

        def reach(values: Array, power: int) -> Array:
            return mu**power * before(values) + inner**power * values

        # Σ χ_m of a depth integrator whose stages read no other stage stops before the step
        count = np.arange(len(coupling))
        most = np.where(count > 0, max(mu, inner), inner)
        grown = reach(coupling, 1) + r * np.sqrt(reach(moment, 2)) + 0.5 * bend * most * r**2
        widest = np.maximum(before(over.step_largest(self.x), np.maximum), 0.0)
        if inner > 0.0:
            widest = np.maximum(widest, over.step_largest(self.x))
        drive = r * np.sqrt(reach(over.step_sums(self.force), 2))
        drive += 0.5 * self.slope * self.speeds[0] * most * r**2 * widest
        by_step = np.exp(np.minimum(grown, 200.0)) * drive
        out = np.zeros(len(self.x))
        np.maximum.at(out, over.depth.stage_nodes, by_step[:, None])
        return out

    def scaled(self, factor: float) -> SHLConstants:
        return replace(self, least=factor * self.least)


@dataclass(frozen=True)
class LinearConstants:
    """η_u λ_min(Σ^vv) + η_v λ_min(Σ^uu) (K,), how fast a move lowers its root; ``gain`` = κ_ℓ."""

    least: Array
    pace: float
    gain: float
    safety: float
    stretch: Stretch

    def rate(self, radius: float) -> float:
        over = self.stretch.stages
        y = self.stretch.stiffest(radius)
        mu, _ = over.inflation(y)
        contraction = over.best_of_steps(self.stretch.contraction(radius, mu, others=True))
        contraction = contraction * np.maximum(2.0 - over.turning(y), 0.0)
        floor = np.sqrt(over.depth.weights @ (contraction**2 * self.least))
        floor -= self.pace * radius * contraction.max()
        return self.gain * max(float(floor), 0.0) ** 2 * (1.0 - self.safety)

    def scaled(self, factor: float) -> LinearConstants:
        return replace(self, least=factor * self.least)


def constants(problem: Problem, rho: ParticleMeasure) -> Constants:
    """Measure the constants of ρ_0 (in float64), rounding margin included.

    Raises TypeError for other blocks than SHL and Linear, ValueError for another loss than
    squared, a weight decay or an activation that is not C¹.
    """
    require_squared(problem, "certificate")
    if computes(problem.block, Linear):
        return _linear(
            problem, ParticleMeasure(rho.theta, rho.depth, rho.weights, dtype=np.float64)
        )
    return shl_constants(problem, rho, "certificate", readout_floor(problem) ** 2 / problem.size)


def shl_constants(problem: Problem, rho: ParticleMeasure, who: str, gain: float) -> SHLConstants:
    """Measure the constants of an SHL block, whatever the loss, which gives the ``gain``."""
    block = problem.block
    if not computes(block, SHL):
        kinds = "an SHL or Linear block" if who == "certificate" else "an SHL block"
        raise TypeError(f"{who} needs {kinds}; given {block!r}")
    if not np.isfinite(block.activation.curvature):
        raise ValueError(f"{who} needs a smooth activation; given {block.activation.name!r}")
    rho = ParticleMeasure(rho.theta, rho.depth, rho.weights, dtype=np.float64)
    u, w, b = block.split(rho.theta)
    p, q = _norm(u, rho.weights), _norm(w, rho.weights)
    safety = _safety(problem, rho, block.activation.slope * float(np.mean(p * q)))
    stages, count = carry(problem, rho).passed.stages, problem.size
    eta = _rates_of(problem)
    squares, paced, trace, gap = np.zeros((4, rho.levels))
    least, first = np.empty(rho.levels), dict[int, Array]()
    for (step, i), node in np.ndenumerate(rho.depth.stage_nodes):
        x, k = stages[step, i], int(node)
        squares[k] = max(squares[k], np.square(x).sum())
        paced[k] = max(paced[k], (np.square(x) @ eta[1] + eta[2]).sum())
        features = block.activation(x @ w[k].T + b[k]) * np.sqrt(rho.weights[k])
        trace[k] = max(trace[k], np.square(features).sum())
        if k not in first:
            first[k], least[k] = features, np.linalg.eigvalsh(features @ features.T)[0]
        gap[k] = max(gap[k], np.linalg.norm(features - first[k]))
    offset = count * (rho.weights * b**2).sum(axis=1)
    shift = block.activation.slope**2 * (q**2 * squares + offset)
    up, slope = 1.0 + safety, block.activation.slope
    p, q, x = up * p, up * q, up * np.sqrt(paced)
    single = rho.depth.method == "euler"
    fast_u, fast_w = (float(np.sqrt(one.max())) for one in eta[:2])
    moment = slope**2 * ((fast_w * p) ** 2 + (fast_u * q) ** 2)
    stretch = Stretch(slope * p * q, moment, slope * fast_u * fast_w, Stages(rho.depth))
    return SHLConstants(
        q=q,
        x=x,
        force=(fast_u * up) ** 2 * (trace + safety * shift) + (slope * p * x) ** 2,
        gap=np.zeros_like(gap) if single else gap + safety * np.sqrt(trace + shift),
        least=np.maximum(least - safety * (trace + shift), 0.0),
        slope=slope,
        speeds=(fast_u, fast_w),
        gain=float(eta[0].min()) * gain * (1.0 - safety) ** 2,
        safety=safety,
        stretch=stretch,
    )


def _rates_of(problem: Problem) -> tuple[Array, Array, float]:
    """η of u, of w and of b (0 without one)."""
    d = problem.block.dim
    eta = np.ones(problem.block.size) if problem.rates is None else problem.rates
    return eta[:d], eta[d : 2 * d], float(eta[2 * d :].sum())


def _linear(problem: Problem, rho: ParticleMeasure) -> LinearConstants:
    d = problem.block.dim
    sigma = rho.second_moment()
    coupling = np.linalg.norm(sigma[:, d:, :d], 2, axis=(1, 2))
    safety = _safety(problem, rho, float(np.mean(coupling)))
    uu, vv = (np.linalg.eigvalsh(sigma[:, i : i + d, i : i + d]) for i in (0, d))
    margin = safety * np.trace(sigma, axis1=1, axis2=2)
    eta_u, eta_v, _ = _rates_of(problem)
    up, fast = 1.0 + safety, eta_u.max() * eta_v.max()
    moment = up**2 * (eta_u.max() * vv[:, -1] + eta_v.max() * uu[:, -1])
    slow_u, slow_v = float(eta_u.min()), float(eta_v.min())
    least = [eta * np.maximum(m[:, 0] - margin, 0.0) for eta, m in ((slow_u, vv), (slow_v, uu))]
    return LinearConstants(
        least=least[0] + least[1],
        pace=float(np.sqrt(max(slow_u * eta_v.max(), slow_v * eta_u.max()))),
        gain=gradient_domination(problem)[0] * (1.0 - safety),
        safety=safety,
        stretch=Stretch(up * coupling, moment, float(np.sqrt(fast)), Stages(rho.depth)),
    )


def _norm(vectors: Array, weights: Array) -> Array:
    """‖∫ vvᵀ dρ_l‖^½ in operator norm, (K,)."""
    moment = np.einsum("kmi,kmj,km->kij", vectors, vectors, weights)
    return np.sqrt(np.maximum(np.linalg.eigvalsh(moment)[:, -1], 0.0))


def _safety(problem: Problem, rho: ParticleMeasure, stretch: float) -> float:
    n = rho.depth.stage_nodes.size * (rho.count + problem.size + problem.block.dim)
    return float(32.0 * np.finfo(np.float64).eps * n * np.exp(min(stretch, 200.0)))
