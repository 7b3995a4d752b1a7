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

"products": conjugate gradients as they are.

"kronecker": outputs share the data, so A ⊗ B preconditions all solves of the step, with A (N, N)
the kernel of a few mixed outputs at its first point, and B (k, k) the mean over some data of the
outputs' Gram matrix: 1/k of the work of K, and the eigenvalues of both serve every γ.

"factorised": K is formed.

By either of the first two, the first solve leaves its search directions P and the products GP,
which precondition the other solves of the step besides (``Recycled``): most of these are at the
same point. They are not carried to the next step, where they were measured to save one iteration
in ten.

A way that has cost as much within a step as the next one would is left for that one, and taken to
cost twice as much, so that two bad guesses do not outlast each other; a step whose systems nothing
solves is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde import checks, losses
from mfpde.flows import prices
from mfpde.flows.flow import DescentPoint, Flow, Point
from mfpde.flows.preconditioners import Identity, Kronecker, Preconditioner, Recycled
from mfpde.runs.step import Solving

Array = NDArray[Any]

PRODUCTS, KRONECKER, FACTORISED = "products", "kronecker", "factorised"
# Largest system that is factorised: 8192² doubles are half a gigabyte.
DENSE_ROWS = 8192
# K, the system and its factor, or A and its eigenvectors: these may take half of the memory.
COPIES = 3
# Share of the step's tolerance that the linear solve may use up; extrapolation amplifies it, and a
# way out of a plateau does again: with 1e-2, E erred by 20 rtol there, with this by 2, for as much.
SHARE = 2e-3
# Largest residual beside |b|: near zero loss the tolerance alone would stop the descent.
RELATIVE = 3e-3
# Search directions kept for the preconditioner, and iterations before a solve gives up: the step is
# then refused, for a shorter one is less stiff.
DIRECTIONS, ITERATIONS = 100, 500
# Rounding of a product in single precision, beside |K| |v|.
SINGLE = float(np.finfo(np.float32).eps)
# Rounding of A ⊗ B, beside 1/γ, from which on it is made in double precision.
ROUGHEST = 1e-2
# Another way must promise this many times less work before it is taken.
STICKINESS = 1.2


class Unsolved(Exception):
    """A dual system that no way solves: the step is too long."""


class Solver(Protocol):
    """Solves dual systems at the points of one step."""

    def solve(self, point: Point, gamma: float, right: Array) -> Array:
        """z (N, k) with (I + γHK) z = right. Raises Unsolved."""


def costs(
    flow: Flow, point: Point, solves: int, kernels: int, factors: int | None = None
) -> dict[str, float]:
    """Gradients that the solves of one step, at so many points, are worth by each way there is.

    ``factors``: how many factorisations they take, by default one each.
    """
    seen, each = flow.solving, prices.product(flow)
    found = {PRODUCTS: solves * (each * seen.products + 1.0)}
    if point.carried.mixes and holds(flow.problem.size):
        found[KRONECKER] = prices.kronecker(flow) + solves * (each * seen.kronecker + 1.0)
    if point.carried.forms and fits(flow.rows):
        factorised = (factors or solves) * prices.factorisation(flow) + solves
        found[FACTORISED] = kernels * prices.kernel(flow) + factorised
    return found


def chosen(found: dict[str, float], kind: str) -> str:
    """The cheapest way, but the present one unless that is dearer by far."""
    best = min(found, key=lambda name: found[name])
    return kind if kind in found and found[kind] <= STICKINESS * found[best] else best


def fits(rows: int) -> bool:
    """Whether a system of this size may be factorised."""
    return rows <= DENSE_ROWS and holds(rows)


def holds(rows: int) -> bool:
    """Whether the memory holds what a matrix of this size takes."""
    return COPIES * 8 * rows**2 <= checks.memory_limit() / 2


def updated(seen: Solving, kind: str, mean: float, plain: float) -> Solving:
    """``seen`` after a step that needed ``mean`` iterations a solve by way of ``kind``.

    With A ⊗ B those without it are known to be ``plain``; without, those with it were measured to
    grow like the root of what is seen.
    """
    mean = max(mean, 0.5)
    if kind == PRODUCTS:
        growth = float(np.sqrt(mean / seen.products))
        return Solving(kind, mean, seen.kronecker * growth)
    return Solving(kind, max(plain, 0.5) if plain else seen.products, mean)


def allowed(flow: Flow, point: DescentPoint, h: float, rtol: float, atol: float) -> float:
    """What a step's displacement may err by: the tolerance, and no more than it may move at all.

    No implicit step moves further than h |grad E|. Near rest, where data contradict each other and
    the loss stays positive, errors beyond that would be all that moves.
    """
    return min(atol + rtol * flow.norm(point.state), h * float(np.sqrt(point.norm2)))


class Chosen:
    """The dual systems of one step, whose displacement may err by ``allowed`` in the COT norm."""

    def __init__(
        self,
        flow: Flow,
        point: Point,
        allowed: float,
        *,
        solves: int,
        kernels: int,
        factors: int | None = None,
    ) -> None:
        self._flow, self._allowed = flow, allowed
        self._costs = costs(flow, point, solves, kernels, factors)
        self._seen = flow.solving
        self._ways: dict[str, Any] = {}
        self._begin(chosen(self._costs, self._seen.kind))

    @property
    def seen(self) -> Solving:
        """What the next step should know."""
        self._note()
        return self._seen

    def solve(self, point: Point, gamma: float, right: Array) -> Array:
        """z (N, k) with (I + γHK) z = right. Raises Unsolved."""
        while (z := self._solver.solve(point, gamma, right)) is None:
            self._note()
            if self._solver.stagnates:
                del self._costs[self._kind]
            else:
                self._costs[self._kind] = 2.0 * self._solver.budget * prices.product(self._flow)
            if not self._costs:
                raise Unsolved
            self._begin(chosen(self._costs, ""))
        return z

    def _begin(self, kind: str) -> None:
        """Take a way, up to what the cheapest other one would cost, and from where it stood."""
        self._kind = kind
        if kind not in self._ways:
            self._ways[kind] = (
                Dense(self._flow)
                if kind == FACTORISED
                else Krylov(self._flow, self._allowed, kronecker=kind == KRONECKER)
            )
        self._solver = self._ways[kind]
        others = [cost for name, cost in self._costs.items() if name != kind]
        self._solver.budget = STICKINESS * min(others, default=np.inf) / prices.product(self._flow)

    def _note(self) -> None:
        """Keep what the way at work has needed, and what plain products would."""
        if self._kind == FACTORISED:
            self._seen = self._seen._replace(kind=FACTORISED)
        elif (solver := self._solver).products:
            mean = solver.products / (solver.solved + solver.unsolved)
            plain = solver.without * mean / max(solver.first, 1)
            self._seen = updated(self._seen, self._kind, mean, plain)


class Dense:
    """Cholesky (LU where a Hessian makes the system unsymmetric) of the formed system.

    The last factor serves again at the same point and γ.
    """

    budget = np.inf

    def __init__(self, flow: Flow) -> None:
        self._clock = flow.clock
        self._of: tuple[Point | None, float] = None, 0.0

    def solve(self, point: Point, gamma: float, right: Array) -> Array:
        if self._of[0] is not point or self._of[1] != gamma:
            kernel = point.kernel
            self._clock.counts["factorisations"] += 1
            with self._clock.part("linear_algebra"):
                self._solved = _factorised(gamma * kernel, point.hessian, right.shape)
            self._of = point, gamma
        with self._clock.part("linear_algebra"):
            return self._solved(right.ravel()).reshape(right.shape)


def _factorised(
    scaled: Array, hessian: Array | None, shape: tuple[int, ...]
) -> Callable[[Array], Array]:
    """b ↦ (I + γHK)⁻¹ b."""
    from scipy import linalg

    from mfpde.kernels import cholesky  # which brings scipy.linalg

    system = scaled
    if hessian is not None:
        (n, k), rows = shape, len(scaled)
        system = np.einsum("nab,nbr->nar", hessian, scaled.reshape(n, k, rows)).reshape(rows, rows)
    system.flat[:: len(system) + 1] += 1.0
    if hessian is None:
        with contextlib.suppress(linalg.LinAlgError):
            return partial(linalg.cho_solve, cholesky.factor(system), check_finite=False)
        # γλ_max(K) beyond 1/eps: rounding can cost K its sign, not the system its rank.
    return partial(
        linalg.lu_solve, linalg.lu_factor(system, check_finite=False), check_finite=False
    )


class Krylov:
    """Conjugate gradients, preconditioned by A ⊗ B or not, and by what the first solve saw.

    ``solve`` returns None once ``budget`` products, or ITERATIONS of a solve, have not sufficed.
    Products are made in single precision where that is cheaper. Where their rounding may count, a
    product in double precision says what is left, which is then solved for; what single precision
    does not halve is left to double.
    """

    def __init__(
        self, flow: Flow, allowed: float, *, kronecker: bool = False, budget: float = np.inf
    ) -> None:
        self._flow, self._allowed = flow, allowed
        self._kronecker, self.budget = kronecker, budget
        self.stagnates = False
        self._base: Preconditioner | None = None
        self._single: tuple[Point | None, Any] = None, None  # the data once more, for one point
        self._rough = prices.single(flow)
        self.products, self.solved, self.unsolved = 0, 0, False
        self.first, self.without = 0, 0.0  # of the first solve, as it was and without A ⊗ B

    def solve(self, point: Point, gamma: float, right: Array) -> Array | None:
        """z (N, k) with (I + γHK) z = right, or None."""
        root = point.root
        b = right
        if root is not None:
            b = gamma * losses.apply(root, self._product(point.carried, right))
        size = float(np.linalg.norm(right))
        enough = min(RELATIVE * size, 2.0 * SHARE * self._allowed / np.sqrt(gamma))
        enough = max(enough, 1e-14 * size)
        base, first = self._base or self._start(point, gamma), self.solved == 0
        self._base, before = base, self.products
        most = min(ITERATIONS, max(self.budget - self.products, 1.0))
        found = self._refined(point, gamma, b, enough, base, most, keep=first)
        self.unsolved = not found.done
        if not found.done:
            self.stagnates = most >= ITERATIONS
            return None
        self.solved += 1
        if first:
            self._base = Recycled.of(base, found.directions, found.images)
            self.first = self.products - before
            if isinstance(base, Kronecker):
                self.without = without(base, gamma, b, enough)
        return found.y if root is None else right - losses.apply(root, found.y)

    def _refined(
        self,
        point: Point,
        gamma: float,
        b: Array,
        enough: float,
        base: Preconditioner,
        most: float,
        *,
        keep: bool,
    ) -> Found:
        """(I + γG) y = b, the error of products in single precision looked after."""
        exact = partial(self._symmetric, point, point.carried)
        if not self._rough:
            return conjugate_gradients(exact, gamma, b, enough, base, most, keep=keep)
        rough = partial(self._symmetric, point, self._in_single(point))
        found = conjugate_gradients(rough, gamma, b, enough, base, most, keep=keep)
        left = float(np.linalg.norm(b))
        while found.done and found.rounding > 0.5 * enough:
            rest = b - found.y - gamma * exact(found.y)
            before, left = left, float(np.linalg.norm(rest))
            if left <= enough:
                break
            self._rough = left <= 0.5 * before
            way = rough if self._rough else exact
            more = conjugate_gradients(way, gamma, rest, enough, base, most, keep=False)
            rounding = more.rounding if self._rough else 0.0
            found = found._replace(y=found.y + more.y, done=more.done, rounding=rounding)
        return found

    def _start(self, point: Point, gamma: float) -> Preconditioner:
        if not self._kronecker:
            return Identity()
        if self._rough:
            found = self._factors(point, self._in_single(point))
            if SINGLE * gamma * found.largest < ROUGHEST:
                return found
        return self._factors(point, point.carried)

    def _factors(self, point: Point, carried: Any) -> Kronecker:
        data, outputs = self._flow.kronecker(point, carried)
        with self._flow.clock.part("linear_algebra"):
            return Kronecker.of(data, outputs)

    def _in_single(self, point: Point) -> Any:
        """The data carried in single precision."""
        if self._single[0] is not point:
            operator = self._flow.operator.single
            with self._flow.clock.part("kernels"):
                self._single = point, operator.carry(point.state.astype(np.float32))
        return self._single[1]

    def _symmetric(self, point: Point, carried: Any, v: Array) -> Array:
        """G v for v (N, k)."""
        return losses.apply(point.root, self._product(carried, losses.apply(point.root, v)))

    def _product(self, carried: Any, v: Array) -> Array:
        """K v for v (N, k)."""
        self.products += 1
        image: Array = self._flow.carried_product(carried, v)
        return image.astype(np.float64)


def without(kernel: Kronecker, gamma: float, b: Array, enough: float) -> float:
    """Iterations that (I + γ A ⊗ B) y = b takes without a preconditioner: no product with K."""
    spectrum = np.multiply.outer(kernel.values, kernel.shares)
    turned, count = kernel.data.T @ b @ kernel.outputs, 0

    def product(v: Array) -> Array:
        nonlocal count
        count += 1
        return spectrum * v

    conjugate_gradients(product, gamma, turned, enough, Identity(), keep=False)
    return float(count)


class Found(NamedTuple):
    """What conjugate gradients found.

    ``y``, up to DIRECTIONS search directions P with GP, whether the residual is small enough, and
    how far it may be off where products are rounded to single precision.
    """

    y: Array
    directions: list[Array]
    images: list[Array]
    done: bool
    rounding: float


def conjugate_gradients(
    product: Callable[[Array], Array],
    gamma: float,
    b: Array,
    enough: float,
    preconditioner: Preconditioner,
    most: float = ITERATIONS,
    *,
    keep: bool = True,
) -> Found:
    """y with |b − (I + γG) y| <= enough, if ``most`` iterations suffice."""
    improved = preconditioner.inverse(gamma)
    directions: list[Array] = []
    products: list[Array] = []
    y, r = np.zeros_like(b), b
    z = p = improved(r)
    rz, count, largest, path = float((r * z).sum()), 0, 0.0, 0.0
    while float(np.linalg.norm(r)) > enough and count < most:
        count += 1
        image = product(p)
        if keep and len(directions) < DIRECTIONS:
            directions.append(p)
            products.append(image)
        stretched = p + gamma * image
        step = rz / float((p * stretched).sum())
        size = float(np.linalg.norm(p))
        largest = max(largest, float(np.linalg.norm(image)) / size)  # |G| from below
        path += abs(step) * size
        y, r = y + step * p, r - step * stretched
        z = improved(r)
        rz, before = float((r * z).sum()), rz
        p = z + (rz / before) * p
    done = float(np.linalg.norm(r)) <= enough
    return Found(y, directions, products, done, SINGLE * gamma * largest * path)
