"""The dual system of an implicit step, (I + γHK) z = b, of size N·k.

It is factorised, or solved by conjugate gradients on products with K = JJ*, each one pull and one
push (about one gradient, the forward pass being done): K is never formed. With a Hessian H = SS of
the loss the symmetric form is

    z = b − S y,    (I + γG) y = γ S K b,    G = S K S;

without one, S = I and the system for z is symmetric as it is. A residual ρ moves the displacement
J*z·h/N by at most ½√γ|ρ| in the COT norm, since √λ/(1 + γλ) <= ½γ^{−½}: that bound ties the
iteration to the run's tolerance.

Three ways, chosen step by step from the sizes and the iterations seen (``prices``): counts, never
the clock, so that runs are reproducible.

"products": the first solve of a step leaves its search directions P and the products GP, and with
them, at no further product, the Nyström approximation GP (PᵀGP)⁻¹ (GP)ᵀ of G, which preconditions
the other solves of the step. It is not carried to the next step: the kernel moves, and fresh
directions were measured to need half as many products. Source of the form: Frangella, Tropp, Udell
2023.

"averaged": outputs share the data, so Ḡ ⊗ I with Ḡ = (1/k) Σ_c G_cc at the first solve of the step
preconditions all of its solves: Ḡ, (N, N), takes 1/k of the work of K, and its eigenvalues serve
every γ.

"factorised": K is formed.

A way that has cost as much within a step as the next one would is given up for that one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde import checks, losses
from mfpde.flows import prices
from mfpde.flows.flow import Flow, Point
from mfpde.flows.preconditioners import Averaged, Nystrom, Preconditioner
from mfpde.runs.step import Solving

Array = NDArray[Any]

PRODUCTS, AVERAGED, FACTORISED = KINDS = ("products", "averaged", "factorised")
# Largest system that is factorised: 8192² doubles are half a gigabyte.
DENSE_ROWS = 8192
# Factorising holds K, the system and its factor: these may take half of the memory.
COPIES = 3
# Share of the step's tolerance that the linear solve may use up; extrapolation amplifies it.
SHARE = 1e-2
# Largest residual beside |b|: near zero loss the tolerance alone would stop the descent.
RELATIVE = 3e-3
# Search directions kept for the preconditioner, and iterations before a solve gives up: the step
# is then judged by its error estimate like any other, and shortened.
DIRECTIONS, ITERATIONS = 100, 500
# Another way must promise this many times less work before it is taken.
STICKINESS = 1.2


class Solver(Protocol):
    """Solves dual systems at the points of one step."""

    def solve(self, point: Point, gamma: float, right: Array) -> Array:
        """z (N, k) with (I + γHK) z = right."""


def costs(flow: Flow, point: Point, solves: int, kernels: int) -> dict[str, float]:
    """Gradients that the solves of one step, at so many points, are worth by each way there is."""
    seen = flow.solving
    found = {PRODUCTS: solves * (seen.products + 1.0)}
    if point.carried.averages and fits(flow.problem.size):
        found[AVERAGED] = prices.mean_kernel(flow) + solves * (seen.averaged + 1.0)
    if fits(flow.rows):
        factors = solves * (prices.factorisation(flow) + 1.0)
        found[FACTORISED] = kernels * prices.kernel(flow) + factors
    return found


def chosen(found: dict[str, float], kind: str) -> str:
    """The cheapest way, but the present one unless that is dearer by far."""
    best = min(found, key=lambda name: found[name])
    return kind if kind in found and found[kind] <= STICKINESS * found[best] else best


def fits(rows: int) -> bool:
    """Whether a system of this size may be formed."""
    return rows <= DENSE_ROWS and COPIES * 8 * rows**2 <= checks.memory_limit() / 2


class Chosen:
    """The dual systems of one step, whose displacement may err by ``allowed`` in the COT norm."""

    def __init__(
        self, flow: Flow, point: Point, allowed: float, *, solves: int, kernels: int
    ) -> None:
        self._flow, self._allowed = flow, allowed
        self._costs = costs(flow, point, solves, kernels)
        self._begin(chosen(self._costs, flow.solving.kind))
        self._seen: Solving = flow.solving

    @property
    def seen(self) -> Solving:
        """What the next step should know."""
        self._note()
        return self._seen._replace(kind=self._kind)

    def solve(self, point: Point, gamma: float, right: Array) -> Array:
        """z (N, k) with (I + γHK) z = right."""
        self._gamma = gamma
        z = self._solver.solve(point, gamma, right)
        while z is None:
            self._note()
            del self._costs[self._kind]
            self._begin(chosen(self._costs, ""))
            z = self._solver.solve(point, gamma, right)
        return z

    def _begin(self, kind: str) -> None:
        """Take a way, up to what the cheapest other one would cost."""
        self._kind = kind
        if kind == FACTORISED:
            self._solver: Any = Dense(self._flow)
            return
        others = [cost for name, cost in self._costs.items() if name != kind]
        budget = min(others, default=np.inf)
        self._solver = Krylov(self._flow, self._allowed, averaged=kind == AVERAGED, budget=budget)

    def _note(self) -> None:
        """Keep what the way at work has needed; and what plain products would, at most."""
        if self._kind == FACTORISED or not self._solver.solved:
            return
        mean = self._solver.products / self._solver.solved
        self._seen = self._seen._replace(**{self._kind: mean})
        if self._kind == AVERAGED:
            bound = iterations(self._gamma * self._solver.largest)
            self._seen = self._seen._replace(products=min(self._seen.products, bound))


def iterations(stiffness: float) -> float:
    """At most so many iterations reach ``RELATIVE`` where γ λ_max is ``stiffness``."""
    root = float(np.sqrt(1.0 + stiffness))
    return 0.5 * root * float(np.log(2.0 * root / RELATIVE))


class Dense:
    """Cholesky (LU where a Hessian makes the system unsymmetric) of the formed system."""

    def __init__(self, flow: Flow) -> None:
        self._clock = flow.clock

    def solve(self, point: Point, gamma: float, right: Array) -> Array:
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
    """Conjugate gradients, preconditioned by the averaged kernel or by what the first solve saw.

    ``solve`` returns None once ``budget`` products have not sufficed.
    """

    def __init__(
        self, flow: Flow, allowed: float, *, averaged: bool = False, budget: float = np.inf
    ) -> None:
        self._flow, self._allowed = flow, allowed
        self._averaged, self._budget = averaged, budget
        self._preconditioner: Preconditioner | None = None
        self.products, self.solved, self.largest = 0, 0, 0.0

    def solve(self, point: Point, gamma: float, right: Array) -> Array | None:
        """z (N, k) with (I + γHK) z = right, or None beyond the budget."""
        root = None if point.hessian is None else square_root(point.hessian)

        def product(v: Array) -> Array:
            return losses.apply(root, self._kernel_product(point, losses.apply(root, v)))

        b = right
        if root is not None:
            b = gamma * losses.apply(root, self._kernel_product(point, right))
        size = float(np.linalg.norm(right))
        enough = min(RELATIVE * size, 2.0 * SHARE * self._allowed / np.sqrt(gamma))
        enough = max(enough, 1e-14 * size)
        if self._averaged and self._preconditioner is None:
            self._preconditioner = self._mean(point, root)
        most = min(ITERATIONS, self._budget - self.products)
        y, directions, products, done = conjugate_gradients(
            product, gamma, b, enough, self._preconditioner, most
        )
        self.solved += 1
        if not done and most < ITERATIONS:
            return None
        if self._preconditioner is None:
            self._preconditioner = Nystrom.of(directions, products)
        return y if root is None else right - losses.apply(root, y)

    def _mean(self, point: Point, root: Array | None) -> Averaged:
        mean = point.mean_kernel(root)
        with self._flow.clock.part("linear_algebra"):
            found = Averaged.of(mean)
        self.largest = float(found.values[-1])
        return found

    def _kernel_product(self, point: Point, v: Array) -> Array:
        """K v for v (N, k)."""
        flow = self._flow
        flow.clock.counts["products"] += 1
        self.products += 1
        image: Array = flow.kernel_product(point, v)
        return image.astype(np.float64)


def conjugate_gradients(
    product: Callable[[Array], Array],
    gamma: float,
    b: Array,
    enough: float,
    preconditioner: Preconditioner | None,
    most: float = ITERATIONS,
) -> tuple[Array, list[Array], list[Array], bool]:
    """y, up to DIRECTIONS search directions P with GP, and whether |b − (I + γG) y| <= enough."""

    def improved(r: Array) -> Array:
        return r if preconditioner is None else preconditioner.solve(gamma, r)

    directions: list[Array] = []
    products: list[Array] = []
    y, r = np.zeros_like(b), b
    z = p = improved(r)
    rz, count = float((r * z).sum()), 0
    while float(np.linalg.norm(r)) > enough:
        if count >= most:
            return y, directions, products, False
        count += 1
        image = product(p)
        if preconditioner is None and len(directions) < DIRECTIONS:
            directions.append(p)
            products.append(image)
        stretched = p + gamma * image
        step = rz / float((p * stretched).sum())
        y, r = y + step * p, r - step * stretched
        z = improved(r)
        rz, before = float((r * z).sum()), rz
        p = z + (rz / before) * p
    return y, directions, products, True


def square_root(hessian: Array) -> Array:
    """S_i, symmetric, with S_iS_i = H_i for positive semi-definite H (N, k, k)."""
    values, vectors = np.linalg.eigh(hessian)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    out: Array = scaled @ vectors.transpose(0, 2, 1)
    return out
