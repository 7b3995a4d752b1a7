"""Which measures a theorem is about, and what is said of the others."""

from __future__ import annotations

from typing import Any

from mfpde.measures import GridMeasure, JointGrid, JointMeasure, Measure, OrderedBlocks
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import carry
from mfpde.passes.layered import LayeredCarried
from mfpde.problem import Problem

# What to use instead, by kind of measure.
REMEDIES = {
    GridMeasure: "use rho.to_particles()",
    JointMeasure: "use rho.to_particles(), the same network with a law at each depth",
    JointGrid: "its depth marginal is free: use a GridMeasure",
    OrderedBlocks: "its blocks own unequal depths: use a JointMeasure and its to_particles()",
}


def conditional(problem: Problem, rho: Measure, who: str) -> LayeredCarried:
    """Data carried through a law ρ_t at fixed depths: particles or a grid.

    Raises TypeError for measures whose depth marginal is free.
    """
    if isinstance(rho, ParticleMeasure | GridMeasure):
        found: LayeredCarried = carry(problem, rho)
        return found
    raise refusal(rho, who, "a law of the parameters at fixed depths")


def particles(rho: Any, who: str) -> ParticleMeasure:
    """The measure itself, if it consists of particles at fixed depths."""
    if isinstance(rho, ParticleMeasure):
        return rho
    raise refusal(rho, who, "particles at fixed depths")


def refusal(rho: Any, who: str, wanted: str) -> TypeError:
    """What is said of a measure that a theorem is not about."""
    remedy = next((text for kind, text in REMEDIES.items() if isinstance(rho, kind)), "")
    return TypeError(
        f"{who}: rho must hold {wanted}; given {type(rho).__name__}" + (remedy and f": {remedy}")
    )
