"""The dual system of an implicit step, (I + γHK) z = b, of size N·k.

Small systems are factorised. Large ones, and those whose K is dear, are solved by conjugate
gradients on products with K = JJ*, each one pull and one push (about two gradients): K is never
formed. With a Hessian H = SS of the loss the symmetric form is

    z = b − S y,    (I + γG) y = γ S K b,    G = S K S;

without one, S = I and the system for z is symmetric as it is. A residual ρ moves the displacement
J*z·h/N by at most ½√γ|ρ| in the COT norm, since √λ/(1 + γλ) <= ½γ^{−½}: that bound ties the
iteration to the run's tolerance.

Preconditioner: the first solve of a step leaves its search directions P and the products GP, and
with them, at no further product, the Nyström approximation GP (PᵀGP)⁻¹ (GP)ᵀ of G, which serves the
other solves of the step. It is not carried to the next step: the kernel moves, and fresh directions
were measured to need half as many products. Source of the form: Frangella, Tropp, Udell 2023.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde import losses
from mfpde.problem import Problem

Array = NDArray[Any]

# Largest system that is factorised: 8192² doubles are half a gigabyte.
DENSE_ROWS = 8192
# Multiplications of a kernel over those of a gradient from which products are cheaper than K.
# Measured, processor time of whole runs by factorising over by products: 1.0 at a ratio of 1 (but
# .25 to zero loss, where K's small eigenvalues count), 3.5 at 50, 1.4 to 3.4 at 58, 1.04 at 91 (to
# zero loss), 6.6 at 145.
DENSE_WORK = 100
# Factorising holds K, the system and its factor: these may take half of the memory.
COPIES = 3
# Share of the step's tolerance that the linear solve may use up; extrapolation amplifies it.
SHARE = 1e-2
# Largest residual beside |b|: near zero loss the tolerance alone would stop the descent.
RELATIVE = 3e-3
# Search directions kept for the preconditioner, and iterations before a solve gives up: the step
# is then judged by its error estimate like any other, and shortened.
DIRECTIONS, ITERATIONS = 100, 500


class Solver(Protocol):
    """Solves dual systems at the points of one step."""

    def solve(self, point: Any, gamma: float, right: Array) -> Array:
        """z (N, k) with (I + γHK) z = right."""


def solver(flow: Any, allowed: float) -> Solver:
    """A solver for one step whose displacement may err by ``allowed`` in the COT norm."""
    return Dense(flow) if is_dense(flow.problem) else Krylov(flow, allowed)


def is_dense(problem: Problem) -> bool:
    """Whether the system is factorised: it fits into memory and K is not too dear."""
    rows = problem.size * problem.outputs
    fits = rows <= DENSE_ROWS and COPIES * 8 * rows**2 <= _memory() / 2
    per_gradient = problem.size * (5 * problem.block.dim + 20)  # products with u, w, x; and σ
    return fits and rows**2 <= DENSE_WORK * per_gradient


def _memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return np.inf  # not known on this system


class Dense:
    """Cholesky (LU where a Hessian makes the system unsymmetric) of the formed system."""

    def __init__(self, flow: Any) -> None:
        self._clock = flow.clock

    def solve(self, point: Any, gamma: float, right: Array) -> Array:
        kernel = point.kernel
        self._clock.counts["factorisations"] += 1
        with self._clock.part("linear_algebra"):
            if point.hessian is None:
                system = gamma * kernel
                system.flat[:: len(system) + 1] += 1.0
                return _solve_definite(system, right.ravel()).reshape(right.shape)
            return _solve_general(gamma * kernel, point.hessian, right)


def _solve_definite(system: Array, right: Array) -> Array:
    from scipy import linalg

    try:
        factor = linalg.cho_factor(system, lower=True, check_finite=False)
        return linalg.cho_solve(factor, right, check_finite=False)
    except linalg.LinAlgError:
        # γλ_max(K) beyond 1/eps: rounding can cost K its sign, not the system its rank.
        return linalg.solve(system, right, assume_a="sym", check_finite=False)


def _solve_general(scaled: Array, hessian: Array, right: Array) -> Array:
    from scipy import linalg

    n, k = right.shape
    system = np.einsum("nab,nbr->nar", hessian, scaled.reshape(n, k, n * k)).reshape(n * k, n * k)
    system.flat[:: n * k + 1] += 1.0
    return linalg.solve(system, right.ravel(), overwrite_a=True).reshape(n, k)


class Krylov:
    """Conjugate gradients, preconditioned by what the first solve of the step has seen."""

    def __init__(self, flow: Any, allowed: float) -> None:
        self._flow, self._allowed = flow, allowed
        self._seen: Nystrom | None = None

    def solve(self, point: Any, gamma: float, right: Array) -> Array:
        root = None if point.hessian is None else square_root(point.hessian)

        def product(v: Array) -> Array:
            return losses.apply(root, self._kernel_product(point, losses.apply(root, v)))

        b = right
        if root is not None:
            b = gamma * losses.apply(root, self._kernel_product(point, right))
        size = float(np.linalg.norm(right))
        enough = min(RELATIVE * size, 2.0 * SHARE * self._allowed / np.sqrt(gamma))
        enough = max(enough, 1e-14 * size)
        y, directions, products = conjugate_gradients(product, gamma, b, enough, self._seen)
        if self._seen is None:
            self._seen = Nystrom.of(directions, products)
        return y if root is None else right - losses.apply(root, y)

    def _kernel_product(self, point: Any, v: Array) -> Array:
        """K v for v (N, k)."""
        flow = self._flow
        flow.clock.counts["products"] += 1
        image: Array = flow.kernel_product(point, v)
        return image.astype(np.float64)


class Nystrom(NamedTuple):
    """G ≈ U diag(λ) Uᵀ with orthonormal columns U (N·k, r)."""

    vectors: Array
    values: Array

    @classmethod
    def of(cls, directions: list[Array], products: list[Array]) -> Nystrom | None:
        """From directions P and the products GP; None where there is nothing to learn."""
        if not directions:
            return None
        p, y = (np.stack([v.ravel() for v in part], axis=1) for part in (directions, products))
        p, y = p / np.linalg.norm(p, axis=0), y / np.linalg.norm(p, axis=0)
        core = p.T @ y
        values, q = np.linalg.eigh(0.5 * (core + core.T))
        kept = values > 1e-12 * values[-1]
        if not kept.any():
            return None
        u, s, _ = np.linalg.svd(y @ (q[:, kept] / np.sqrt(values[kept])), full_matrices=False)
        return cls(u, s**2)

    def solve(self, gamma: float, v: Array) -> Array:
        """(I + γ U diag(λ) Uᵀ)⁻¹ v."""
        scale = gamma * self.values / (1.0 + gamma * self.values)
        flat: Array = v.ravel() - self.vectors @ (scale * (self.vectors.T @ v.ravel()))
        return flat.reshape(v.shape)


def conjugate_gradients(
    product: Callable[[Array], Array],
    gamma: float,
    b: Array,
    enough: float,
    preconditioner: Nystrom | None,
) -> tuple[Array, list[Array], list[Array]]:
    """y with |b − (I + γG) y| <= enough, and up to DIRECTIONS search directions P with GP."""

    def improved(r: Array) -> Array:
        return r if preconditioner is None else preconditioner.solve(gamma, r)

    directions: list[Array] = []
    products: list[Array] = []
    y, r = np.zeros_like(b), b
    z = p = improved(r)
    rz = float((r * z).sum())
    for _ in range(ITERATIONS):
        if not float(np.linalg.norm(r)) > enough:
            break
        image = product(p)
        if len(directions) < DIRECTIONS:
            directions.append(p)
            products.append(image)
        stretched = p + gamma * image
        step = rz / float((p * stretched).sum())
        y, r = y + step * p, r - step * stretched
        z = improved(r)
        rz, before = float((r * z).sum()), rz
        p = z + (rz / before) * p
    return y, directions, products


def square_root(hessian: Array) -> Array:
    """S_i, symmetric, with S_iS_i = H_i for positive semi-definite H (N, k, k)."""
    values, vectors = np.linalg.eigh(hessian)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    out: Array = scaled @ vectors.transpose(0, 2, 1)
    return out
