"""Wasserstein–Fisher–Rao flow: transport in θ and birth–death of mass within each depth.

    ∂_s ρ_t = ∇·(ρ_t ∇V) − β ρ_t (V − ∫V dρ_t),    dE/ds = −∫∫ |∇V|² dρ − β ∫ Var_{ρ_t}(V) dt

One step is split (Strang): weights for h/2, positions for h by any adaptive scheme, weights for
h/2. With V frozen the weights' equation is solved exactly, a_kj ∝ a_kj e^{−βτV_kj}, which conserves
the mass of each depth exactly and keeps weights positive; V is taken at the midpoint, and the gap
to V at the start is the error estimate. A step in which E rises is rejected.
Sources: Lu et al. 2020 (birth–death in mean-field training); Rotskoff et al. 2019 (the flow).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import first_variation
from mfpde.flows.driver import Driver
from mfpde.flows.particle_flow import ParticleFlow, StatePoint
from mfpde.flows.schemes import SCHEMES
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.runs.options import Options
from mfpde.runs.solution import Solution
from mfpde.runs.step import Scheme, Step

Array = NDArray[Any]


class BirthDeathSolution(Solution):
    """A ``Solution`` whose weights move too: ``weights`` lists them at the saved states."""

    _rho: ParticleMeasure

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.weights: list[Array] = []
        self.last_weights: Array = self._rho.weights

    @property
    def initial(self) -> ParticleMeasure:
        return self._rho

    @property
    def final(self) -> ParticleMeasure:
        return _measure(self._rho, self.control.state, self.last_weights)

    def at(self, s: float) -> ParticleMeasure:
        """ρ_s, positions and weights linear between neighbouring saved states."""
        theta = super().at(s).theta
        times = np.append(self.saved_s, self.control.s)
        weights = [*self.weights, self.last_weights]
        k = int(np.searchsorted(times, s))
        if times[k] == s:
            return _measure(self._rho, theta, weights[k])
        part = (s - times[k - 1]) / (times[k] - times[k - 1])
        return _measure(self._rho, theta, (1 - part) * weights[k - 1] + part * weights[k])

    def save(self, path: Any) -> None:
        raise ValueError("a run with reaction cannot be saved: run files hold no moving weights")


class ReactionPoint(StatePoint):
    """A point of the flow with its own weights, and the reaction error of the step that led here.

    ``weights`` (K, M); ``reaction_error`` is a total variation, mass 1 per depth.
    """

    def __init__(
        self, flow: ParticleFlow, theta: Array, s: float, rho: ParticleMeasure, error: float
    ) -> None:
        super().__init__(flow, theta, s)
        self.weights, self.reaction_error = rho.weights, error


class BirthDeathDriver(Driver):
    """The driver of ``solve`` with the split step in place of the scheme's own."""

    solution: BirthDeathSolution
    point: Any  # a ReactionPoint

    def __init__(self, solution: Solution, flow: ParticleFlow, *, reaction: float, **policy: Any):
        self.reaction = reaction
        super().__init__(solution, flow, **policy)
        self.point = ReactionPoint(flow, self.point.state, 0.0, solution.initial, 0.0)

    def _scheme(self) -> Scheme:
        found, rho = super()._scheme(), self.solution.initial
        take = partial(split, base=found.step, reaction=self.reaction, rho=rho)
        return replace(found, step=take, dense=False)

    def _relative_error(self, step: Step) -> float:
        options = self.options
        reaction = step.point.reaction_error / (options.atol + options.rtol)
        return max(super()._relative_error(step), float(reaction))

    def _accept(self, step: Step, h: float, target: float) -> None:
        self.flow = step.point.flow  # the metric moves with the weights
        super()._accept(step, h, target)

    def _record(self, h: float) -> None:
        self.solution.last_weights = self.point.weights
        saved = len(self.solution.states)
        super()._record(h)
        if len(self.solution.states) > saved:
            self.solution.weights.append(self.point.weights)


def split(
    flow: ParticleFlow, point: Any, h: float, *, base: Any, reaction: float, rho: ParticleMeasure
) -> Step:
    """One Strang step: reaction h/2, transport h, reaction h/2."""
    problem, clock = flow.problem, flow.clock
    first, gap = react(problem, _measure(rho, point.state, point.weights), 0.5 * reaction * h)
    moving = ParticleFlow(problem, first, clock)
    step = base(moving, moving.at(point.state, point.s), h)
    if not step.point.finite:
        return Step(
            ReactionPoint(moving, step.point.state, step.point.s, first, np.inf), step.error
        )
    moved = _measure(rho, step.point.state, first.weights)
    last, more = react(problem, moved, 0.5 * reaction * h)
    arrived = ParticleFlow(problem, last, clock)
    end = ReactionPoint(arrived, last.theta, step.point.s, last, gap + more)
    return Step(end, step.error, rate=step.rate)


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


def check(rho: object, options: Options, checkpoint: object, comm: object) -> None:
    """What ``solve`` refuses together with a reaction."""
    if not isinstance(rho, ParticleMeasure):
        raise TypeError(f"reaction needs a ParticleMeasure; given {type(rho).__name__}")
    method = options.method
    if method in SCHEMES and not SCHEMES[method].adaptive:
        raise ValueError(
            f"reaction needs an adaptive method, 'auto', 'rk45' or 'implicit'; given {method!r}"
        )
    if options.vanishing_decay:
        raise ValueError("reaction cannot be combined with vanishing_decay")
    if comm is not None:
        raise ValueError("comm cannot be combined with reaction: start one process")
    if checkpoint is not None:
        raise ValueError("checkpoint cannot be combined with reaction: run files hold no weights")


def _potential(problem: Problem, rho: ParticleMeasure) -> Array:
    return first_variation(problem, rho, rho.theta)


def _measure(rho: ParticleMeasure, theta: Array, weights: Array) -> ParticleMeasure:
    return ParticleMeasure(theta, rho.depth, weights, dtype=rho.dtype)
