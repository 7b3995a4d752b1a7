"""A run of particles and its linearisation: tangents, and adjoints back.

The run is one of ``solve``; its steps (``steps``, ``implicit_steps``) are taken again, cut where a
mark lies inside one, so that what is differentiated is one discrete map.

States that are large are kept at every √n-th of the n steps, and those in between are computed
again on the way back: memory is 2√n states beside the C displacements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde.flows import switching
from mfpde.flows.solve import solve
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import operator_of
from mfpde.passes.second_order import Directions
from mfpde.problem import Problem
from mfpde.response.implicit_steps import Implicit
from mfpde.response.linearised import Linearised
from mfpde.response.steps import EXPLICIT, Pulled, Step
from mfpde.runs.solution import Solution
from mfpde.runs.status import Status

Array = NDArray[np.float64]

METHODS = (*EXPLICIT, "implicit", "auto")
# Bytes of a run's states that are all kept.
KEPT = 1 << 24


class Seeds(NamedTuple):
    """C observables F at one time: COT gradients in θ (C, K, M, p), and the rest.

    ``potential`` (C, K, M) is ∂F/∂a_kj over ω_k, ``start`` (C, N, d) the gradient in X(0).
    """

    displacement: Array
    potential: Array
    start: Array


class Trajectory:
    """The discrete run of ``rho0`` through the times ``s`` (n + 1,), which contain the marks.

    ``taken`` are its n steps, or the name of an explicit method.
    """

    def __init__(
        self,
        problem: Problem,
        rho0: ParticleMeasure,
        taken: str | Sequence[Step],
        s: Array,
        marks: Sequence[float] = (),
    ) -> None:
        """States at ``marks`` are kept whole: all else is computed again where it is needed."""
        self.problem, self.s, self.marks, self.rho0 = problem, s, tuple(marks), rho0
        several = [EXPLICIT[taken]] * (len(s) - 1) if isinstance(taken, str) else taken
        self.taken: Sequence[Step] = several
        stack = operator_of(problem, rho0).layers(rho0.theta)
        self._layers = stack._replace(weights=stack.weights.astype(np.float64))
        self._start = problem.start()
        all_kept = rho0.theta.size * 8 * len(s) <= KEPT
        self.every = 1 if all_kept else int(np.ceil(np.sqrt(len(s) - 1)))
        self._marked: dict[int, Array] = dict.fromkeys(map(self.index, marks), rho0.theta)
        self._kept = list(self._checkpoints())

    @property
    def steps(self) -> int:
        """n."""
        return len(self.s) - 1

    @property
    def gradients(self) -> int:
        """Gradients that all steps take."""
        return sum(step.gradients for step in self.taken)

    @property
    def repeated(self) -> int:
        """How often an adjoint takes these gradients again, beside its products."""
        return 1 if self.every == 1 else 2

    def index(self, time: float) -> int:
        """The step after which the run is at a mark."""
        return int(np.abs(self.s - time).argmin())

    def beside(self, weights: Array) -> Trajectory:
        """The same steps from other weights (K, M)."""
        rho0 = ParticleMeasure(self.rho0.theta, self.rho0.depth, weights)
        return Trajectory(self.problem, rho0, self.taken, self.s, self.marks)

    def at(self, n: int) -> Linearised:
        """The linearised flow after n steps."""
        if n in self._marked:
            return self._point(self._marked[n])
        base = n - n % self.every
        theta = self._kept[base // self.every]
        for k in range(base, n):
            theta = self._advance(theta, k)
        return self._point(theta)

    def tangents(
        self, initial: Array, mass: Array | None, marks: Sequence[int]
    ) -> Iterator[tuple[Linearised, Directions]]:
        """The point and the C directions at each mark, along changes of θ_0 and of the weights."""
        theta, change = self._kept[0], initial
        wanted = set(marks)
        for n in range(self.steps + 1):
            if n in wanted:
                yield self._point(theta), Directions(change, mass)
            if n == max(wanted):
                return
            theta, change = self.taken[n].push(self._point, theta, self._length(n), change, mass)

    def adjoint(
        self, seeds: Mapping[int, Seeds], tick: Callable[[int], None] | None = None
    ) -> Pulled:
        """Pull observables at marks back to the start; rows follow the marks, latest first.

        ``tick`` is called with the number of steps left.
        """
        last = max(seeds)
        found = _nothing(self.rho0, self.problem)
        states: list[Array] = []
        for n in range(last, 0, -1):
            if n in seeds:
                found = _joined(found, seeds[n])
            if not states:
                states = self._segment(n - 1)
            h = self._length(n - 1)
            found = self.taken[n - 1].pull(self._point, states.pop(), h, found)
            if tick is not None:
                tick(n - 1)
        return _joined(found, seeds[0]) if 0 in seeds else found

    # -- one step -------------------------------------------------------------------------------

    def _point(self, theta: Array) -> Linearised:
        stack = self._layers._replace(theta=theta)
        return Linearised(self.problem, stack, self._start, self.problem.penalty)

    def _advance(self, theta: Array, n: int) -> Array:
        return self.taken[n].advance(self._point, theta, self._length(n))

    def _length(self, n: int) -> float:
        return float(self.s[n + 1] - self.s[n])

    # -- checkpoints ----------------------------------------------------------------------------

    def _checkpoints(self) -> Iterator[Array]:
        theta = self.rho0.theta.astype(np.float64)
        for n in range(self.steps):
            if n % self.every == 0:
                yield theta
            theta = self._advance(theta, n)
            if n + 1 in self._marked:
                self._marked[n + 1] = theta
        yield theta
        self.final = theta

    def _segment(self, n: int) -> list[Array]:
        """The states from the last checkpoint up to n."""
        base = n - n % self.every
        states = [self._kept[base // self.every]]
        for k in range(base, n):
            states.append(self._advance(states[-1], k))
        return states


def record(
    problem: Problem,
    rho0: ParticleMeasure,
    marks: Sequence[float],
    *,
    method: str = "rk45",
    rtol: float = 1e-4,
    step: float | None = None,
) -> Trajectory:
    """The run of ``solve`` to the last mark, as a trajectory whose steps end on every mark."""
    methods = [switching.EXPLICIT if method == "auto" else method]

    def note(sol: Solution) -> None:
        methods.append(sol.control.method if method == "auto" else method)

    run = solve(
        problem,
        rho0,
        s_end=float(max(marks)),
        method=method,
        rtol=rtol,
        step=step,
        save=sorted(marks) if method not in ("rk45", "auto") else None,
        callback=note,
        progress=False,
    )
    if run.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    s = cut(run.s, marks)
    # Each step is taken by the method of the one that it was a part of.
    of = np.minimum(np.searchsorted(run.s, 0.5 * (s[1:] + s[:-1])), len(run.s) - 1) - 1
    kinds = EXPLICIT | {"implicit": Implicit(rows_for(rtol))}
    return Trajectory(problem, rho0, [kinds[methods[n]] for n in of], s, marks)


def rows_for(rtol: float) -> tuple[int, ...]:
    """Rows of the extrapolation that repeats implicit steps of this tolerance at least as well.

    The run itself may have taken them by another method of that order (``mfpde.flows.schemes``).
    """
    return (1, 2) if rtol >= 3e-3 else (1, 2, 3) if rtol >= 3e-4 else (2, 3, 4, 5)


def descended(
    problem: Problem, rho0: ParticleMeasure, marks: Sequence[float], step: float
) -> Trajectory:
    """Gradient descent as networks take it, with marks at whole steps: nothing is judged."""
    end = float(max(marks))
    s = np.linspace(0.0, end, round(end / step) + 1)
    return Trajectory(problem, rho0, "gd", cut(s, marks), marks)


def cut(s: Array, marks: Sequence[float]) -> Array:
    """Times of steps with the marks among them; a mark within rounding of one replaces it."""
    ends = np.unique(np.asarray(marks, float))
    far = np.abs(s[:, None] - ends[None]).min(axis=1) > 1e-12 * s[-1]
    found: Array = np.union1d(s[far], ends[ends > 0])
    return found if found[0] == 0.0 else np.concatenate([[0.0], found])


def _nothing(rho0: ParticleMeasure, problem: Problem) -> Pulled:
    n, d, k = problem.size, problem.block.dim, problem.outputs
    shape = rho0.theta.shape
    return Pulled(
        np.zeros((0, *shape)),
        np.zeros((0, *shape[:2])),
        np.zeros((0, n, d)),
        np.zeros((0, n, k)),
        np.zeros(0),
        np.zeros((0, n)),
    )


def _joined(found: Pulled, seeds: Seeds) -> Pulled:
    """With new rows, whose derivatives in the data and the decay begin at zero."""
    count = len(seeds.displacement)
    new = (*seeds, *(np.zeros((count, *each.shape[1:])) for each in found[3:]))
    return Pulled(*(np.concatenate(pair) for pair in zip(found, new, strict=True)))


def of_outputs(point: Linearised, v: Array) -> Seeds:
    """Seeds of ⟨v_c, outputs⟩ for v (C, N, k)."""
    return Seeds(*point.pull(v))


def of_others(point: Linearised, x: Array, v: Array) -> Seeds:
    """Seeds of ⟨v_c, outputs at other points⟩ for X(0) = x (n, d) and v (C, n, k)."""
    displacement, potential, _ = point.pull(v, x)
    return Seeds(displacement, potential, np.zeros((len(v), *point.start.shape)))


def of_loss(point: Linearised) -> Seeds:
    """The seed of E."""
    problem, theta = point.problem, point.layers.theta
    slope = problem.loss_gradient(point.outputs) / problem.size
    found: Any = of_outputs(point, slope[None])
    if problem.penalty:
        found.displacement[...] += problem.penalty.gradient(theta)
        found.potential[...] += problem.penalty.value(theta)
    return found


def scaled(seeds: Seeds, factors: Array) -> Seeds:
    """``factors`` (C,) times the seed of one observable."""
    return Seeds(*(np.multiply.outer(factors, each[0]) for each in seeds))


def of_penalty(point: Linearised) -> Seeds:
    """The seed of ∫∫ r dρ."""
    theta, penalty = point.layers.theta, point.problem.penalty
    none = np.zeros((1, *point.start.shape))
    return Seeds(penalty.gradient(theta)[None], penalty.value(theta)[None], none)
