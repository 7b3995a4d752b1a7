"""The infinitely wide, infinitely deep limit to a tolerance, with error bars.

Three discretisations stand between a run and the limit: particles for the law (width), steps in
depth, steps in training time. Each is refined until its own a-posteriori estimate, the difference
to a coarser companion run, is small enough for the sum to meet the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.evaluate import loss_from, predict
from mfpde.flows.solve import solve
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem

Array = NDArray[np.float64]

# Tensor rules up to this many random coordinates, scrambled Sobol points beyond.
TENSOR_DIM = 5
MOST_PARTICLES = 65536
MOST_STEPS = 256
SCRAMBLES = 3
PARTS = ("width", "depth", "time")


class Sizes(NamedTuple):
    """One discretisation: tensor orders or a Sobol count, rk4 steps in depth, rtol in time."""

    particles: tuple[int, ...] | int
    depth_steps: int
    rtol: float

    @property
    def rule(self) -> str:
        return "sobol" if isinstance(self.particles, int) else "spectral"

    @property
    def total(self) -> int:
        """M, the number of particles at each depth node."""
        return int(np.prod(self.particles))


@dataclass(frozen=True)
class Run:
    """Loss (n,) and outputs (n, N, k) of one discretisation at the times of the limit."""

    loss: Array
    outputs: Array
    measure: ParticleMeasure
    gradients: int


@dataclass(frozen=True)
class Limit:
    """The limit's flow: ``loss`` (n,) and ``outputs`` (n, N, k) at the times ``s`` (n,).

    ``errors`` estimates what width, depth and training time each still contribute, relative to
    the root mean square of the targets (outputs, RMS over data) and to E(ρ_0) (loss), whichever
    is larger over all times; ``error`` is their sum and ``converged`` says whether it met the
    tolerance. ``measure`` is the law at the last time, ``sizes`` the discretisation used, ``work``
    the particles × depth nodes × gradients spent, companions included.
    """

    s: Array
    loss: Array
    outputs: Array
    errors: dict[str, float]
    rtol: float
    measure: ParticleMeasure = field(repr=False)
    sizes: Sizes
    work: int

    @property
    def error(self) -> float:
        return sum(self.errors.values())

    @property
    def converged(self) -> bool:
        return self.error <= self.rtol

    def __repr__(self) -> str:
        parts = ", ".join(f"{part} {self.errors[part]:.1e}" for part in PARTS)
        verb = "met" if self.converged else "NOT met"
        return (
            f"Limit(E({self.s[-1]:g}) = {self.loss[-1]:.6e}, error {self.error:.1e} ({parts}), "
            f"rtol {self.rtol:g} {verb} with {self.sizes.total} particles ({self.sizes.rule}) "
            f"and {self.sizes.depth_steps} rk4 steps in depth)"
        )


@checks.typed
def limit(
    problem: Problem,
    law: Law | DepthLaw,
    *,
    s_end: float,
    rtol: float = 1e-4,
    times: int = 16,
    method: str = "auto",
    seed: int = 0,
) -> Limit:
    """E(s) and outputs of the infinitely wide and deep flow started at ``law``, to ``rtol``.

    Particles are a tensor rule with orders chosen coordinate by coordinate (up to 5 random
    coordinates) or scrambled Sobol points; depth is rk4; training time has error control. The
    estimates are: width, the sum over coordinates of the change when its order is lowered by
    one, or the spread over independent scrambles; depth, 1/15 of the change when the steps are
    halved; time, the change when rtol is ten times larger. The largest is refined until their sum
    is below ``rtol`` (relative to the targets' root mean square and to E(ρ_0)), or the next
    refinement would pass 65,536 particles or 256 steps, which ``converged`` reports.

    Needs smooth blocks and t ↦ law(t): estimates assume the asymptotic regime.
    Raises ValueError for bad arguments. Sources: Chizat 2025 and Ding et al. 2021 for the limit.
    """
    checks.positive("s_end", s_end)
    if not 1e-10 <= checks.positive("rtol", rtol) <= 0.1:
        raise ValueError(f"rtol must be in [1e-10, 0.1]; given {rtol!r}")
    checks.memory(f"times = {times}", 64.0 * checks.count("times", times), "take fewer")
    s = np.linspace(0.0, s_end, times + 1)
    study = _Study(problem, law, s, method, seed)
    sizes = _first_sizes(at_depth(law, 0.0), rtol)
    while True:
        run, errors, by_coordinate = study.assess(sizes)
        finer = _refine(sizes, errors, by_coordinate, rtol)
        total = sum(errors.values())
        if total <= rtol or finer is None:
            return Limit(s, run.loss, run.outputs, errors, rtol, run.measure, sizes, study.work)
        sizes = finer


def _first_sizes(law: Law, rtol: float) -> Sizes:
    free = [m.random for m in law.marginals]
    orders = tuple(3 if random else 1 for random in free)
    return Sizes(orders if sum(free) <= TENSOR_DIM else 256, 2, min(1e-3, rtol))


class _Study:
    """Runs of one problem at many sizes, each done once."""

    def __init__(
        self, problem: Problem, law: Law | DepthLaw, s: Array, method: str, seed: int
    ) -> None:
        self.problem, self.law, self.s, self.method, self.seed = problem, law, s, method, seed
        self.work = 0
        self._done: dict[tuple[Sizes, int], Run] = {}
        self._scale = float(np.sqrt(np.mean(np.square(problem.y)))) or 1.0

    def assess(self, sizes: Sizes) -> tuple[Run, dict[str, float], Array]:
        """A run, its three error estimates, and the width's by coordinate."""
        base = self.run(sizes)
        halved = sizes._replace(depth_steps=sizes.depth_steps // 2)
        loose = sizes._replace(rtol=min(10 * sizes.rtol, 1.0))
        width = self._width(sizes, base)
        errors = {
            "width": float(width.sum()),
            "depth": self.distance(base, self.run(halved)) / 15.0,
            "time": self.distance(base, self.run(loose)),
        }
        return base, errors, width

    def _width(self, sizes: Sizes, base: Run) -> Array:
        if isinstance(sizes.particles, int):
            others = [self.run(sizes, scramble) for scramble in range(1, SCRAMBLES + 1)]
            spread = np.mean([self.distance(base, other) ** 2 for other in others])
            # Two independent errors of size e lie √2 e apart; twice that is the error bar.
            return np.array([2.0 * np.sqrt(spread / 2.0)])
        changes = np.zeros(len(sizes.particles))
        for i, order in enumerate(sizes.particles):
            if order > 1:
                lower = (*sizes.particles[:i], order - 1, *sizes.particles[i + 1 :])
                changes[i] = self.distance(base, self.run(sizes._replace(particles=lower)))
        return changes

    def run(self, sizes: Sizes, scramble: int = 0) -> Run:
        key = (sizes, scramble)
        if key not in self._done:
            self._done[key] = self._compute(sizes, scramble)
        return self._done[key]

    def _compute(self, sizes: Sizes, scramble: int) -> Run:
        rho0 = ParticleMeasure.from_law(
            self.law,
            Depth(sizes.depth_steps, "rk4"),
            count=sizes.particles,
            rule=sizes.rule,
            coupling="tied",
            seed=self.seed + scramble,
        )
        solution = solve(
            self.problem,
            rho0,
            s_end=float(self.s[-1]),
            method=self.method,
            rtol=sizes.rtol,
            save=self.s[1:].tolist(),
            progress=False,
        )
        measures = [solution.at(float(s)) for s in self.s]
        outputs = np.array([predict(self.problem, rho) for rho in measures])
        pairs = zip(measures, outputs, strict=True)
        losses = [loss_from(self.problem, rho, z) for rho, z in pairs]
        gradients = int(solution.stats.get("gradients", 0))
        self.work += sizes.total * rho0.levels * gradients
        return Run(np.array(losses), outputs, measures[-1], gradients)

    def distance(self, one: Run, other: Run) -> float:
        """Largest relative difference over time, of outputs (RMS over data) and of the loss."""
        outputs = np.sqrt(np.mean(np.square(one.outputs - other.outputs), axis=(1, 2)))
        losses = np.abs(one.loss - other.loss) / max(one.loss[0], np.finfo(float).tiny)
        return float(max(outputs.max() / self._scale, losses.max()))


def _refine(
    sizes: Sizes, errors: dict[str, float], by_coordinate: Array, rtol: float
) -> Sizes | None:
    """The next sizes: every part above its third of the tolerance is refined; None at the caps."""
    new = sizes
    if errors["width"] > rtol / 3:
        new = new._replace(particles=_more(sizes.particles, by_coordinate, rtol / 3))
    if errors["depth"] > rtol / 3:
        new = new._replace(depth_steps=2 * sizes.depth_steps)
    if errors["time"] > rtol / 3:
        new = new._replace(rtol=sizes.rtol / 10)
    capped = new.total > MOST_PARTICLES or new.depth_steps > MOST_STEPS or new.rtol < 1e-13
    return None if capped else new


def _more(
    count: tuple[int, ...] | int, by_coordinate: Array, allowed: float
) -> tuple[int, ...] | int:
    if isinstance(count, int):
        return 2 * count
    share = allowed / max(sum(order > 1 for order in count), 1)
    return tuple(
        order + (1 + int(change > 30 * share)) * int(change > share)
        for order, change in zip(count, by_coordinate, strict=True)
    )
