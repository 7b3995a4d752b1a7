"""What the driver asks of a flow: points, a norm, a scheme and a start.

A ``Flow`` is a problem with everything of a measure that stays fixed; a ``Point`` is the flow at
one state and time. Which flow belongs to which measure is said here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from mfpde.measures import Measure
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.options import Options
from mfpde.runs.solution import Control
from mfpde.runs.step import Scheme

Array = NDArray[Any]


class Point(Protocol):
    """The flow at one state; everything costly is computed once, when it is asked for."""

    state: Array
    s: float

    @property
    def loss(self) -> float:
        """E without entropy and vanishing decay: what is reported."""
        ...

    @property
    def energy(self) -> float:
        """What the flow descends."""
        ...

    @property
    def norm2(self) -> float:
        """|grad E|² in the metric of the flow."""
        ...

    @property
    def finite(self) -> bool:
        """Whether the run can go on from here."""
        ...


class Flow(Protocol):
    """A gradient flow of the energy, whatever the measure is made of.

    A step after which the energy is larger is refused, unless the flow says that it ``may_rise``.
    """

    problem: Problem
    clock: Clock

    @property
    def schemes(self) -> Mapping[str, Scheme]:
        """The schemes that a run of this flow may name."""
        ...

    def at(self, state: Array, s: float = 0.0) -> Any:
        """The point at a state and a time."""
        ...

    def norm(self, change: Any) -> float:
        """Size of the error of a step, in the metric of the flow."""
        ...

    def size(self, point: Any) -> float:
        """What relative errors are relative to."""
        ...

    def kernel_product(self, point: Any, v: Array) -> Array:
        """K v for v (N, k), K the tangent kernel of the outputs."""
        ...

    def curvature(self, point: Any) -> float:
        """A bound of D²r at the point."""
        ...

    def observe(self, before: Any, after: Any) -> None:
        """Note in the clock what an accepted step did, and how well it kept what is guaranteed."""
        ...

    def may_rise(self, before: Any, after: Any) -> bool:
        """Whether the energy may be larger after a step between these two points."""
        ...

    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""
        ...

    def start(self, point: Any, options: Options) -> tuple[Options, Control, str]:
        """Options with "auto" resolved, the first step, and a note on what was chosen."""
        ...


def flow_class(rho: Measure) -> Any:
    """The flow of a measure's kind.

    Raises TypeError for what is no measure.
    """
    from mfpde.flows.grid_flow import GridFlow
    from mfpde.flows.joint import JointFlow
    from mfpde.flows.joint_grid import JointGridFlow
    from mfpde.flows.particle_flow import ParticleFlow
    from mfpde.flows.reordering import ReorderingFlow

    flows = {
        "particles": ParticleFlow,
        "moving_grid": ParticleFlow,
        "grid": GridFlow,
        "joint": JointFlow,
        "joint_grid": JointGridFlow,
        "ordered": ReorderingFlow,
    }
    kind = getattr(rho, "kind", None)
    if kind not in flows:
        raise TypeError(f"rho0 must be a measure of mfpde; given {type(rho).__name__}")
    return flows[kind]


def build(problem: Problem, rho: Measure, options: Options, clock: Clock) -> Flow:
    """The flow of a run."""
    flow: Flow = flow_class(rho)(problem, rho, clock, vanishing_decay=options.vanishing_decay)
    return flow
