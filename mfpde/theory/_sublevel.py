"""The certificate's local version for losses without a least value: down to a level, in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.measures import Measure
from mfpde.passes import carry
from mfpde.problem import Problem
from mfpde.theory._certificate import POINTS, last_radius, output_error
from mfpde.theory._certificate_constants import Constants, shl_constants
from mfpde.theory._measures import particles

Array = NDArray[np.float64]

LOSSES = ("cross_entropy", "logistic")


@dataclass(frozen=True)
class SublevelCertificate:
    """What is guaranteed of the gradient flow from ρ_0 down to the level ``goal`` of E.

    With ``passed``: E(s) <= goal for all s >= ``time``, and until then the path is no longer than
    ``distance``. Without, time and distance are inf. ``loss`` is the upper bound of E(0) used,
    ``lowest`` the least level that would have been certified (E(0) itself where none below is).
    """

    passed: bool
    goal: float
    time: float
    distance: float
    loss: float
    lowest: float
    constants: Constants

    def __str__(self) -> str:
        if self.passed:
            return (
                f"certified: E <= {self.goal:.4g} from s = {self.time:.4g} on, on a path no longer "
                f"than {self.distance:.4g}"
            )
        return (
            f"not certified: E <= {self.goal:.4g}; the lowest level certified is {self.lowest:.4g}"
        )


@checks.typed
def sublevel_certificate(problem: Problem, rho0: Measure, loss_below: float) -> SublevelCertificate:
    """Does the COT gradient flow of a classification loss provably fall to E = ``loss_below`` > 0?

    Cross-entropy has no minimiser, and its gradient vanishes with it: |∇ℓ| >= c (1 − e^{−ℓ}), with
    c² = k/(k − 1) for k classes and 1 for the logistic loss, so that no constant m has
    |grad E|² >= 2mE down to 0. Down to a level it does: ℓ_i <= NE and ℓ ↦ (1 − e^{−ℓ})/ℓ falls, so

        |grad E| >= a(R) (1 − e^{−NE})/N,  a(R)² = c² m(R),  on the COT ball of radius R,

    with m of ``certificate``, σ_min(B) over what ∇ℓ can be (vectors of sum 0). Along the path r,

        ∫ a(r) dr <= W(E(0)) − W(E(s)),   W(E) = log(e^{NE} − 1),

    so that E reaches the goal on a path of length R with ∫₀ᴿ a = W(E(0)) − W(goal), and not later
    than s = N (T(E(0)) − T(goal))/a(R)², T(E) = W(E) − 1/(1 − e^{−NE}).

    Any depth integrator, SHL blocks with a C¹ activation, in the metric of the problem's rates.
    Raises TypeError for other blocks, ValueError for another loss, targets that are not one-hot,
    weights or a penalty.
    Source: this package, after Barboni et al. 2024 (local Polyak–Łojasiewicz inequality).
    """
    goal = checks.positive("loss_below", loss_below)
    _require(problem)
    rho = particles(rho0, "sublevel_certificate")
    found = shl_constants(problem, rho, "sublevel_certificate", _gain(problem))
    carried, n = carry(problem, rho0), problem.size
    loss = carried.loss + np.sqrt(2.0) * output_error(carried, found.safety)
    radii = last_radius(found) * np.arange(1, POINTS + 1) / (POINTS + 1)
    speed = np.sqrt([found.rate(r) for r in radii])
    covered = np.cumsum(speed * np.diff(radii, prepend=0.0)) * (1.0 - found.safety)
    way = _travel(loss, n) - _travel(goal, n)
    passed = bool(way <= covered[-1])
    time = distance = 0.0 if way <= 0.0 else float("inf")
    if passed and way > 0.0:
        at = int(np.searchsorted(covered, way))
        time = float((_clock(loss, n) - _clock(goal, n)) * n / speed[at] ** 2)
        distance = float(radii[at])
    return SublevelCertificate(
        passed=passed,
        goal=goal,
        time=time,
        distance=distance,
        loss=float(loss),
        lowest=float(np.logaddexp(0.0, _travel(loss, n) - covered[-1])) / n,
        constants=found,
    )


def _travel(loss: float, n: int) -> float:
    """W(E) = log(e^{NE} − 1)."""
    return n * loss + float(np.log(-np.expm1(-n * loss)))


def _clock(loss: float, n: int) -> float:
    """T(E) = W(E) − 1/(1 − e^{−NE})."""
    return _travel(loss, n) + 1.0 / float(np.expm1(-n * loss))


def _gain(problem: Problem) -> float:
    """c² σ_min(B)²/N, B on vectors of sum 0 where there are several classes."""
    k = len(problem.readout)
    if k == 1:
        return float(np.linalg.norm(problem.readout)) ** 2 / problem.size
    differences = np.linalg.svd(np.ones((1, k)))[2][1:]  # an orthonormal basis of sum 0
    floor = float(np.linalg.svd(differences @ problem.readout, compute_uv=False).min())
    floor *= k - 1 <= problem.readout.shape[1]
    return k / (k - 1) * floor**2 / problem.size


def _require(problem: Problem) -> None:
    who = "sublevel_certificate"
    plain = problem.weights is None and not problem.regularised
    if problem.loss.name not in LOSSES or not plain:
        names = " or ".join(f"{name!r}" for name in LOSSES)
        raise ValueError(
            f"{who} needs loss={names}, no weights, decay or temperature; given {problem!r}"
        )
    if problem.loss.name == "cross_entropy" and not np.all(problem.y.max(axis=1) == 1.0):
        raise ValueError(f"{who} needs one-hot targets: softer ones have a least loss above 0")
