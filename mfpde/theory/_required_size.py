"""How deep and how wide a network must be for E <= ε with probability 1 − η."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.flows import stability
from mfpde.flows.solve import solve
from mfpde.laws import DepthLaw, Law
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.runs.progress import track
from mfpde.theory._loss_law import LossLaw, fit_loss_law

Array = NDArray[np.float64]
Shape = tuple[int, int]

PILOTS: tuple[Shape, ...] = ((4, 4), (4, 16), (8, 4), (8, 16), (16, 4), (16, 16))

# The shallowest depth is recommended whose blocks LM stay within this factor of the fewest.
EXCESS = 1.25
DEEPEST = 2**20

# Particles and rk4 steps of the limit that finds a training time.
LIMIT_PARTICLES, LIMIT_STEPS = 512, 4


@dataclass(frozen=True)
class RequiredSize:
    """The answer of ``required_size``: ``layers`` L and ``width`` M.

    ``width_interval`` is the bootstrap interval of M at this L (``level``; inf where some
    resampled law does not reach ε at this depth). ``s`` is the training time, ``law`` the fitted
    law of the loss, ``pilots`` the shapes (L, M) and ``losses`` (shapes, seeds) it was fitted to.
    """

    layers: int
    width: int
    width_interval: tuple[float, float]
    level: float
    epsilon: float
    eta: float
    s: float
    law: LossLaw
    pilots: tuple[Shape, ...]
    losses: Array

    def width_at(self, layers: int) -> float:
        """The width needed at another depth: the frontier M(L); inf where no width is enough."""
        return _width(self.law, self.epsilon, self.eta, checks.count("layers", layers))

    def probability(self, layers: int, width: int) -> float:
        """The law's P(E <= ε) for another network."""
        return float(self.law.probability(self.epsilon, layers, width))

    @property
    def extrapolated(self) -> tuple[str, ...]:
        """What the answer takes from the law beyond what pilots showed."""
        law, seeds = self.law, self.losses.size
        blocks, out = self.layers * self.width, []
        if blocks > law.blocks[1]:
            out.append(
                f"LM = {blocks} by the scaling 1/√(LM) from LM <= {law.blocks[1]:g}, a factor of "
                f"{blocks / law.blocks[1]:.3g}"
            )
        if not law.layers[0] <= self.layers <= law.layers[1]:
            out.append(
                f"L = {self.layers} by the scaling 1/L from L = {law.layers[0]:g} to "
                f"{law.layers[1]:g}"
            )
        if self.eta * seeds < 10:
            out.append(
                f"the tail η = {self.eta:g} by a normal law of log E, seen in {seeds} networks"
            )
        return tuple(out)

    def __repr__(self) -> str:
        low, high = self.width_interval
        beyond = "; ".join(self.extrapolated) or "nothing"
        return (
            f"RequiredSize(L = {self.layers}, M = {self.width} [{low:g}, {high:g}] for E <= "
            f"{self.epsilon:g} with probability {1 - self.eta:g} at s = {self.s:g}; the limit has "
            f"E = {self.law.limit:.4g}; extrapolated: {beyond})"
        )


@checks.typed
def required_size(
    problem: Problem,
    law: Law | DepthLaw,
    epsilon: float,
    eta: float,
    *,
    s_end: float | None = None,
    step: float | None = None,
    layers: int | None = None,
    pilots: Sequence[Shape] = PILOTS,
    seeds: int = 32,
    level: float = 0.95,
    progress: bool | str = "auto",
) -> RequiredSize:
    """The size L, M of a network from ``law`` that has E <= ``epsilon`` with probability 1 − η.

    ``seeds`` pilot networks of every shape (L, M) of ``pilots`` are trained by gradient descent
    with ``step`` to the training time ``s_end``, and the law
    log E = c + a/L + q/(LM) + b ξ/√(LM), ξ ~ N(0, 1), is fitted to their losses. The answer is the
    least LM with P(E <= ε) >= 1 − η, never below the smallest pilot; ``layers`` fixes the depth, by
    default it is the shallowest (from the shallowest pilot on) whose LM is within a quarter of the
    fewest possible. Its ``extrapolated`` says what rests on the law alone; its interval covers
    the pilots' randomness, not a failure of the law.

    Without ``s_end`` the limit is trained until its loss is ε/2, as in Ding et al. 2021, Thm 2
    (which asks for L >= C/ε and M >= C/(ε²η)); without ``step`` it is a quarter of the limit's
    stability bound over that time.

    Raises ValueError for bad arguments, and where no network reaches ε at that training time.
    Source of the terms: Chizat 2025, Thm 1; that log E is normal is measured, not proved.
    """
    from mfpde.resnet import train

    epsilon, level = checks.positive("epsilon", epsilon), _share("level", level)
    eta, shapes = _share("eta", eta), _shapes(pilots)
    layers = None if layers is None else checks.count("layers", layers)
    s_end, step = _training(problem, law, epsilon, s_end, step)
    count, losses = checks.count("seeds", seeds, least=2), []
    for length, width in track(shapes, "pilots", progress):
        run = train(
            problem,
            law,
            layers=length,
            width=width,
            seeds=count,
            s_end=s_end,
            step=step,
            progress=False,
        )
        losses.append(run.loss[:, -1])
    sizes, found = np.array(shapes, float), np.stack(losses)
    fitted = fit_loss_law(sizes[:, 0], sizes[:, 1], found)
    depth = _recommended(fitted, epsilon, eta) if layers is None else layers
    return _answer(fitted, depth, epsilon, eta, level, s_end, shapes, found)


def _answer(
    law: LossLaw,
    layers: int,
    epsilon: float,
    eta: float,
    level: float,
    s: float,
    pilots: tuple[Shape, ...],
    losses: Array,
) -> RequiredSize:
    width = _width(law, epsilon, eta, layers)
    if not np.isfinite(width):
        low, high = law.limit_interval(level)
        raise ValueError(
            f"epsilon = {epsilon:g} is not reached by networks of {layers} layers, however wide, "
            f"at s = {s:g}: the limit has E = {law.limit:.4g} [{low:.4g}, {high:.4g}], depth "
            f"{layers} a median of {law.median(layers, np.inf):.4g}; train longer or go deeper"
        )
    low, high = (_rounded(n, law, layers) for n in law.blocks_interval(epsilon, eta, layers, level))
    return RequiredSize(
        layers, int(width), (low, high), level, epsilon, eta, s, law, pilots, losses
    )


def _width(law: LossLaw, epsilon: float, eta: float, layers: int) -> float:
    return _rounded(law.blocks_needed(epsilon, eta, layers), law, layers)


def _rounded(blocks: float, law: LossLaw, layers: int) -> float:
    """The least width with that many blocks, and no fewer than the smallest pilot has."""
    return float(np.ceil(max(blocks, law.blocks[0]) / layers * (1 - 1e-12)))


def _recommended(law: LossLaw, epsilon: float, eta: float) -> int:
    """The shallowest depth that wastes at most a quarter of the blocks."""
    fewest = law.blocks_needed(epsilon, eta, np.inf)
    allowed = max(EXCESS * fewest, law.blocks[0])
    layers = shallowest = int(law.layers[0])
    while law.blocks_needed(epsilon, eta, layers) > allowed and layers < DEEPEST:
        layers *= 2
    low = max(layers // 2, shallowest)
    while layers - low > 1:
        middle = (low + layers) // 2
        enough = law.blocks_needed(epsilon, eta, middle) <= allowed
        low, layers = (low, middle) if enough else (middle, layers)
    return layers


def _training(
    problem: Problem, law: Law | DepthLaw, epsilon: float, s_end: float | None, step: float | None
) -> tuple[float, float]:
    """Training time and step, from the limit where they are not given."""
    if s_end is not None and step is not None:
        return checks.positive("s_end", s_end), checks.positive("step", step)
    rho0 = ParticleMeasure.from_law(law, Depth(LIMIT_STEPS, "rk4"), count=LIMIT_PARTICLES)
    run = solve(
        problem,
        rho0,
        s_end=np.inf if s_end is None else checks.positive("s_end", s_end),
        loss_below=0.5 * epsilon if s_end is None else None,
        rtol=1e-3,
        progress=False,
    )
    fastest = max(_fastest(problem, rho) for rho in (rho0, run.final))
    end = float(run.s[-1]) if s_end is None else s_end
    return end, min(0.5 / fastest, end) if step is None else checks.positive("step", step)


def _fastest(problem: Problem, rho: ParticleMeasure) -> float:
    from mfpde.flows.particle_flow import ParticleFlow

    flow = ParticleFlow(problem, rho)
    start = stability.start_vector(flow)
    return stability.largest_eigenvalue(flow, flow.at(rho.theta), start, 12)[0]


def _shapes(pilots: Sequence[Shape]) -> tuple[Shape, ...]:
    shapes = tuple(
        (checks.count("pilots L", depth), checks.count("pilots M", width))
        for depth, width in map(_pair, pilots)
    )
    fewest = min(len(set(axis)) for axis in zip(*shapes, strict=True)) if shapes else 0
    if len(set(shapes)) < 4 or fewest < 2:
        raise ValueError(
            f"pilots must hold at least 4 shapes, of 2 depths and 2 widths; given {shapes}"
        )
    return shapes


def _pair(shape: Any) -> Any:
    if not isinstance(shape, Sequence | np.ndarray) or len(shape) != 2:
        raise TypeError(f"pilots must hold pairs (L, M); given {checks.brief(shape)}")
    return shape


def _share(name: str, value: float) -> float:
    if not 0.0 < checks.positive(name, value) < 1.0:
        raise ValueError(f"{name} must lie in (0, 1); given {value!r}")
    return float(value)
