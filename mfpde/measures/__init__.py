"""Measures ρ_t(dθ), held at depth nodes. A flow moves the ``state`` of a measure."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from numpy.typing import NDArray

from mfpde.measures.axes import Axis, Grid
from mfpde.measures.grid import GridMeasure
from mfpde.measures.joint import JointMeasure, OrderedBlocks
from mfpde.measures.joint_grid import JointGrid
from mfpde.measures.moving import MovingGrid
from mfpde.measures.particles import ParticleMeasure

__all__ = [
    "MEASURES",
    "Axis",
    "Grid",
    "GridMeasure",
    "JointGrid",
    "JointMeasure",
    "Measure",
    "MovingGrid",
    "OrderedBlocks",
    "ParticleMeasure",
]


@runtime_checkable
class Measure(Protocol):
    """What a run needs of a measure: the array that moves, and how to rebuild it around one."""

    kind: ClassVar[str]

    @property
    def state(self) -> NDArray[Any]:
        """What the flow moves."""
        ...

    def with_state(self, state: NDArray[Any]) -> Self:
        """The same measure with another state."""
        ...

    def spec(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a run file keeps beside the state: plain values, and arrays."""
        ...

    def labelled(
        self, states: NDArray[Any], coordinates: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """States (n, ...) and what stays fixed as labelled arrays, and the labels of their axes."""
        ...


MEASURES: dict[str, Any] = {
    measure.kind: measure
    for measure in (
        ParticleMeasure,
        MovingGrid,
        GridMeasure,
        JointMeasure,
        OrderedBlocks,
        JointGrid,
    )
}
