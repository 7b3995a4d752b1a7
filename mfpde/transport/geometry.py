"""Geodesics, barycentres and tangent fields of the COT space, depth by depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.transport.distance import CotResult, conditional_transport, cot_distance
from mfpde.transport.measure import ConditionalMeasure, as_measure, common_refinement

Floats = NDArray[np.float64]


@checks.typed
def geodesic(transport: CotResult, r: float) -> ConditionalMeasure:
    """The point at r ∈ [0, 1] of the constant-speed geodesic between two measures.

        ρ^r_t = ((1 − r) π_1 + r π_2)_# γ_t,   γ_t an optimal plan of (ρ_t, ρ′_t)

    so that COT(ρ, ρ^r) = r COT(ρ, ρ′) and COT(ρ^r, ρ′) = (1 − r) COT(ρ, ρ′). The depth cells are
    those of the common refinement; for equal weights and sizes the atoms keep the order of mu.

    Args:
        transport: result of `conditional_transport` with an exact method. r: 0 at mu, 1 at nu.

    Raises:
        ValueError: r outside [0, 1], or a method that gives no optimal plan.

    Source: McCann 1997, in every depth slice.
    """
    if not 0.0 <= r <= 1.0:
        raise ValueError(f"r must lie in [0, 1]; given {r!r}")
    _check_plans(transport)
    atoms, weights = [], []
    for cell, plan in zip(transport.cells, transport.plans or (), strict=True):
        order = np.lexsort((plan.col, plan.row))
        x = transport.mu.atoms[cell.first][plan.row[order]]
        y = transport.nu.atoms[cell.second][plan.col[order]]
        atoms.append((1.0 - r) * x + r * y)
        weights.append(plan.data[order] / plan.data.sum())
    edges = _edges(transport)
    return ConditionalMeasure(edges, 0.5 * (edges[1:] + edges[:-1]), tuple(atoms), tuple(weights))


@checks.typed
def tangent_field(transport: CotResult) -> tuple[Floats, ...]:
    """The velocity at r = 0 of the geodesic, at the atoms of mu: one array (n, p) per depth cell.

        v_t(x_i) = Σ_j γ_ij (y_j − x_i) / a_i

    the barycentric projection of an optimal plan: where the plan is a map its L² norm is the
    distance, else it is smaller. Atoms without mass have velocity zero.

    Raises:
        ValueError: a method that gives no optimal plan.

    Source: Ambrosio, Gigli, Savaré 2008, Section 8.5 and Definition 5.4.2.
    """
    _check_plans(transport)
    fields = []
    for cell, plan in zip(transport.cells, transport.plans or (), strict=True):
        x, a = transport.mu.atoms[cell.first], transport.mu.weights[cell.first]
        moved = plan.tocsr() @ transport.nu.atoms[cell.second]
        mass = np.where(a > 0.0, a, 1.0)[:, None]
        fields.append(np.where(a[:, None] > 0.0, moved / mass - x, 0.0))
    return tuple(fields)


@dataclass(frozen=True)
class Barycentre:
    """``measure`` and the objective Σ_l λ_l COT²(ρ, ρ^l) at every iterate, which never rises."""

    measure: ConditionalMeasure
    objective: Floats


@checks.typed
def barycentre(
    measures: Sequence[Any],
    coefficients: ArrayLike | None = None,
    *,
    rtol: float = 1e-8,
    iterations: int = 100,
    workers: int | None = None,
) -> Barycentre:
    """A measure that locally minimises Σ_l λ_l COT²(ρ, ρ^l), with the weights of the first one.

    Atoms move to Σ_l λ_l T_l(x), T_l the barycentric projections of the optimal plans, until the
    objective falls by less than `rtol`. The problem is not convex in the atoms: the answer is a
    stationary one, the minimiser among fixed-support-size measures in p = 1.

    Args:
        measures: at least one, on the same R^p; the first also gives the start, on the common
            refinement of all depth cells. coefficients: λ (L,) >= 0, made to sum 1; equal by
            default. rtol: relative. iterations: at most so many.

    Raises:
        ValueError: no measure, different p, or coefficients that are not weights.

    Source: Álvarez-Esteban et al. 2016; Cuturi, Doucet 2014 (free support).
    """
    given = [as_measure(f"measures[{k}]", m) for k, m in enumerate(measures)]
    if not given:
        raise ValueError("measures must hold at least one measure")
    lam = _coefficients(coefficients, len(given))
    current = given[0]
    for other in given[1:]:
        current = _refine(current, other)
    objective: list[float] = []
    starts: list[CotResult | None] = [None] * len(given)
    for _ in range(checks.count("iterations", iterations)):
        maps = [
            conditional_transport(current, m, workers=workers, start=start)
            for m, start in zip(given, starts, strict=True)
        ]
        starts = [plan if plan.method != "one_dim" else None for plan in maps]
        objective.append(float(sum(w * t.distance**2 for w, t in zip(lam, maps, strict=True))))
        if len(objective) > 1 and objective[-2] - objective[-1] <= rtol * objective[-2]:
            break
        current = _moved(current, lam, maps)
    return Barycentre(current, np.array(objective))


@checks.typed
def path_length(
    measures: Sequence[Any], *, rates: ArrayLike | None = None, workers: int | None = None
) -> float:
    """Σ COT(ρ_i, ρ_{i+1}): the length of a sampled path, from below (it grows with the sampling).

    ``rates`` as in `cot_distance`.

    Raises:
        ValueError: fewer than two measures.
    """
    return float(np.sum(steps(measures, rates=rates, workers=workers)))


@checks.typed
def metric_speed(
    s: ArrayLike,
    measures: Sequence[Any],
    *,
    rates: ArrayLike | None = None,
    workers: int | None = None,
) -> tuple[Floats, Floats]:
    """|ρ′|(s) = lim COT(ρ_s, ρ_{s+h})/h of a flow, by difference quotients at the midpoints.

    On the COT gradient flow |ρ′|(s) = |grad E|(ρ_s) and dE/ds = −|ρ′|²; the quotient over a step h
    is O(h²) from its value at the midpoint.

    Args:
        s: times (n,), rising. measures: n measures ρ_s. rates: those of the flow's problem.

    Returns:
        midpoints (n−1,) and speeds (n−1,).

    Raises:
        ValueError: shapes that differ, or times that do not rise.

    Source: Ambrosio, Gigli, Savaré 2008, Theorem 1.1.2; Barboni et al. 2024, Section 3.
    """
    times = checks.array("s", s, ("n",))
    if len(times) != len(measures):
        raise ValueError(f"measures must be {len(times)}, one at each s; given {len(measures)}")
    if np.any(np.diff(times) <= 0):
        raise ValueError("s must rise strictly")
    gaps = steps(measures, rates=rates, workers=workers)
    return 0.5 * (times[1:] + times[:-1]), gaps / np.diff(times)


def steps(
    measures: Sequence[Any], *, rates: ArrayLike | None = None, workers: int | None = None
) -> Floats:
    """COT(ρ_i, ρ_{i+1}) of consecutive measures, shape (n−1,)."""
    if len(measures) < 2:
        raise ValueError(f"measures must hold at least two; given {len(measures)}")
    given = [as_measure(f"measures[{k}]", m) for k, m in enumerate(measures)]
    pairs = pairwise(given)
    return np.array([cot_distance(*pair, rates=rates, workers=workers) for pair in pairs])


@checks.typed
def depth_regularity(
    measure: Any, lag: int = 1, *, workers: int | None = None
) -> tuple[Floats, Floats]:
    """t ↦ W₂(ρ_t, ρ_{t+δ}): how far the law moves from one depth node to the node `lag` further.

    Args:
        measure: K depth nodes. lag: 1..K−1 nodes.

    Returns:
        gaps δ (K−lag,) between the nodes and W₂ (K−lag,); their ratio is the Lipschitz rate in t.

    Raises:
        ValueError: lag outside 1..K−1.
    """
    rho = as_measure("measure", measure)
    count = len(rho.atoms)
    if not 1 <= lag <= count - 1:
        raise ValueError(f"lag must be in 1..{count - 1}; given {lag!r}")
    ends = (slice(0, count - lag), slice(lag, count))
    edges = np.linspace(0.0, 1.0, count - lag + 1)
    early, late = (
        ConditionalMeasure(edges, rho.nodes[part], rho.atoms[part], rho.weights[part])
        for part in ends
    )
    return late.nodes - early.nodes, conditional_transport(early, late, workers=workers).per_depth


def _check_plans(transport: CotResult) -> None:
    if transport.plans is None or transport.kind != "exact":
        raise ValueError(
            f"transport must hold optimal plans; method {transport.method!r} gives an "
            f"{transport.kind} without them: use method='auto'"
        )


def _edges(transport: CotResult) -> Floats:
    inner = np.cumsum([cell.length for cell in transport.cells])[:-1]
    return np.concatenate([[0.0], inner, [1.0]])


def _coefficients(given: ArrayLike | None, count: int) -> Floats:
    if given is None:
        return np.full(count, 1.0 / count)
    lam: Floats = checks.array("coefficients", given, (count,))
    if lam.min() < 0 or lam.sum() == 0:
        raise ValueError(f"coefficients must be >= 0 and not all zero; given {lam}")
    return lam / lam.sum()


def _refine(mu: ConditionalMeasure, nu: ConditionalMeasure) -> ConditionalMeasure:
    """mu on the common refinement of the cells of both."""
    cells = common_refinement(mu, nu)
    edges = np.concatenate([[0.0], np.cumsum([cell.length for cell in cells])[:-1], [1.0]])
    take = [cell.first for cell in cells]
    return ConditionalMeasure(
        edges,
        0.5 * (edges[1:] + edges[:-1]),
        tuple(mu.atoms[k] for k in take),
        tuple(mu.weights[k] for k in take),
    )


def _moved(
    current: ConditionalMeasure, lam: Floats, maps: Sequence[CotResult]
) -> ConditionalMeasure:
    fields = [tangent_field(transport) for transport in maps]
    atoms = tuple(
        x + sum(w * field[k] for w, field in zip(lam, fields, strict=True))
        for k, x in enumerate(current.atoms)
    )
    return ConditionalMeasure(current.edges, current.nodes, atoms, current.weights)
