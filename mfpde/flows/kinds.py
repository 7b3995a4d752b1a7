"""Which flow belongs to which kind of measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfpde.flows.birth_death import ReactionFlow
from mfpde.flows.distributed import DistributedFlow, DistributedGridFlow
from mfpde.flows.flow import Flow
from mfpde.flows.grid_flow import GridFlow, JointGridFlow
from mfpde.flows.optimised import OptimisedFlow
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.placed import PlacedFlow
from mfpde.measures import Measure
from mfpde.measures.grid import GridMeasure
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes.ranks import Ranks
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.options import Options
from mfpde.runs.step import Scheme

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


def schemes_of(rho: Any, optimizer: Any) -> Mapping[str, Scheme]:
    """The schemes that a run may name."""
    found = flow_class(rho).schemes
    return found if optimizer is None else OptimisedFlow.schemes


def build(problem: Problem, rho: Measure, options: Options, clock: Clock, comm: Any = None) -> Flow:
    """The flow of a run, on the ranks of ``comm`` if there are several.

    Raises TypeError for what is no communicator, and for measures that cannot be dealt to ranks;
    TypeError or ValueError for options that this measure does not allow.
    """
    if options.optimizer is not None:
        if comm is not None:
            raise ValueError("comm cannot be combined with optimizer: start one process")
        return OptimisedFlow.of(problem, rho, options, clock)
    if options.reaction:
        if comm is not None:
            raise ValueError("comm cannot be combined with reaction: start one process")
        return ReactionFlow.of(problem, rho, options, clock)
    if (ranks := Ranks.of(comm)) is None:
        return flow_class(rho)(problem, rho, clock, vanishing_decay=options.vanishing_decay)
    if isinstance(rho, ParticleMeasure):
        return DistributedFlow(problem, rho, clock, ranks, vanishing_decay=options.vanishing_decay)
    if not isinstance(rho, GridMeasure) or rho.kind != "grid":
        raise TypeError(
            "comm needs a ParticleMeasure, whose particles are dealt to ranks, or a GridMeasure; "
            f"given {type(rho).__name__}: start one process"
        )
    return DistributedGridFlow(problem, rho, clock, ranks, vanishing_decay=options.vanishing_decay)
