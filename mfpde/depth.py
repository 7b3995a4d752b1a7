"""Depth integrators as data: nodes, quadrature weights ω_k and Runge–Kutta tableaux."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mfpde import checks


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge–Kutta method whose stage i reads the parameters at a depth node.

    ``a`` (S, S) strictly lower triangular, ``b`` (S,), ``offset`` (S,) the node of stage i counted
    from the first node of the step, ``stride`` nodes between the starts of two steps, ``shift`` how
    far the first node lies inside its step, in node distances.
    """

    name: str
    order: int
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    offset: tuple[int, ...]
    stride: int
    shift: float = 0.0

    @property
    def stages(self) -> int:
        return len(self.offset)


EULER = Tableau("euler", 1, np.zeros((1, 1)), np.ones(1), (0,), 1)
HEUN = Tableau("heun", 2, np.array([[0.0, 0.0], [1.0, 0.0]]), np.full(2, 0.5), (0, 1), 1)
RK4 = Tableau(
    "rk4",
    4,
    np.array([[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 1.0, 0]]),
    np.array([1, 2, 2, 1]) / 6,
    (0, 1, 1, 2),
    2,
)
MIDPOINT = Tableau(
    "midpoint", 2, np.array([[0.0, 0.0], [0.5, 0.0]]), np.array([0.0, 1.0]), (0, 0), 1, 0.5
)
TABLEAUX = {tableau.name: tableau for tableau in (EULER, HEUN, RK4, MIDPOINT)}


@checks.typed
@dataclass(frozen=True)
class Depth:
    """The depth axis t ∈ [0, 1] cut into ``steps`` steps of one integrator.

    ``method`` is "euler" (order 1; this *is* a ResNet of L = ``steps`` layers), "heun" (order 2),
    "rk4" (order 4) or "midpoint" (order 2: one node in the middle of each step, whose law both
    stages read, as if ρ were constant within the step). The weights ω_k are the integrator's own
    quadrature (left rectangles, trapezoid, composite Simpson, midpoints), so that ∂E_h/∂ρ_k / ω_k
    is the first variation V(t_k, ·).

    Raises ValueError for an unknown method or fewer than one step.
    """

    steps: int
    method: str = "rk4"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", checks.count("Depth steps", self.steps))
        checks.choice("Depth method", self.method, TABLEAUX)
        checks.memory(f"Depth steps = {self.steps}", 200.0 * self.steps, "take fewer steps")

    @property
    def tableau(self) -> Tableau:
        return TABLEAUX[self.method]

    @property
    def step(self) -> float:
        """Length of one step in t."""
        return 1.0 / self.steps

    @cached_property
    def nodes(self) -> NDArray[np.float64]:
        """Depths t_k at which a measure is held, shape (K,)."""
        tableau = self.tableau
        last = self.steps * tableau.stride + max(tableau.offset) - tableau.stride
        return (np.arange(last + 1) + tableau.shift) / (self.steps * tableau.stride)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Quadrature weights ω_k > 0, shape (K,), sum 1."""
        weights = np.zeros(len(self.nodes))
        for k, b in zip(self.stage_nodes.ravel(), np.tile(self.tableau.b, self.steps), strict=True):
            weights[k] += b * self.step
        return weights

    @cached_property
    def stage_nodes(self) -> NDArray[np.int64]:
        """Node index read by stage i of step l, shape (steps, stages)."""
        starts = np.arange(self.steps)[:, None] * self.tableau.stride
        return starts + np.array(self.tableau.offset)[None, :]

    @property
    def compiled(
        self,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float, NDArray[np.int64]]:
        """The tableau's a and b, the step and the nodes of its stages: what kernels read."""
        return self.tableau.a, self.tableau.b, self.step, self.stage_nodes
