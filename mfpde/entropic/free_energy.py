"""The free energy on one grid, its Gibbs map and its curvature: what every method reads.

    J(ρ) = fit(ρ) + τ ∫ KL(ρ_t | ν) dt,     fit = (1/N) Σ_i ℓ(B X_i(1), y_i),   ν ∝ e^{−r/τ},

differs from E + τ ∫ Ent(ρ_t) dt by the constant τ log Z, Z = ∫ e^{−r/τ}. With V the first variation
of the fit, ρ is stationary where it equals its Gibbs state ρ_t ∝ ν e^{−V(t, ·)/τ}.

Everything is discrete and exact: with masses m_kc, V_kc = (∂fit/∂m_kc)/ω_k. The residual
R = log(Gibbs state) − log m then satisfies dJ = −τ ⟨R, d log m⟩ in the inner product

    ⟨a, b⟩ = Σ_k ω_k Cov_{m_k}(a_k, b_k),

so that R itself is the steepest descent of J for ⟨·,·⟩ (mirror descent; as a step in the measure it
is the Picard step), and the Hessian of J at a stationary point is τ times

    A = I + H Σ/τ,   (HΣ d)_k = the change of V when masses move by m (d − ∫d dρ),

which is symmetric for ⟨·,·⟩. H has the rank of the hidden paths, so that A is the identity but for
few directions.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mfpde.measures.grid import GridMeasure
from mfpde.passes.grid import GridCarried, GridOperator
from mfpde.problem import Problem

Array = NDArray[np.float64]

DIFFERENCE = 1e-6  # root mean square of the relative change of masses in a directional difference
ROUNDING = 16 * np.finfo(float).eps  # of J, relative to what it is summed from
FLOOR = 1e-300  # a cell without mass starts here: a Gibbs state has mass everywhere


class FreeEnergy:
    """J of a problem at ``factor`` times its τ and r, which leaves ν as it is (continuation).

    Arrays are (K, C): depth nodes and cells. ``work`` counts passes through depth.
    """

    def __init__(self, problem: Problem, rho: GridMeasure, factor: float = 1.0) -> None:
        self.problem, self.rho, self.factor = problem, rho, factor
        self.tau = factor * problem.temperature
        self.operator = GridOperator(problem, rho)
        self.omega = rho.depth.weights[:, None]
        penalty = problem.penalty.value(rho.grid.points) / problem.temperature
        self._log_prior = normalised((np.log(rho.grid.volumes) - penalty).reshape(1, -1))
        self.work = {"forward": 0, "adjoint": 0}

    def tempered(self, factor: float) -> FreeEnergy:
        """The same with another factor; the count of passes is shared."""
        other = FreeEnergy(self.problem, self.rho, factor)
        other.work = self.work
        return other

    def at(self, logs: Array) -> Point:
        """The state with masses proportional to e^logs at each depth."""
        return Point(self, normalised(logs))

    def at_measure(self, rho: GridMeasure) -> Point:
        return self.at(np.log(np.maximum(rho.masses.reshape(rho.levels, -1), FLOOR)))

    def measure(self, point: Point) -> GridMeasure:
        """The state as a measure."""
        masses = point.masses.reshape(self.rho.masses.shape)
        return GridMeasure(masses, self.rho.depth, self.rho.grid)

    def relative(self, logs: Array, masses: Array) -> Array:
        """KL(ρ_t | ν) at each node, (K,)."""
        return (masses * (logs - self._log_prior)).sum(axis=1)

    def gibbs(self, potential: Array) -> Array:
        """Logarithms of the masses ∝ ν e^{−V/τ}."""
        return normalised(self._log_prior - potential / self.tau)

    def forward(self, masses: Array) -> GridCarried:
        """The data carried through masses (K, C)."""
        self.work["forward"] += 1
        with np.errstate(over="ignore", invalid="ignore"):  # a trial may be far out: J is then inf
            carried = self.operator.carry(masses.reshape(self.rho.masses.shape))
            carried.fit  # noqa: B018  while overflow is allowed
        return carried

    def potential(self, carried: GridCarried) -> Array:
        """V at the cell centres, (K, C)."""
        self.work["adjoint"] += 1
        return carried.potential().reshape(len(self.omega), -1)


class Point:
    """One state: logarithms of its masses, J, and, when asked for, V and the residual."""

    def __init__(self, free: FreeEnergy, logs: Array) -> None:
        self.free, self.logs, self.masses = free, logs, np.exp(logs)
        self._carried: GridCarried | None = free.forward(self.masses)
        self.fit = self._carried.fit
        self.kl = free.relative(logs, self.masses)
        self.objective = self.fit + free.tau * float(free.omega[:, 0] @ self.kl)
        parts = -(self.masses * logs).sum(axis=1)
        self.rounding = ROUNDING * (abs(self.fit) + free.tau * float(free.omega[:, 0] @ parts))

    @cached_property
    def potential(self) -> Array:
        """V of the fit at the cell centres, (K, C)."""
        assert self._carried is not None
        found = self.free.potential(self._carried)
        self._carried = None  # the stages are not needed again
        return found

    @cached_property
    def target(self) -> Array:
        """Logarithms of the masses of the Gibbs state of V."""
        return self.free.gibbs(self.potential)

    @cached_property
    def residual(self) -> Array:
        """log(Gibbs state) − log(state), with mean zero: −1/τ times the slope of J."""
        return self.centred(self.target - self.logs)

    @cached_property
    def distance(self) -> float:
        """The largest total variation ½ Σ_c |Gibbs state − state| over the depth nodes."""
        return float(0.5 * np.abs(np.exp(self.target) - self.masses).sum(axis=1).max())

    def centred(self, a: Array) -> Array:
        """a − ∫a dρ_t at each node."""
        return a - (self.masses * a).sum(axis=1, keepdims=True)

    def inner(self, a: Array, b: Array) -> float:
        """⟨a, b⟩ for a and b of mean zero."""
        return float(self.free.omega[:, 0] @ (self.masses * a * b).sum(axis=1))

    def curvature(self, d: Array) -> Array:
        """A d = d + HΣd/τ for d of mean zero, by a difference of V along Σd (one more adjoint)."""
        size = np.sqrt(self.inner(d, d))
        if size == 0.0:
            return d
        h = DIFFERENCE / size
        there = self.free.forward(self.masses * (1.0 + h * d))
        change = (self.free.potential(there) - self.potential) / (h * self.free.tau)
        return self.centred(d + change)


def normalised(logs: Array) -> Array:
    """The logarithms of masses with sum 1 at each node."""
    logs = logs - logs.max(axis=1, keepdims=True)
    found: Array = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return found
