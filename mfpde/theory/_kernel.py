"""The tangent kernel in the conditional-OT metric: matrix, products, per depth, spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.measures import Measure
from mfpde.passes import carry
from mfpde.problem import Problem
from mfpde.theory._measures import conditional, in_its_metric

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
@checks.overflow("the tangent kernel")
def tangent_kernel(problem: Problem, rho: Measure) -> Array:
    """K of the outputs z_i = B X_i(1), (N·k, N·k), row i·k + c for output c of datum i.

    K = J J* with J the derivative of z in ρ and J* its adjoint in the metric of the flow of ρ: the
    COT metric for particles and grids (by central differences at the faces of a grid), |dθ|² +
    β²|dt|² for joint measures. With the residual r = ∂ℓ(z, y), |grad E|² = N⁻² rᵀK r and, to first
    order in s, dz/ds = −K r/N. Memory: a few (N·k)² arrays, never a Jacobian (except for blocks
    placed in depth). Source: Barboni et al. 2024 §3 (conditional OT gradient), in the quadrature of
    the depth integrator.
    """
    _check_room(problem.size * problem.outputs, 3)
    kernel: Array = carry(problem, rho).kernel
    return kernel


def _check_room(rows: int, copies: int, remedy: str = "") -> None:
    """Raise ValueError where so many dense matrices of these rows are more than the memory."""
    remedy = remedy or "take fewer data, or theory.tangent_operator, which never holds it"
    checks.memory(f"a tangent kernel of {rows} rows", 8.0 * copies * rows**2, remedy)


@checks.typed
def tangent_operator(problem: Problem, rho: Measure) -> LinearOperator:
    """v ↦ K v without K: one adjoint and one tangent pass a product, O(state) memory.

    A ``scipy.sparse.linalg.LinearOperator`` of shape (N·k, N·k), float64, symmetric: feed it to
    ``eigsh`` or ``cg`` where K itself would not fit.
    """
    from scipy.sparse.linalg import LinearOperator

    carried = carry(problem, rho)
    shape = (problem.size, problem.outputs)

    def product(v: Array) -> Array:
        image = carried.kernel_product(np.reshape(v, shape))
        return np.asarray(image, dtype=np.float64).ravel()

    n = shape[0] * shape[1]
    return LinearOperator((n, n), matvec=product, rmatvec=product, dtype=np.float64)


@checks.typed
def depth_kernel(problem: Problem, rho: Measure, node: int) -> Array:
    """K(t_k) of the hidden states: ∫ D_θf(X_i, θ) D_θf(X_j, θ)ᵀ ρ_t(dθ), (N·d, N·d), row i·d + c.

    |grad E|² = ∫₀¹ P(t)ᵀK(t)P(t) dt, P stacked with its 1/N: an identity for Euler; other
    integrators read several stage states at a node, and K(t_k) is taken at their mean.

    Raises TypeError for joint measures, whose depth marginal is free, ValueError for a node beyond
    the last one.
    """
    _check_room(problem.size * problem.block.dim, 2, "take fewer data")
    carried = conditional(problem, rho, "depth_kernel")
    nodes = len(carried.depth.nodes)
    if not -nodes <= node < nodes:
        raise ValueError(f"node must be in 0..{nodes - 1}; given {node}")
    return carried.hidden_kernel(node % nodes)


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
    problem: Problem, rho: Measure, *, largest: int | None = None
) -> KernelSpectrum:
    """Spectrum of K/N and its alignment with the residual r = ∂ℓ(z, y).

    With weights w of the data: of √w K √w/N with √w r, whose modes decay in the same way.

    ``largest`` = None decomposes K in full (N·k up to several thousand); an integer finds that
    many largest modes by matrix-free Lanczos.
    """
    carried = carry(problem, rho)
    root = _root(problem)
    residual = carried.slope.ravel() / root
    n = residual.size
    if largest is None:
        _check_room(n, 4, "ask for the largest eigenvalues only, largest=")
        values, vectors = np.linalg.eigh(carried.kernel * root * root[:, None])
    else:
        from scipy.sparse.linalg import LinearOperator, eigsh

        if checks.count("largest", largest) >= n:
            raise ValueError(f"largest must be below N·k = {n}; given {largest}")
        start = np.random.default_rng(0).standard_normal(n)
        operator = tangent_operator(problem, rho)
        scaled = LinearOperator((n, n), lambda v: root * operator.matvec(root * v.ravel()))
        values, vectors = eigsh(scaled, k=largest, v0=start)
    order = np.argsort(values)[::-1]
    power = np.square(vectors[:, order].T @ residual)
    total = float(residual @ residual)
    return KernelSpectrum(values[order] / problem.size, power / total if total > 0 else power)


def _root(problem: Problem) -> Array:
    """√w for every row of K, (N·k,)."""
    weights = np.ones(problem.size) if problem.weights is None else problem.weights
    return np.repeat(np.sqrt(weights), problem.outputs)


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
    """The kernel of sol.at(s) at times s: spectra, alignment and Frobenius drift from s[0].

    Raises ValueError for a run with other rates than the problem's: hand over ``sol.problem``.
    """
    in_its_metric(problem, sol, "kernel_evolution")
    times = checks.array("s", s, ("n",))
    _check_room(problem.size * problem.outputs, 5, "take fewer data")
    spectra, drift, first, root = [], [], None, _root(problem)
    for time in times:
        carried = carry(problem, sol.at(float(time)))
        kernel = carried.kernel
        first = kernel if first is None else first
        drift.append(np.linalg.norm(kernel - first) / np.linalg.norm(first))
        residual = carried.slope.ravel() / root
        values, vectors = np.linalg.eigh(kernel * root * root[:, None])
        power = np.square(vectors.T @ residual)[::-1]
        spectra.append((values[::-1] / problem.size, power / max(power.sum(), 1e-300)))
    eigenvalues, alignment = (np.array(part) for part in zip(*spectra, strict=True))
    return KernelEvolution(times, eigenvalues, alignment, np.array(drift))
