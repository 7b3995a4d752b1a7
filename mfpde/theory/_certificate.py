"""The convergence certificate: zero loss, with rate and distance, guaranteed before the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde import checks, tables
from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.measures import Measure
from mfpde.passes import carry
from mfpde.passes.particles import ParticlesCarried
from mfpde.problem import Problem
from mfpde.theory._certificate_constants import Constants, constants
from mfpde.theory._linear_exact import best_linear_fit, gradient_domination
from mfpde.theory._measures import particles

Array = NDArray[np.float64]

CRITERIA = ("uniform", "integral")
RICHER = "more particles, spread more widely (a law with a larger deviation)"
NO_SCALE = (
    "no factor of the readout or of the kernel's eigenvalues alone makes it pass: start from a "
    "smaller loss, or from more and richer particles"
)
ROUNDED = 1e-3  # relative margins of rounding beyond which they, not the kernel, are to blame
POINTS = 200  # radii tried between 0 and the one where m(R) vanishes


@dataclass(frozen=True)
class Certificate:
    """What is guaranteed of the gradient flow from ρ_0, or by how much the guarantee is missed.

    With ``passed``: for all s, E(s) − E* ≤ (E(0) − E*) e^{−2·rate·s}; the path's length, and with
    it COT(ρ_0, ρ_s) and COT(ρ_0, ρ_∞), is at most ``distance`` <= ``radius``. Without: rate is 0
    and distance is inf.

    ``loss`` is the upper bound of E(0) − E* used, ``least`` is E* (0 for SHL, the best linear map
    for Linear); ``bound`` is m on the ball of ``radius``; ``measured`` is |grad E|²/(2(E − E*)) at
    ρ_0. What would make it pass: a loss of at most ``loss_needed``, or the readout multiplied by
    ``readout_scale``, or least kernel eigenvalues multiplied by ``eigenvalue_factor`` (more, or
    richer, features); each alone, inf where no value would do. ``pessimism`` = loss/loss_needed.
    ``obstacle`` says why nothing is certified of any loss, and what to change; "" elsewhere.
    """

    passed: bool
    criterion: str
    rate: float
    distance: float
    radius: float
    bound: float
    loss: float
    least: float
    measured: float
    loss_needed: float
    readout_scale: float
    eigenvalue_factor: float
    obstacle: str
    constants: Constants

    @property
    def pessimism(self) -> float:
        """E(0) over the largest E(0) that would have passed; below 1 it passes."""
        return self.loss / self.loss_needed if self.loss_needed > 0 else float("inf")

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = {
            "verdict": str(self),
            "E(0) − E*": self.loss,
            "largest that passes": self.loss_needed,
            "rate": self.rate,
            "distance": self.distance,
            "radius": self.radius,
            "criterion": self.criterion,
        }
        return tables.card("Certificate", rows)

    def __str__(self) -> str:
        if self.passed:
            return (
                f"certified: E - E* <= {self.loss:.4g} exp(-{2 * self.rate:.4g} s), "
                f"COT(rho_0, rho_s) <= {self.distance:.4g} for all s"
            )
        if self.obstacle:
            return f"not certified: {self.obstacle}"
        ways = []
        if np.isfinite(self.readout_scale):
            ways.append(f"the readout times {self.readout_scale:.4g}")
        if np.isfinite(self.eigenvalue_factor):
            ways.append(f"least kernel eigenvalues times {self.eigenvalue_factor:.4g}")
        advice = "it would pass with " + ", or with ".join(ways) if ways else NO_SCALE
        return (
            f"not certified: E(0) - E* = {self.loss:.4g} exceeds {self.loss_needed:.4g}; {advice}"
        )


@checks.typed
def certificate(problem: Problem, rho0: Measure, *, criterion: str = "uniform") -> Certificate:
    """Does the COT gradient flow of E from ρ_0 provably reach its least loss?

    m(R) bounds the Polyak–Łojasiewicz constant on the COT ball of radius R about ρ_0; its proof
    and every constant are in ``_certificate_constants``. The flow's length r(s) obeys
    d√(E−E*)/ds = −|grad E|²/(2√(E−E*)) ≤ −√(m(r)/2) dr/ds as long as it is in the ball r, so

    * "uniform": 2(E(0) − E*)/m(R) ≤ R² for some R: length at most √(2(E(0) − E*)/m(R)) ≤ R;
    * "integral": ∫₀ᴿ √(m(r)/2) dr ≥ √(E(0) − E*) for some R: length at most R. It is implied by
      "uniform" and certifies several times more loss (4 times where m(R)^½ is linear in R).

    It covers the gradient flow in s (integrated exactly) of squared loss, in any depth integrator:
    SHL blocks with a C¹ activation (E* = 0) and Linear blocks, in the metric of the problem's rates
    (``distance`` and ``radius`` are those of ``cot_distance(rates=)``). Where it passes the flow
    converges; where it does not, nothing is said. Cross-entropy has no zero to converge to: see
    ``sublevel_certificate``.

    Raises TypeError or ValueError outside that range (see ``_certificate_constants.constants``).
    Sources: Barboni et al. 2024 (local convergence, Theorem of §4); Zhang, Peyré 2026 (linear).
    """
    checks.choice("criterion", criterion, CRITERIA)
    found = constants(problem, particles(rho0, "certificate"))
    carried = carry(problem, rho0)
    excess, least = _excess(carried, found.safety)
    radii, budget = _budget(found, criterion)
    needed = float(budget.max())
    passed = bool(excess <= needed) and needed > 0.0
    # The least radius that certifies has the largest m, hence the best rate.
    radius = float(radii[np.argmax(budget >= excess) if passed else budget.argmax()])
    bound = found.rate(radius)
    norm2 = carried.inner(carried.variation, carried.variation)
    return Certificate(
        passed=passed,
        criterion=criterion,
        rate=bound if passed else 0.0,
        distance=min(radius, float(np.sqrt(2.0 * excess / bound))) if passed else float("inf"),
        radius=radius,
        bound=bound,
        loss=excess,
        least=least,
        measured=norm2 / (2.0 * excess) if excess > 0 else float("inf"),
        loss_needed=needed,
        readout_scale=_readout_scale(carried, needed * (1.0 - 1e-6)),
        eigenvalue_factor=_eigenvalue_factor(found, criterion, excess),
        obstacle=""
        if needed > 0.0
        else _obstacle(problem, particles(rho0, "certificate").count, found),
        constants=found,
    )


def _obstacle(problem: Problem, count: int, found: Constants) -> str:
    """Why m vanishes already at ρ_0, and what to change."""
    if _held(problem):
        return "rates of 0 hold parameters that the bound needs to move: u, or u and v of Linear"
    if found.gain == 0.0:
        return "the readout B has dependent rows, so that outputs cannot move freely: change it"
    if found.safety > ROUNDED:
        return (
            "the parameters at rho0 are so large that rounding alone may move what the bound rests "
            f"on by {found.safety:.1g} of it: take initial parameters of smaller norm"
        )
    if found.least.max() > 0.0:
        return (
            "a layer moves the data too far for the bound (h Λ reaches 1): take more layers, or "
            "initial parameters of smaller norm"
        )
    singular = "is singular to rounding at rho0, so that nothing is certified of any loss"
    if computes(problem.block, Linear):
        return f"the second moment of the parameters {singular}: {RICHER}"
    n, distinct = problem.size, len(np.unique(problem.start(), axis=0))
    if distinct < n:
        return f"the kernel of the features {singular}: only {distinct} of {n} data are distinct"
    if count < n:
        return (
            f"the kernel of the features {singular}: {count} particles at each depth give at "
            f"most that rank, and {n} data need at least {n} particles"
        )
    return f"the kernel of the features {singular}: take data that lie further apart, or {RICHER}"


def _held(problem: Problem) -> bool:
    """Whether rates of 0 leave the bound nothing: some u of SHL, some u and some v of Linear."""
    if problem.rates is None:
        return False
    d, linear = problem.block.dim, computes(problem.block, Linear)
    groups = [problem.rates[:d], problem.rates[d:]] if linear else [problem.rates[:d]]
    return max(float(one.min()) for one in groups) == 0.0


def _budget(found: Constants, criterion: str) -> tuple[Array, Array]:
    """Radii R up to where m(R) vanishes, and the loss E(0) − E* that each one certifies.

    That is R²m(R)/2, or (∫₀ᴿ √(m/2))², summed from below: m decreases, so right end points do it.
    """
    radii = last_radius(found) * np.arange(1, POINTS + 1) / (POINTS + 1)
    speed = np.array([np.sqrt(0.5 * found.rate(r)) for r in radii])
    if criterion == "uniform":
        return radii, np.square(radii * speed)
    covered = np.cumsum(speed * np.diff(radii, prepend=0.0))
    return radii, np.square(covered) * (1.0 - found.safety)


def last_radius(found: Constants) -> float:
    """A radius just below the one where m(R) reaches 0."""
    low, high = 0.0, 1.0
    while found.rate(high) > 0.0 and high < 1e12:
        high *= 2.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if found.rate(middle) > 0.0 else (low, middle)
    return low


def _excess(carried: ParticlesCarried, safety: float) -> tuple[float, float]:
    """An upper bound of E(ρ_0) − E*, rounding of the outputs included, and E*."""
    problem = carried.operator.problem
    least = gradient_domination(problem)[1] if computes(problem.block, Linear) else 0.0
    error, value = output_error(carried, safety), carried.loss
    return float(max(value - least, 0.0) + error * (np.sqrt(2.0 * value) + error)), least


def output_error(carried: ParticlesCarried, safety: float) -> float:
    """By how much rounding may move an output."""
    problem, rho = carried.operator.problem, carried.operator.rho
    size = 1.0 + rho.integrate(np.square(rho.theta).sum(axis=2))  # |f| ≤ 2 (1 + |θ|²)(1 + |x|)
    size *= 2.0 + 2.0 * float(np.linalg.norm(carried.passed.path, axis=2).max())
    return safety * (float(np.linalg.norm(problem.readout, 2)) * size + np.abs(problem.y).max())


def _readout_scale(carried: ParticlesCarried, needed: float) -> float:
    """The c nearest to 1 such that cB passes; inf where there is none.

    m scales with c², so the condition is ½ mean|BX − y/c|² ≤ needed: quadratic in 1/c.
    """
    problem = carried.operator.problem
    linear = computes(problem.block, Linear)
    output, target = carried.outputs, best_linear_fit(problem) if linear else problem.y
    a, b, c = (
        0.5 * float((left * right).sum()) / problem.size
        for left, right in ((target, target), (output, target), (output, output))
    )
    if needed <= 0.0:
        return float("inf")
    if a == 0.0:
        return 1.0 if c <= needed else float("inf")
    root = b**2 - a * (c - needed)
    if root < 0.0 or b + np.sqrt(root) <= 0.0:
        return float("inf")
    inverse = np.clip(1.0, (b - np.sqrt(root)) / a, (b + np.sqrt(root)) / a)
    return float(1.0 / inverse)


def _eigenvalue_factor(found: Constants, criterion: str, excess: float) -> float:
    """Least f >= 1 (to 2 %) such that f·λ_min passes, all else kept; inf where none would."""

    def passes(exponent: float) -> bool:
        return bool(_budget(found.scaled(10.0**exponent), criterion)[1].max() >= excess)

    if passes(0.0):
        return 1.0
    low, high = 0.0, 1.0
    while not passes(high):
        low, high = high, 2.0 * high
        if high > 64.0:
            return float("inf")
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if passes(middle) else (middle, high)
    return float(10.0**high)
