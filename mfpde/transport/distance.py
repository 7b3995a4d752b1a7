"""COT²(ρ, ρ′) = ∫₀¹ W₂²(ρ_t, ρ′_t) dt between any two measures: the distance and its plans."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array

from mfpde import checks
from mfpde.transport.measure import (
    CellPair,
    ConditionalMeasure,
    as_measure,
    check_pair,
    common_refinement,
    measured,
)
from mfpde.transport.methods import Method, Slice, pick
from mfpde.transport.methods.base import Potentials

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CotResult:
    """What `conditional_transport` returns. C is the number of cells of the common refinement.

    ``distance`` COT, not squared. ``per_depth`` (C,) W₂(ρ_t, ρ′_t) on each cell. ``cells`` (length,
    cell of mu, cell of nu). ``plans`` C sparse arrays (n, m), or None for methods without a plan.
    ``potentials`` C pairs (u, v) with u_i + v_j <= |x_i − y_j|², in the metric, or None. ``gap``
    (or None) bounds the error: COT² lies in [distance² − gap, distance²] up to round-off. ``kind``
    says what the number is: "exact", "upper bound", "lower bound", "biased estimate". ``reason``
    why the method was taken. ``mu``, ``nu`` the measures compared.
    """

    distance: float
    per_depth: Floats
    cells: tuple[CellPair, ...]
    plans: tuple[coo_array, ...] | None = field(repr=False)
    potentials: tuple[Potentials, ...] | None = field(repr=False)
    method: str
    kind: str
    gap: float | None
    reason: str
    mu: ConditionalMeasure = field(repr=False)
    nu: ConditionalMeasure = field(repr=False)

    def __repr__(self) -> str:
        proof = "" if self.gap is None else f", duality gap {self.gap:.1e} in COT²"
        return (
            f"CotResult(distance={self.distance:.10g}, {self.kind} by {self.method!r} "
            f"({self.reason}){proof}, {len(self.cells)} depth cells)"
        )


@checks.typed
def cot_distance(
    mu: Any,
    nu: Any,
    *,
    rates: ArrayLike | None = None,
    method: str | Method = "auto",
    workers: int | None = None,
) -> float:
    """Conditional optimal transport distance, not squared.

        COT(ρ, ρ′) = (∫₀¹ W₂²(ρ_t, ρ′_t) dt)^{1/2}

    Args:
        mu, nu: measures on the same R^p: ParticleMeasure, anything with ``to_particles()``,
            ConditionalMeasure, or arrays ``(t, theta[, weights])`` (see `as_measure`). Depth nodes,
            numbers of atoms and weights may differ; different depth axes are compared on the common
            refinement of their cells.
        rates: η (p,) > 0 of the metric Σ_i dθ_i²/η_i, such as ``problem.rates``; None is 1.
        method: "auto" (exact), or a name or object of `mfpde.transport.methods`: "one_dim",
            "simplex", "shortlist", "assignment" (exact); "same_index" (upper bound); "sliced"
            (lower bound); "sinkhorn" (biased).
        workers: threads over depth cells; by default the processors at hand. The result does not
            depend on it.

    Raises:
        ValueError, TypeError: bad measures, different p, an unknown method, or a method that does
            not apply to these measures.

    Source: Barboni, Peyré, Vialard 2024, Definition 2.1.
    """
    problem = _Problem.of(mu, nu, rates)
    solver, _ = pick(method, problem.slices)
    costs = solver.costs(problem.slices, _workers(workers))
    return float(np.sqrt(problem.lengths @ np.maximum(costs, 0.0)))


@checks.typed
def uniform_distance(
    mu: Any,
    nu: Any,
    *,
    rates: ArrayLike | None = None,
    method: str | Method = "auto",
    workers: int | None = None,
) -> float:
    """The largest transport distance over depth, never below ``cot_distance``.

        d(ρ, ρ′) = sup_t W₂(ρ_t, ρ′_t) >= (∫₀¹ W₂²(ρ_t, ρ′_t) dt)^{1/2} = COT(ρ, ρ′)

    Args:
        mu, nu, rates, method, workers: as in `cot_distance`; the supremum is over the cells of the
            common refinement.

    Raises:
        ValueError, TypeError: as `cot_distance`.

    Source: Ding, Chen, Li, Wright 2022, Definition 4.1 (d₁).
    """
    problem = _Problem.of(mu, nu, rates)
    solver, _ = pick(method, problem.slices)
    costs = solver.costs(problem.slices, _workers(workers))
    return float(np.sqrt(np.max(np.maximum(costs, 0.0)[problem.lengths > 0.0])))


@checks.typed
def conditional_transport(
    mu: Any,
    nu: Any,
    *,
    rates: ArrayLike | None = None,
    method: str | Method = "auto",
    workers: int | None = None,
    start: CotResult | None = None,
) -> CotResult:
    """The conditional optimal transport between two measures: distance, plans, potentials, proof.

    Args:
        mu, nu, rates, method, workers: as in `cot_distance`.
        start: the result of a nearby problem on the same cells with the same numbers of atoms (the
            previous step of a flow); its potentials are the first guess.

    Raises:
        ValueError, TypeError: as `cot_distance`; or `start` does not fit.
    """
    problem = _Problem.of(mu, nu, rates)
    solver, reason = pick(method, problem.slices)
    starts = None if start is None else _starts(start, problem)
    results = solver.solve_all(problem.slices, _workers(workers), starts)
    costs = np.maximum([r.cost for r in results], 0.0)
    plans = tuple(r.plan for r in results if r.plan is not None)
    potentials = tuple(r.potentials for r in results if r.potentials is not None)
    gaps = [r.gap for r in results if r.gap is not None]
    every = len(results)
    return CotResult(
        distance=float(np.sqrt(problem.lengths @ costs)),
        per_depth=np.sqrt(costs),
        cells=problem.cells,
        plans=plans if len(plans) == every else None,
        potentials=potentials if len(potentials) == every else None,
        method=solver.name,
        kind=solver.kind,
        gap=float(problem.lengths @ gaps) if len(gaps) == every else None,
        reason=reason,
        mu=problem.mu,
        nu=problem.nu,
    )


@dataclass(frozen=True)
class _Problem:
    mu: ConditionalMeasure
    nu: ConditionalMeasure
    cells: tuple[CellPair, ...]
    slices: list[Slice]

    @classmethod
    def of(cls, first: Any, second: Any, rates: ArrayLike | None) -> _Problem:
        mu, nu = as_measure("mu", first), as_measure("nu", second)
        check_pair(mu, nu)
        cells = tuple(common_refinement(mu, nu))
        x, y = measured(mu, rates).atoms, measured(nu, rates).atoms
        slices = [Slice(x[k], mu.weights[k], y[j], nu.weights[j]) for _, k, j in cells]
        return cls(mu, nu, cells, slices)

    @property
    def lengths(self) -> Floats:
        return np.array([cell.length for cell in self.cells])


def _starts(start: CotResult, problem: _Problem) -> tuple[Potentials, ...]:
    if start.potentials is None:
        raise ValueError(f"start has no potentials: method {start.method!r} does not compute them")
    given = [(len(u), len(v)) for u, v in start.potentials]
    wanted = [(len(pair.x), len(pair.y)) for pair in problem.slices]
    if given != wanted:
        raise ValueError(f"start must have slices of sizes {wanted}; given {given}")
    return start.potentials


def _workers(workers: int | None) -> int:
    if workers is not None:
        return checks.count("workers", workers)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
