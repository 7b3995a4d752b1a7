"""Linear blocks f(x, (u, v)) = v⟨u, x⟩ solved exactly: a closed flow of second moments.

With Σ_t = ∫ (u, v)(u, v)ᵀ ρ_t(dθ) and M_t = Σ_t^{vu} the hidden state obeys dX/dt = M_t X, the
first variation is V(t, θ) = vᵀE_t u with E_t = (1/N) Σ_i P_i(t) X_i(t)ᵀ, and the gradient flow of
*any* ρ closes:

    dΣ_t/ds = −(G_tΣ_t + Σ_tG_t),   G_t = [[0, E_tᵀ], [E_t, 0]].

JΣ_t, J = diag(I, −I), moves by a Lax pair (d(JΣ)/ds = [G, JΣ], since JG = −GJ), so its spectrum is
conserved at every depth. Rates η turn G into D G, D = diag(η): in the variables D^{-½}θ the flow is
plain, so that D^{-½}Σ_tD^{-½} is what keeps its spectrum and margin. Every formula also holds with
t replaced by the nodes of a depth integrator and E_t by the exact discrete first variation,
E_k = (1/ω_k) Σ_{e at k} Σ_i Q_e,i Z_e,iᵀ.
Source: Zhang, Peyré 2026 (closure, spectra and bounds).

    S = linear_scalar(alpha=0.7, slope=lambda z: z - 2.0, s=[0.0, 0.1, 0.3])     # multiplier e^S
    S = linear_scalar(0.7, slope, s, steps=16)                     # the Euler ResNet of 16 layers
    flow = linear_closure(problem, rho0.second_moment(), rho0.depth, s)   # flow.sigma, flow.loss
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.blocks.base import Block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.depth import Depth
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes.particles import ParticleOperator
from mfpde.problem import Problem

Array = NDArray[np.float64]

MOST_CALLS = 50_000  # evaluations of the closure's right-hand side


@dataclass(frozen=True)
class LinearFlow:
    """Exact gradient flow of linear blocks: s (n,), Σ (n, K, 2d, 2d) and loss (n,)."""

    s: Array
    sigma: Array
    loss: Array
    depth: Depth


@checks.typed
def linear_scalar(
    alpha: float, slope: Callable[[float], float], s: ArrayLike, *, steps: int | None = None
) -> Array:
    """S(s) in d = 1 from the covariance α·Id at every depth, x = 1, ℓ′ = ``slope``; shape (n,).

    dS/ds = −2 √(S² + α²) ℓ′(Π) Π′(S), S(0) = 0, with output multiplier Π = e^S in infinite depth
    and Π = (1 + S/L)^L for the Euler ResNet of L = ``steps`` layers (see ``linear_multiplier``).
    Relative accuracy about 1e−12. Source: Zhang, Peyré 2026.
    """
    if checks.positive("alpha", alpha, zero=True) > 1e150:
        raise ValueError(f"alpha must be at most 1e150, its square is needed; given {alpha:g}")

    def rate(_: float, y: Array) -> Array:
        multiplier = linear_multiplier(y, steps)
        growth = multiplier if steps is None else multiplier / (1.0 + y / steps)
        pull = checks.number("slope(Π)", slope(float(multiplier[0])))
        return -2.0 * np.sqrt(y**2 + alpha**2) * pull * growth

    return _integrate(rate, np.zeros(1), _times(s))[:, 0]


@checks.typed
def linear_multiplier(exponent: ArrayLike, steps: int | None = None) -> Array:
    """Π = e^S, or (1 + S/L)^L for the Euler ResNet of L = ``steps`` layers."""
    value = np.asarray(exponent, dtype=np.float64)
    with np.errstate(over="ignore"):
        if steps is None:
            return checks.result("exp(exponent)", np.exp(value))
        layers = checks.count("steps", steps)
        # Through the logarithm where 1 + S/L rounds S away.
        small = np.abs(value) < 0.5 * layers
        tail = np.exp(layers * np.log1p(np.where(small, value / layers, 0.0)))
        whole = (1.0 + np.where(small, 0.0, value / layers)) ** layers
        return checks.result("(1 + exponent/steps)^steps", np.where(small, tail, whole))


@checks.typed
def linear_closure(
    problem: Problem, sigma0: ArrayLike, depth: Depth, s: ArrayLike, *, rtol: float = 1e-11
) -> LinearFlow:
    """The matrix closure with the depth integrator ``depth`` at times s (n,), to rtol in s.

    ``sigma0`` is Σ at s = 0, (2d, 2d) shared by all depths or (K, 2d, 2d), K = len(depth.nodes),
    for instance ``rho0.second_moment()``; any loss and rates, no weight decay. A particle flow with
    these second moments, the same depth integrator and exact time stepping has the same outputs to
    round-off: the closure *is* its flow, M → ∞ or not.

    Raises TypeError unless the block is ``Linear``, ValueError for a wrong shape, an asymmetric
    Σ or a weight decay. Source: Zhang, Peyré 2026.
    """
    _require_linear(problem)
    if problem.regularised:
        raise ValueError("linear_closure covers problems without decay or temperature only")
    d, nodes = problem.block.dim, len(depth.nodes)
    sigma = np.asarray(sigma0, dtype=np.float64)
    sigma = np.repeat(sigma[None], nodes, axis=0) if sigma.ndim == 2 else sigma
    sigma = checks.array("sigma0", sigma, (nodes, 2 * d, 2 * d))
    if np.abs(sigma - sigma.swapaxes(1, 2)).max() > 1e-10 * (1.0 + np.abs(sigma).max()):
        raise ValueError("sigma0 must be symmetric at every depth")

    layers = _Layers(problem, depth)
    eta = np.ones(2 * d) if problem.rates is None else problem.rates

    def rate(_: float, y: Array) -> Array:
        now = y.reshape(sigma.shape)
        g = np.zeros_like(now)
        g[:, d:, :d] = layers.at(now)[1]
        g[:, :d, d:] = g[:, d:, :d].swapaxes(1, 2)
        product = eta[:, None] * g @ now
        return -(product + product.swapaxes(1, 2)).ravel()

    times = _times(s)
    path = _integrate(rate, sigma.ravel(), times, rtol).reshape(-1, *sigma.shape)
    losses = np.array([layers.at(now)[0] for now in path])
    return LinearFlow(times, path, losses, depth)


@checks.typed
def conserved_spectra(sigma: ArrayLike) -> Array:
    """tr((JΣ)^k), k = 1..2d, for Σ (..., 2d, 2d): constant along the flow; shape (..., 2d)."""
    signed = _signed(_square("sigma", sigma))
    power, traces = signed, []
    for _ in range(signed.shape[-1]):
        traces.append(np.trace(power, axis1=-2, axis2=-1))
        power = power @ signed
    return checks.result("a power of sigma", np.stack(traces, axis=-1))


@checks.typed
def linear_margin(sigma: ArrayLike) -> Array:
    """g = μ₊ + μ₋ for Σ (..., 2d, 2d): conserved, and λ_min(Σ^uu) + λ_min(Σ^vv) ≥ g; shape (...).

    μ₊ (μ₋) is the least |eigenvalue| of JΣ among the d positive (d negative) ones; white Σ = σ²Id
    has g = 2σ². Proof: put y = Σ^½(a, 0). The symmetric Σ^{−½}JΣ^{−½} has the eigenvalues of
    (JΣ)⁻¹, hence |a|² = yᵀΣ^{−½}JΣ^{−½}y ≤ |y|²/μ₊ = aᵀΣ^{uu}a/μ₊. A singular Σ has g = 0 in
    that block.
    """
    spectrum = np.sort(np.linalg.eigvals(_signed(_square("sigma", sigma))).real)
    d = spectrum.shape[-1] // 2
    return np.maximum(spectrum[..., d], 0.0) + np.maximum(-spectrum[..., d - 1], 0.0)


@checks.typed
def gradient_domination(problem: Problem) -> tuple[float, float]:
    """(κ, ℓ*) of the end-to-end loss ℓ(Π) = (1/2N) Σ|BΠAx_i − y_i|²: |∇ℓ|² ≥ 2κ(ℓ − ℓ*).

    κ is the least *positive* σ(B)² times that of (1/N) Σ (Ax_i)(Ax_i)ᵀ; ℓ* is the least loss of
    any linear map. Raises ValueError unless the loss is squared.
    """
    if problem.loss.name != "squared" or problem.weights is not None:
        raise ValueError(f"gradient_domination needs loss='squared', unweighted; given {problem!r}")
    least = 0.5 * float(np.square(problem.y - best_linear_fit(problem)).sum()) / problem.size
    values = _least_positive(problem.readout), _least_positive(problem.start())
    return (values[0] * values[1]) ** 2 / problem.size, least


def best_linear_fit(problem: Problem) -> Array:
    """The outputs BΠAx_i nearest to y_i over all linear maps Π, shape (N, k)."""
    start, readout = problem.start(), problem.readout.T
    fitted = start @ np.linalg.lstsq(start, problem.y, rcond=None)[0]
    projected: Array = fitted @ np.linalg.pinv(readout) @ readout
    return projected


@checks.typed
def linear_rate(kappa: float, margin: float, coupling: float, *, steps: int | None = None) -> float:
    """r = 2κ ḡ e^{−2B} (infinite depth) or 2κ ḡ (1 − B/L)^{2(L−1)} (Euler, L = ``steps``).

    While sup_{s,t} ‖Σ_t^{vu}‖ ≤ B = ``coupling`` the excess loss obeys ℓ − ℓ* ≤ Δ₀ e^{−rs}; ḡ =
    ``margin`` is ∫ g_t dt, which the flow conserves (``linear_margin``). Zero where B ≥ L.
    Source: Zhang, Peyré 2026.
    """
    checks.positive("coupling", coupling, zero=True)
    if steps is None:
        return float(2.0 * kappa * margin * np.exp(-2.0 * coupling))
    contraction = max(1.0 - coupling / checks.count("steps", steps), 0.0)
    return float(2.0 * kappa * margin * contraction ** (2 * (steps - 1)))


@checks.typed
def linear_bound(problem: Problem, flow: LinearFlow, *, steps: int | None = None) -> Array:
    """The bound ℓ* + Δ₀ e^{−rs} at flow.s, with B measured along ``flow``; shape (n,).

    ``steps=None`` draws the infinite-depth bound, ``steps=L`` that of the Euler ResNet. With rates
    ḡ is min η_u min η_v times the margin of D^{-½}ΣD^{-½}. Raises ValueError for rates of 0.
    """
    d = problem.block.dim
    kappa, least = gradient_domination(problem)
    coupling = float(np.linalg.norm(flow.sigma[:, :, d:, :d], 2, axis=(2, 3)).max())
    eta = np.ones(2 * d) if problem.rates is None else problem.rates
    if eta.min() <= 0.0:
        raise ValueError("linear_bound needs rates > 0: coordinates that stand still have no bound")
    plain = linear_margin(flow.sigma[0] / np.sqrt(eta[:, None] * eta))
    margin = float(flow.depth.weights @ plain * eta[:d].min() * eta[d:].min())
    rate = linear_rate(kappa, margin, coupling, steps=steps)
    return least + (flow.loss[0] - least) * np.exp(-rate * (flow.s - flow.s[0]))


def _least_positive(matrix: Array) -> float:
    """The least singular value above the round-off of its rank; inf for a zero matrix."""
    values = np.linalg.svd(matrix, compute_uv=False)
    floor = max(matrix.shape) * np.finfo(np.float64).eps * values.max(initial=0.0)
    return float(values[values > floor].min(initial=np.inf))


class _Matrix(Block):
    """x ↦ Wx with θ = vec(W): a layer of linear blocks seen through its mean Σ^{vu}."""

    def __init__(self, dim: int) -> None:
        self.dim, self.coordinates = dim, tuple(f"w{i}" for i in range(dim * dim))

    def value(self, x: Array, theta: Array) -> Array:
        return np.einsum("mcd,nd->nmc", theta.reshape(-1, self.dim, self.dim), x)

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        return np.einsum("mcd,nc->nmd", theta.reshape(-1, self.dim, self.dim), q)

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        rows = (q[:, :, None] * x[:, None, :]).reshape(len(x), 1, -1)
        return np.repeat(rows, len(theta), axis=1)


class _Layers:
    """E and its first variation as functions of second moments, for a problem and a depth."""

    def __init__(self, problem: Problem, depth: Depth) -> None:
        d, levels = problem.block.dim, len(depth.nodes)
        matrices = Problem(
            problem.x,
            problem.y,
            block=_Matrix(d),
            embed=problem.embed,
            readout=problem.readout,
            loss=problem.loss,
            weights=problem.weights,
        )
        rho = ParticleMeasure(np.zeros((levels, 1, d * d)), depth)
        self._dim, self._operator = d, ParticleOperator(matrices, rho)

    def at(self, sigma: Array) -> tuple[float, Array]:
        """E(ρ) and E_k (K, d, d) at second moments Σ (K, 2d, 2d)."""
        d = self._dim
        theta = np.ascontiguousarray(sigma[:, d:, :d]).reshape(len(sigma), 1, d * d)
        carried = self._operator.carry(theta)
        return carried.fit, carried.variation.reshape(len(sigma), d, d)


def _square(name: str, value: ArrayLike) -> Array:
    """Matrices (..., 2d, 2d)."""
    found = checks.nonempty(name, checks.array(name, value))
    if found.ndim < 2 or found.shape[-1] != found.shape[-2] or found.shape[-1] % 2:
        raise ValueError(f"{name} must have shape (..., 2d, 2d); given {found.shape}")
    return found


def _signed(sigma: Array) -> Array:
    d = sigma.shape[-1] // 2
    return np.repeat([1.0, -1.0], d)[:, None] * sigma


def _integrate(
    rate: Callable[[float, Array], Array], start: Array, times: Array, rtol: float = 1e-13
) -> Array:
    from scipy.integrate import solve_ivp

    if times[-1] == 0.0:
        return np.repeat(start[None], len(times), axis=0)
    calls = 0

    def counted(s: float, y: Array) -> Array:
        nonlocal calls
        calls += 1
        if calls > MOST_CALLS:
            raise ValueError(
                f"s = {times[-1]:g} is too far for an exact solution: {MOST_CALLS} evaluations "
                f"reached {s:.3g} (rtol = {rtol:g})"
            )
        return rate(s, y)

    found = solve_ivp(
        counted, (0.0, times[-1]), start, "DOP853", t_eval=times, rtol=max(rtol, 3e-14), atol=rtol
    )
    if not found.success:
        raise ValueError(
            f"the exact linear flow could not be integrated to s = {times[-1]:g} with "
            f"rtol = {rtol:g}: {found.message}"
        )
    path: Array = found.y.T
    return path


def _times(s: ArrayLike) -> Array:
    times = checks.array("s", np.atleast_1d(checks.array("s", s)), ("n",))
    checks.nonempty("s", times)
    if times[0] < 0 or np.any(np.diff(times) <= 0):
        raise ValueError("s must be increasing and >= 0")
    return times


def _require_linear(problem: Problem) -> None:
    if not computes(problem.block, Linear):
        raise TypeError(f"the exact linear flow needs a Linear block; given {problem.block!r}")
