"""The tangent kernel in the conditional-OT metric: matrix, products, per depth, spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.evaluate import layers, predict
from mfpde.kernels.gram import mirror
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import propagate
from mfpde.problem import Problem

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

Array = NDArray[np.float64]


@runtime_checkable
class Trajectory(Protocol):
    """What a run offers to theory: recorded series, and the measure at any s between them."""

    s: Array
    loss: Array
    gradient_norm2: Array

    def at(self, s: float) -> Any: ...


@checks.typed
def tangent_kernel(problem: Problem, rho: ParticleMeasure) -> Array:
    """K of the outputs z_i = B X_i(1), (N·k, N·k), row i·k + c for output c of datum i.

    K = J J* with J the derivative of z in ρ and J* its adjoint in the COT metric; with the
    residual r = ∂ℓ(z, y), |grad E|² = N⁻² rᵀK r and, to first order in s, dz/ds = −K r/N.
    Memory: a few (N·k)² arrays, never a Jacobian. Source: Barboni et al. 2024 §3 (conditional OT
    gradient), in the quadrature of the depth integrator.
    """
    stack = layers(problem, rho)
    passed = propagate.forward(stack, problem.start())
    return propagate.tangent_kernel(stack, passed, problem.readout)


@checks.typed
def tangent_operator(problem: Problem, rho: ParticleMeasure) -> LinearOperator:
    """v ↦ K v without K: one adjoint and one tangent pass a product, O(state) memory.

    A ``scipy.sparse.linalg.LinearOperator`` of shape (N·k, N·k), float64, symmetric: feed it to
    ``eigsh`` or ``cg`` where K itself would not fit.
    """
    from scipy.sparse.linalg import LinearOperator

    stack = layers(problem, rho)
    passed = propagate.forward(stack, problem.start())
    weights = rho.depth.weights[:, None, None].astype(rho.dtype)
    shape = (problem.size, problem.outputs)

    def product(v: Array) -> Array:
        cotangent = (np.reshape(v, shape) @ problem.readout).astype(rho.dtype)
        direction = propagate.adjoint(stack, passed, cotangent).gradient / weights
        change = propagate.tangent(stack, passed, direction)
        return np.asarray(change @ problem.readout.T, dtype=np.float64).ravel()

    n = shape[0] * shape[1]
    return LinearOperator((n, n), matvec=product, rmatvec=product, dtype=np.float64)


@checks.typed
def depth_kernel(problem: Problem, rho: ParticleMeasure, node: int) -> Array:
    """K(t_k) of the hidden states: ∫ D_θf(X_i, θ) D_θf(X_j, θ)ᵀ ρ_t(dθ), (N·d, N·d), row i·d + c.

    |grad E|² = ∫₀¹ P(t)ᵀK(t)P(t) dt, P stacked with its 1/N: an identity for Euler; other
    integrators read several stage states at a node, and K(t_k) is taken at their mean.
    """
    nodes = rho.levels
    if not -nodes <= node < nodes:
        raise ValueError(f"node must be in 0..{nodes - 1}; given {node}")
    passed = propagate.forward(layers(problem, rho), problem.start())
    return hidden_kernel(problem, rho, node_states(rho, passed)[node], node % nodes)


def hidden_kernel(problem: Problem, rho: ParticleMeasure, states: Array, node: int) -> Array:
    """K(t_k) at given hidden states (N, d)."""
    block, theta, a = problem.block, rho.theta[node], rho.weights[node]
    n, d = states.shape
    unit = np.ascontiguousarray(np.broadcast_to(np.eye(d), (n, d, d)))
    kernel = np.zeros((n * d, n * d))
    block.gram([block.sensitivity(states, theta, a, unit)[1]], a, 1.0, kernel)
    mirror(kernel)
    return kernel


def node_states(rho: ParticleMeasure, passed: propagate.Forward) -> Array:
    """X_i(t_k) at every node, (K, N, d): the b-weighted mean of the stage states read there."""
    depth = rho.depth
    out = np.zeros((rho.levels, *passed.end.shape))
    for (step, i), k in np.ndenumerate(depth.stage_nodes):
        out[k] += depth.tableau.b[i] * depth.step / depth.weights[k] * passed.stages[step, i]
    return out


@dataclass(frozen=True)
class KernelSpectrum:
    """Eigenvalues of K/N, descending, and how much of the residual lies along each.

    ``alignment[j]`` = ⟨v_j, r⟩²/|r|² (sum 1 over a full spectrum, all 0 for r = 0): mode j of the
    residual decays like e^{−λ_j s} while the kernel stays put.
    """

    eigenvalues: Array
    alignment: Array

    @property
    def condition(self) -> float:
        """λ_max/λ_min; inf where K is singular to round-off."""
        least, most = float(self.eigenvalues[-1]), float(self.eigenvalues[0])
        floor = len(self.eigenvalues) * np.finfo(np.float64).eps * most
        return most / least if least > floor else float("inf")

    @property
    def rate(self) -> float:
        """Σ_j λ_j alignment_j = rᵀK r/(N|r|²): the measured m for squared loss."""
        return float(self.eigenvalues @ self.alignment)


@checks.typed
def kernel_spectrum(
    problem: Problem, rho: ParticleMeasure, *, largest: int | None = None
) -> KernelSpectrum:
    """Spectrum of K/N and its alignment with the residual r = ∂ℓ(z, y).

    ``largest`` = None decomposes K in full (N·k up to several thousand); an integer finds that
    many largest modes by matrix-free Lanczos.
    """
    residual = problem.loss.gradient(predict(problem, rho), problem.y).ravel()
    n = residual.size
    if largest is None:
        values, vectors = np.linalg.eigh(tangent_kernel(problem, rho))
    else:
        from scipy.sparse.linalg import eigsh

        if checks.count("largest", largest) >= n:
            raise ValueError(f"largest must be below N·k = {n}; given {largest}")
        start = np.random.default_rng(0).standard_normal(n)
        values, vectors = eigsh(tangent_operator(problem, rho), k=largest, v0=start)
    order = np.argsort(values)[::-1]
    power = np.square(vectors[:, order].T @ residual)
    total = float(residual @ residual)
    return KernelSpectrum(values[order] / problem.size, power / total if total > 0 else power)


@dataclass(frozen=True)
class KernelEvolution:
    """Along a run: s (n,), eigenvalues and alignment (n, N·k), drift ‖K(s) − K(0)‖/‖K(0)‖."""

    s: Array
    eigenvalues: Array
    alignment: Array
    drift: Array


@checks.typed
def kernel_evolution(
    problem: Problem, sol: Trajectory, s: Sequence[float] | Array
) -> KernelEvolution:
    """The kernel of sol.at(s) at times s: spectra, alignment and Frobenius drift from s[0]."""
    times = checks.array("s", s, ("n",))
    spectra, drift, first = [], [], None
    for time in times:
        rho = sol.at(float(time))
        kernel = tangent_kernel(problem, rho)
        first = kernel if first is None else first
        drift.append(np.linalg.norm(kernel - first) / np.linalg.norm(first))
        residual = problem.loss.gradient(predict(problem, rho), problem.y).ravel()
        values, vectors = np.linalg.eigh(kernel)
        power = np.square(vectors.T @ residual)[::-1]
        spectra.append((values[::-1] / problem.size, power / max(power.sum(), 1e-300)))
    eigenvalues, alignment = (np.array(part) for part in zip(*spectra, strict=True))
    return KernelEvolution(times, eigenvalues, alignment, np.array(drift))
