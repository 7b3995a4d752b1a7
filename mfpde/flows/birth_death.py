"""Wasserstein–Fisher–Rao flow: transport in θ and birth–death of mass within each depth.

    ∂_s ρ_t = ∇·(ρ_t ∇V) − β ρ_t (V − ∫V dρ_t),    dE/ds = −∫∫ |∇V|² dρ − β ∫ Var_{ρ_t}(V) dt

The state is (θ_kj, a_kj), (K, M, p + 1). One step is split (Strang): weights for h/2, positions for
h by any adaptive scheme, weights for h/2. With V frozen the weights' equation is solved exactly,
a_kj ∝ a_kj e^{−βτV_kj}, which conserves the mass of each depth exactly and keeps weights positive;
V is taken at the midpoint, and the gap to V at the start is the error estimate. A step in which E
rises is rejected.
Sources: Lu et al. 2020 (birth–death in mean-field training); Rotskoff et al. 2019 (the flow).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import first_variation
from mfpde.flows import start
from mfpde.flows.flow import Flow
from mfpde.flows.particle_flow import ParticleFlow, StatePoint
from mfpde.flows.schemes import SCHEMES, scheme
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes.interface import Carried
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.control import Control
from mfpde.runs.options import Options
from mfpde.runs.step import Scheme, Step

Array = NDArray[Any]


class ReactionFlow(Flow):
    """Particles whose weights move too: ``reaction`` = β, and transport between two reactions.

    The size of a state is that of θ or 1, the mass at each depth, whichever is larger; errors are
    those of θ in the COT norm or the total variation of those of the weights.
    """

    schemes = SCHEMES
    rho: ParticleMeasure

    def __init__(
        self, problem: Problem, rho: ParticleMeasure, clock: Clock | None = None, *, reaction: float
    ) -> None:
        problem.refuse_entropy()
        super().__init__(problem, rho, clock)
        self.reaction = reaction

    @classmethod
    def of(cls, problem: Problem, rho: Any, options: Options, clock: Clock) -> ReactionFlow:
        """The flow of a run.

        Raises TypeError or ValueError for what does not go together with a reaction.
        """
        if type(rho) is not ParticleMeasure:
            raise TypeError(f"reaction needs a ParticleMeasure; given {type(rho).__name__}")
        method = options.method
        if method in SCHEMES and not SCHEMES[method].adaptive:
            raise ValueError(
                f"reaction needs an adaptive method, 'auto', 'rk45' or 'implicit'; given {method!r}"
            )
        if options.vanishing_decay:
            raise ValueError("reaction cannot be combined with vanishing_decay")
        return cls(problem, rho, clock, reaction=options.reaction)

    @property
    def start_state(self) -> Array:
        return joined(self.rho)

    def at(self, state: Array, s: float = 0.0) -> ReactionPoint:
        rho = self.rho.with_state(state)
        return ReactionPoint(self.transport(rho).at(rho.theta, s), state)

    def transport(self, rho: ParticleMeasure) -> ParticleFlow:
        """The flow of the positions while the weights are those of ``rho``."""
        return ParticleFlow(self.problem, rho, self.clock)

    def scheme(self, options: Options) -> Scheme:
        found = scheme(options.method, options.rtol, options.atol, options.served)
        return replace(found, step=partial(split, found), dense=False)

    def start(self, point: Any, options: Options) -> tuple[Options, Control, str]:
        return start.prepare(self, point, options)

    def norm(self, change: float) -> float:
        """Errors of a split step come measured."""
        return change

    def size(self, point: ReactionPoint) -> float:
        return max(point.moving.flow.size(point.moving), 1.0)

    def curvature(self, point: ReactionPoint) -> float:
        bound: float = point.moving.flow.curvature(point.moving)
        return bound

    def kernel_product(self, point: ReactionPoint, v: Array) -> Array:
        product: Array = point.moving.flow.kernel_product(point.moving, v)
        return product


class ReactionPoint:
    """Positions and weights (θ, a), and the flow of the positions at this point."""

    def __init__(self, moving: StatePoint, state: Array) -> None:
        self.moving, self.state, self.s = moving, state, moving.s

    @property
    def loss(self) -> float:
        return self.moving.loss

    @property
    def energy(self) -> float:
        return self.moving.energy

    @property
    def norm2(self) -> float:
        """The transport's part of −dE/ds."""
        return self.moving.norm2

    @property
    def carried(self) -> Carried:
        return self.moving.carried

    @property
    def hessian(self) -> Array | None:
        return self.moving.hessian

    @property
    def root(self) -> Array | None:
        return self.moving.root

    @property
    def finite(self) -> bool:
        return self.moving.finite


def split(base: Scheme, flow: ReactionFlow, point: ReactionPoint, h: float) -> Step:
    """One Strang step: reaction h/2, transport h by ``base``, reaction h/2."""
    half = 0.5 * flow.reaction * h
    first, gap = react(flow.problem, flow.rho.with_state(point.state), half)
    moving = flow.transport(first)
    moving.solving = flow.solving
    step = base.step(moving, moving.at(first.theta, point.s), h)
    moved, error = step.point, moving.norm(np.asarray(step.error))
    if not moved.finite:
        return Step(ReactionPoint(moved, point.state), error, refused=True)
    last, more = react(flow.problem, first.with_state(moved.state), half)
    end = flow.at(joined(last), moved.s)
    return Step(
        end, max(error, gap + more), refused=step.refused, rate=step.rate, solving=step.solving
    )


def joined(rho: ParticleMeasure) -> Array:
    """The state (θ, a) of a measure, (K, M, p + 1)."""
    return np.concatenate([rho.theta, rho.weights[:, :, None]], axis=2)


def react(problem: Problem, rho: ParticleMeasure, time: float) -> tuple[ParticleMeasure, float]:
    """Weights after ``time`` of da/ds = −a (V − ∫V dρ_t), V at the midpoint, and the error."""
    start = _potential(problem, rho)
    middle = _measure(rho, rho.theta, tilt(rho.weights, start, 0.5 * time))
    end = tilt(rho.weights, _potential(problem, middle), time)
    gap = np.abs(end - tilt(rho.weights, start, time)).sum(axis=1)
    return _measure(rho, rho.theta, end), float(rho.depth.weights @ gap)


def tilt(weights: Array, potential: Array, time: float) -> Array:
    """a_kj e^{−τV_kj}, scaled to mass 1 at each depth."""
    factor = np.exp(-time * (potential - potential.min(axis=1, keepdims=True)))
    out: Array = weights * factor
    return out / out.sum(axis=1, keepdims=True)


def _potential(problem: Problem, rho: ParticleMeasure) -> Array:
    return first_variation(problem, rho, rho.theta)


def _measure(rho: ParticleMeasure, theta: Array, weights: Array) -> ParticleMeasure:
    return ParticleMeasure(theta, rho.depth, weights, dtype=rho.dtype)
