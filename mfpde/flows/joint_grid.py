"""The joint flow on a grid: ∂_s ρ = div_(θ,t)(ρ ∇_(θ,t) V) for the masses of cells in (t, θ).

Depth is one more axis of the finite volumes, measured in β t: the velocity at a face between two
depths is −(difference of V at the two centres)/(distance), V being exactly ∂E_h/∂m_kc. The scheme
conserves the total mass, keeps masses >= 0, lets nothing through t = 0, 1, and its energy falls. A
cell in depth is what ``window`` is for ``JointMeasure``: the width over which V is differentiated.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mfpde.flows.grid_flow import GridFlow, GridPoint
from mfpde.flows.schemes import Scheme
from mfpde.flows.schemes.grid import SCHEMES
from mfpde.measures.axes import Axis, Grid
from mfpde.measures.joint_grid import JointGrid
from mfpde.passes.mobility import moved
from mfpde.passes.propagate import Layers
from mfpde.penalty import Penalty
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.options import Options
from mfpde.runs.solution import Control
from mfpde.volumes.faces import Potential, Transport

Array = NDArray[np.float64]

EXPLICIT = {name: scheme for name, scheme in SCHEMES.items() if scheme.longest is not None}


class JointGridFlow(GridFlow):
    """A problem with everything of a ``JointGrid`` that the flow leaves fixed.

    Explicit schemes only ("auto" is "muscl"): mass that moves in depth couples the depths, which
    the implicit ones solve one by one.
    """

    schemes = EXPLICIT
    rho: JointGrid  # type: ignore[assignment]

    def __init__(
        self, problem: Problem, rho: JointGrid, clock: Clock | None = None, **terms: float
    ) -> None:
        if problem.temperature:
            raise ValueError("temperature must be 0 for a JointGrid; use a GridMeasure")
        super().__init__(problem, rho, clock, **terms)  # type: ignore[arg-type]
        self._cells = len(rho.masses)
        self._axes = (Axis.uniform(0.0, rho.beta, self._cells), *rho.grid.axes)
        self.transport = Transport(Grid(self._axes))

    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""
        return self.schemes[options.method]

    def start(self, point: GridPoint, options: Options) -> tuple[Options, Control, str]:
        """Options with "auto" resolved, the first step, and a note on what was chosen."""
        auto = options.method == "auto"
        return super().start(point, replace(options, method="muscl") if auto else options)

    def layers(self, masses: Array) -> Layers:
        return self.sums.layers(self.rho.depth, self._cells * masses)

    def push(self, point: GridPoint, change: Array) -> Array:
        """Change of the outputs, (N, k), to first order in a change of the coefficients (K, C)."""
        return super().push(point, self._cells * change)

    def kernel_product(self, point: GridPoint, v: Array) -> Array:
        """K v for v (N, k): outputs moved by the flow of ⟨v, outputs⟩ in (t, θ)."""
        potential = self.sums.expand(self.pull(point, v @ self.problem.readout))
        change = moved(self._axes, point.state[None], potential[None])[0]
        return self.push(point, self.sums.coefficients(change))

    def potential(self, g: Array, penalty: Penalty) -> Potential:
        """V = Rᵀg + r at the centres: depths are rows."""
        full = self.sums.expand(g)
        if penalty:
            full = full + penalty.value(self.rho.grid.points)
        return Potential.of(full.reshape(1, self.transport.rows, self.transport.plane))

    def over_depth(self, values: Array) -> float:
        """The sum: masses carry the measure of depth."""
        return float(values.sum())
