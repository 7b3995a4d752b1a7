"""Which measures a theorem is about, and what is said of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

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


def in_its_metric(problem: Problem, sol: Any, who: str, *, descends: bool = False) -> None:
    """Raise ValueError where a run had other rates than ``problem``; or was no gradient flow."""
    own = getattr(sol, "problem", problem)
    if not np.array_equal(own.prices, problem.prices):
        raise ValueError(
            f"{who}: problem must have the rates of the run, {sol!r}: hand over sol.problem"
        )
    if descends and getattr(getattr(sol, "options", None), "optimizer", None) is not None:
        raise ValueError(f"{who} is about gradient flows; {sol!r} is the run of an optimiser")


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
