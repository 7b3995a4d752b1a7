"""What every slice solver takes and returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from mfpde.transport.pricing import cheapest_arcs

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Potentials = tuple[Floats, Floats]
T = TypeVar("T")


@dataclass(frozen=True)
class Slice:
    """The laws Σ a_i δ_{x_i} and Σ b_j δ_{y_j} at one depth: x (n, p), a (n,), y (m, p), b (m,)."""

    x: Floats
    a: Floats
    y: Floats
    b: Floats

    @property
    def size(self) -> int:
        """Atoms of the larger law."""
        return max(len(self.x), len(self.y))

    @property
    def balanced(self) -> bool:
        """Same number of atoms, and the i-th of both has the same weight."""
        return len(self.a) == len(self.b) and bool(np.allclose(self.a, self.b, rtol=1e-12, atol=0))


@dataclass(frozen=True)
class SliceResult:
    """W₂² of one slice (or what the method puts in its place) and what proves it.

    ``potentials`` (u, v) satisfy u_i + v_j <= |x_i − y_j|²; ``gap`` = cost − Σ a u − Σ b v bounds
    the error from above. Parts a method does not have are None.
    """

    cost: float
    plan: coo_array | None = None
    potentials: Potentials | None = None
    gap: float | None = None


class Method(ABC):
    """A way to solve one slice. ``kind`` says what its number is worth."""

    name: ClassVar[str]
    kind: ClassVar[str]  # "exact", "upper bound", "lower bound" or "biased estimate"

    @abstractmethod
    def solve(self, pair: Slice, start: Potentials | None = None) -> SliceResult:
        """Solve one slice, from the potentials of a nearby problem where given."""

    def cost(self, pair: Slice) -> float:
        """The number alone, where it is cheaper to have than the plan."""
        return self.solve(pair).cost

    def costs(self, pairs: Sequence[Slice], workers: int) -> Floats:
        """The numbers alone, one per slice."""
        return np.array(_each(workers, self.cost, pairs))

    def solve_all(
        self,
        pairs: Sequence[Slice],
        workers: int,
        starts: Sequence[Potentials | None] | None = None,
    ) -> list[SliceResult]:
        """Solve the slices on `workers` threads; the results do not depend on their number."""
        begin = starts if starts is not None else [None] * len(pairs)
        return _each(workers, self.solve, pairs, begin)


def _each(workers: int, function: Callable[..., T], *arguments: Sequence[Any]) -> list[T]:
    """``map`` over threads, in order; the solvers release the interpreter lock."""
    threads = min(workers, len(arguments[0]))
    if threads < 2:
        return list(map(function, *arguments))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, *arguments))


def sparse_plan(pair: Slice, rows: Ints, columns: Ints, flow: Floats) -> coo_array:
    """The plan as a sparse (n, m) array."""
    return coo_array((flow, (rows, columns)), shape=(len(pair.x), len(pair.y)))


def certify(pair: Slice, cost: float, v: Floats) -> tuple[Potentials, float]:
    """Make v feasible on all pairs by a c-transform, and the duality gap it leaves."""
    u = cheapest_arcs(pair.x, pair.y, v, 1)[1][:, 0]
    return (u, v), float(cost - pair.a @ u - pair.b @ v)
