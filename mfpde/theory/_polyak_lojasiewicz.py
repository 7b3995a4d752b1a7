"""The local Polyak–Łojasiewicz inequality |grad E|² ≥ 2mE, measured and bounded from below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.measures import Measure
from mfpde.problem import Problem
from mfpde.theory._kernel import Trajectory
from mfpde.theory._lipschitz import adjoint_bounds, layer_bounds
from mfpde.theory._measures import conditional, in_its_metric

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PolyakLojasiewicz:
    """Three values of m at one ρ; measured >= kernel >= paper for Euler depth.

    measured: |grad E|²/(2E). kernel: λ_min(K)/N, the worst residual at this ρ. paper:
    (σ_min(B)²/N) ∫ λ_min(K(t)) exp(−2∫_t^1 Lip) dt. ``depth_eigenvalue`` (K,) is λ_min(K(t_k)) and
    ``contraction`` (K,) the factor that stands for exp(−∫_t^1 Lip).
    """

    measured: float
    kernel: float
    paper: float
    loss: float
    gradient_norm2: float
    depth_eigenvalue: Array
    lipschitz: Array
    contraction: Array


@checks.typed
def polyak_lojasiewicz(problem: Problem, rho: Measure) -> PolyakLojasiewicz:
    """m at ρ: measured, from the tangent kernel, and the papers' bound with its exponential.

    Proof of the bound: |grad E|² = ∫ P(t)ᵀK(t)P(t) dt ≥ ∫ λ_min(K(t)) |P(t)|² dt, P stacked with
    its 1/N; |P_i(t)| ≥ e^{−∫_t^1 Lip}|P_i(1)|; |P(1)|² ≥ σ_min(B)² N⁻² Σ|r_i|² = 2σ_min(B)²E/N.
    For Euler depth it holds for the ResNet itself, with Π(1 − h Lip) in place of the exponential;
    for other integrators it is the continuous-depth bound up to the integrator's error.

    On a grid K(t) is that of the discrete metric at the faces.

    Raises ValueError unless the loss is squared without weight decay (E* = 0 is assumed), TypeError
    for joint measures, whose depth marginal is free.
    Sources: Barboni et al. 2024 §4 (local PL inequality); Ding et al. 2021.
    """
    require_squared(problem, "polyak_lojasiewicz")
    carried = conditional(problem, rho, "polyak_lojasiewicz")
    value, depth = carried.fit, carried.depth
    norm2 = carried.inner(carried.variation, carried.variation)
    least = np.linalg.eigvalsh(carried.kernel)[0] / problem.size
    per_depth = np.array(
        [np.linalg.eigvalsh(carried.hidden_kernel(k))[0] for k in range(len(depth.nodes))]
    )
    per_depth = np.maximum(per_depth, 0.0)
    lip = layer_bounds(carried)
    contraction = adjoint_bounds(depth, lip)[0]
    paper = readout_floor(problem) ** 2 / problem.size
    paper *= float(depth.weights @ (per_depth * contraction**2))
    measured = norm2 / (2.0 * value) if value > 0 else float("inf")
    return PolyakLojasiewicz(
        measured, max(float(least), 0.0), paper, value, norm2, per_depth, lip, contraction
    )


@dataclass(frozen=True)
class Envelope:
    """E(s) against E(0) exp(−2∫₀ˢ m) for the measured m (equality) and its two lower bounds."""

    s: Array
    loss: Array
    m: dict[str, Array]
    bound: dict[str, Array]


@checks.typed
def envelope(problem: Problem, sol: Trajectory, s: Sequence[float] | Array) -> Envelope:
    """Evaluate the three m at sol.at(s), s increasing, and their envelopes.

    dE/ds = −|grad E|² = −2mE with the measured m: that envelope *is* E, to the trapezoid rule over
    ``s``; the kernel and paper envelopes lie above it.

    Raises ValueError for a run with other rates than the problem's, or of an optimiser.
    """
    in_its_metric(problem, sol, "envelope", descends=True)
    times = checks.nonempty("s", checks.array("s", s, ("n",)))
    found = [polyak_lojasiewicz(problem, sol.at(float(time))) for time in times]
    losses = np.array([one.loss for one in found])
    m = {name: np.array([getattr(one, name) for one in found]) for name in _NAMES}
    areas = {
        name: np.append(0.0, np.cumsum(0.5 * (v[1:] + v[:-1]) * np.diff(times)))
        for name, v in m.items()
    }
    bound = {name: losses[0] * np.exp(-2.0 * area) for name, area in areas.items()}
    return Envelope(times, losses, m, bound)


_NAMES = ("measured", "kernel", "paper")


def readout_floor(problem: Problem) -> float:
    """σ_min(B) over the k outputs: inf |Bᵀr|/|r|; 0 where k > d."""
    k, d = problem.readout.shape
    return float(np.linalg.svd(problem.readout, compute_uv=False)[-1]) if k <= d else 0.0


def require_squared(problem: Problem, who: str) -> None:
    """The theorems below are about squared loss alone."""
    if problem.loss.name != "squared" or problem.regularised or problem.weights is not None:
        raise ValueError(
            f"{who} needs loss='squared', no weights, decay or temperature; given {problem!r}"
        )
