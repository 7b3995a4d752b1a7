"""Which flow belongs to which kind of measure."""

from __future__ import annotations

from typing import Any

from mfpde.flows.birth_death import ReactionFlow
from mfpde.flows.flow import Flow
from mfpde.flows.grid_flow import GridFlow, JointGridFlow
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.placed import PlacedFlow
from mfpde.measures import Measure
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.options import Options

FLOWS: dict[str, type[Flow]] = {
    "particles": ParticleFlow,
    "moving_grid": ParticleFlow,
    "grid": GridFlow,
    "joint": PlacedFlow,
    "joint_grid": JointGridFlow,
    "ordered": PlacedFlow,
}


def flow_class(rho: Any) -> type[Flow]:
    """The flow of a measure's kind.

    Raises TypeError for what is no measure.
    """
    kind = getattr(rho, "kind", None)
    if kind not in FLOWS:
        raise TypeError(f"rho0 must be a measure of mfpde; given {type(rho).__name__}")
    return FLOWS[kind]


def build(problem: Problem, rho: Measure, options: Options, clock: Clock) -> Flow:
    """The flow of a run.

    Raises TypeError or ValueError for options that this measure does not allow.
    """
    if options.reaction:
        return ReactionFlow.of(problem, rho, options, clock)
    return flow_class(rho)(problem, rho, clock, vanishing_decay=options.vanishing_decay)
