"""Passes through depth: what a problem and a measure do to each other, one operator per kind."""

from __future__ import annotations

from typing import Any

from mfpde.passes.grid import GridOperator, JointGridOperator
from mfpde.passes.interface import Carried, Operator, Trajectories
from mfpde.passes.joint import JointOperator
from mfpde.passes.ordered import OrderedOperator
from mfpde.passes.particles import ParticleOperator
from mfpde.problem import Problem

__all__ = ["OPERATORS", "Carried", "Operator", "Trajectories", "carry", "operator_of"]

OPERATORS: dict[str, Any] = {
    "particles": ParticleOperator,
    "moving_grid": ParticleOperator,
    "grid": GridOperator,
    "joint": JointOperator,
    "joint_grid": JointGridOperator,
    "ordered": OrderedOperator,
}


def operator_of(problem: Problem, rho: Any) -> Any:
    """The problem on the fixed part of a measure, by the measure's ``kind``.

    Raises TypeError for what is no measure, ValueError where block and measure do not fit.
    """
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a mfpde.Problem; given {type(problem).__name__}")
    kind = getattr(rho, "kind", None)
    if kind not in OPERATORS:
        raise TypeError(f"rho must be a measure of mfpde; given {type(rho).__name__}")
    return OPERATORS[kind](problem, rho)


def carry(problem: Problem, rho: Any) -> Any:
    """The problem's data carried through a measure."""
    return operator_of(problem, rho).carry(rho.state)
