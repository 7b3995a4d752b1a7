"""The conditional-OT gradient flow of cell masses: ∂_s ρ_t = ∇·(ρ_t ∇V) + τ Δρ_t on a grid.

The velocity at a face is −(difference of V at the two centres)/(their distance) and V at the
centres is exactly ∂E_h/∂m_kc/ω_k, so that upwind fluxes of any order of reconstruction make the
semi-discrete energy decay: dE_h/ds = −Σ_k ω_k Σ_faces velocity² · mass of the face.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.flows import grid_start
from mfpde.flows.flow import Cells, CellsPoint
from mfpde.flows.schemes import Scheme
from mfpde.flows.schemes.grid import SCHEMES, muscl, scheme
from mfpde.measures.axes import Grid
from mfpde.measures.grid import GridMeasure
from mfpde.measures.joint_grid import JointGrid
from mfpde.passes.mobility import moved
from mfpde.penalty import Penalty
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.control import Control
from mfpde.runs.options import Options
from mfpde.volumes.diffusion import Diffusion
from mfpde.volumes.faces import Potential, Survey, Transport, implicit_along

Array = NDArray[np.float64]


class GridFlow(Cells):
    """A problem with everything of a grid measure that the flow leaves fixed: depth and cells."""

    schemes = SCHEMES
    rho: Any  # a GridMeasure or a JointGrid

    def __init__(
        self,
        problem: Problem,
        rho: GridMeasure | JointGrid,
        clock: Clock | None = None,
        **terms: float,
    ) -> None:
        super().__init__(problem, rho, clock, **terms)
        self.transport = Transport(self.metric)

    @cached_property
    def metric(self) -> Grid:
        """The grid in lengths of the metric, by which everything moves."""
        return Grid(self.operator.axes)

    @cached_property
    def diffusion(self) -> Diffusion:
        """The heat semigroup of the metric's axes."""
        return Diffusion(self.metric)

    @cached_property
    def _square(self) -> Array:
        """|η^−½∘θ|² at the centres."""
        return np.asarray((self.problem.prices * np.square(self.rho.grid.points)).sum(axis=-1))

    @cached_property
    def _mass(self) -> Array:
        """Mass of every node at the start of the run, summed as ever after."""
        masses = self.part(self.rho.masses)
        rest = np.zeros(masses.shape)
        v = Potential.of(rest.reshape(-1, self.transport.rows, self.transport.plane))
        return self.transport.survey(v, masses).mass

    def at(self, masses: Array, s: float = 0.0) -> GridPoint:
        """The flow at masses (K, n1, ..., np) and time s."""
        return GridPoint(self, masses, s)

    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""
        entropic = self.problem.temperature > 0.0
        return scheme(options.method, options.rtol, options.atol, entropic)

    def start(self, point: GridPoint, options: Options) -> tuple[Options, Control, str]:
        """Options with "auto" resolved, the first step, and a note on what was chosen."""
        return grid_start.prepare(self, point, options)

    def observe(self, before: GridPoint, after: GridPoint) -> None:
        """Note the worst violation of what the schemes guarantee."""
        drift = float(np.abs(after.survey.mass - self._mass).max())
        self.clock.worst("mass_drift", self.largest(drift))
        self.clock.worst("negative_mass", max(-after.survey.smallest, 0.0))

    def largest(self, value: float) -> float:
        """The largest of a number, where depth nodes are dealt to several processes."""
        return value

    def survey(self, v: Potential, masses: Array) -> Survey:
        """Dissipation, masses and speeds: what a step is judged by."""
        with self.clock.part("kernels"):
            found = self.transport.survey(v, masses)
        fastest, smallest = self.largest(found.fastest), -self.largest(-found.smallest)
        return found._replace(fastest=fastest, smallest=smallest)

    def curvature(self, point: GridPoint) -> float:
        """A bound of the eigenvalues of √η D²r √η over the grid."""
        return self.fastest * self.confinement(point.s).curvature(self.rho.grid.points)

    def stage(
        self, limiter: str, v: Potential, start: Array, here: Array, h: float, share: float
    ) -> Array:
        """start + share·(here − start + h dm/ds(here)) down the potential v."""
        with self.clock.part("kernels"):
            return self.transport.advance(limiter, v, start, here, h, share)

    def moved(
        self, limiter: str, start: GridPoint, here: GridPoint, h: float, share: float, ahead: float
    ) -> GridPoint:
        """The point of a stage down the potential of ``here``, at the time ``ahead`` of start."""
        masses = self.stage(limiter, here.potential, start.state, here.state, h, share)
        return self.at(masses, start.s + ahead)

    def heated(self, masses: Array, time: float) -> Array:
        """Masses after ``time`` of the entropy's flow alone."""
        with self.clock.part("linear_algebra"):
            out = self.diffusion.apply(masses, self.problem.temperature * time)
        # Products of matrices lose digits of the mass, always the same way: put them back.
        lost = self._mass / out.reshape(len(out), -1).sum(axis=1)
        return out * lost.reshape(-1, *(1,) * self.rho.dim)

    def relaxed(self, point: GridPoint, h: float) -> Array:
        """Masses after an implicit step of drift and diffusion along each axis in turn."""
        v = point.potential.values().reshape(point.state.shape)
        masses, tau = point.state, self.problem.temperature
        with self.clock.part("kernels"):
            for i in range(self.rho.dim):
                masses = implicit_along(self.metric, i, masses, v, tau, h)
        return masses

    def substeps(self, v: Potential, h: float) -> float:
        """How many MUSCL steps transport down a frozen potential takes over h."""
        everywhere = np.ones((len(v.slope), *self.rho.grid.shape))
        fastest = self.survey(v, everywhere).fastest
        return max(float(np.ceil(h * fastest / muscl.CFL)), 1.0)

    def speed(self, point: GridPoint, g: Array) -> float:
        """√∫∫ |√η∘∇φ|² dρ for a potential by coefficient."""
        found = self.transport.survey(self.potential(g, Penalty()), point.state)
        return float(np.sqrt(self.over_depth(found.dissipation)))

    def rose(self, before: GridPoint, after: GridPoint) -> bool:
        """Whether the energy without entropy is larger after a transport."""
        low, high = before.confined_energy, after.confined_energy
        return bool(high > low + 1e-12 * (1.0 + abs(low)))

    def potential(self, g: Array, penalty: Penalty) -> Potential:
        """V = Rᵀg + r at the centres, in the form that the fluxes read."""
        found: Potential = self.operator.sums.face_potential(g, penalty)
        return found

    def size(self, point: GridPoint) -> float:
        """√∫∫ |η^−½∘θ|² dρ, which displacements are compared with."""
        return float(np.sqrt(self.rho.with_state(point.state).integrate(self._square)))

    def root_mean(self, values: Array) -> float:
        """√(Σ_k ω_k Σ_c values²) for values (K, ...)."""
        rows = np.square(values).reshape(len(values), -1).sum(axis=1)
        return float(np.sqrt(self.over_depth(rows)))

    def over_depth(self, values: Array) -> float:
        """∫ dt of values at the nodes, (K,)."""
        return float(self.rho.depth.weights @ values)

    def norm(self, change: float) -> float:
        """The size of an error: schemes on grids hand over the size itself."""
        return float(change)


class GridPoint(CellsPoint):
    """The flow at one state and s; ``state`` holds the masses (K, n1, ..., np)."""

    flow: GridFlow

    @cached_property
    def energy(self) -> float:
        """What the flow descends: E with entropy and vanishing decay."""
        flow = self.flow
        if not (temperature := flow.problem.temperature):
            return self.confined_energy
        entropy = flow.rho.with_state(self.state).entropy()
        return float(self.confined_energy + temperature * flow.over_depth(entropy))

    @cached_property
    def potential(self) -> Potential:
        """V at the centres, the entropy's part left out."""
        return self.flow.potential(self.variation, self.flow.confinement(self.s))

    @cached_property
    def survey(self) -> Survey:
        """Dissipation, masses and speeds: what a step is judged by."""
        return self.flow.survey(self.potential, self.state)

    @cached_property
    def confined(self) -> Array:
        """d(coefficients)/ds by the penalty alone, (K, C)."""
        flow = self.flow
        r = flow.confinement(self.s).value(flow.rho.grid.points)
        r = np.broadcast_to(r, self.state.shape)
        sums = flow.operator.sums
        change: Array = -sums.coefficients(moved(flow.operator.axes, self.state, r))
        return change

    @cached_property
    def norm2(self) -> float:
        """|grad E|²_COT by differences at the faces, of second order: −dE/ds.

        With entropy it is ∫∫ |∇(V + τ log ρ)|² dρ, 0 at Gibbs states.
        """
        flow = self.flow
        nodes, tau = self.survey.dissipation, flow.problem.temperature
        if tau:
            v = self.potential.values().reshape(self.state.shape)
            nodes = flow.diffusion.dissipation(tau, v, self.state)
        return flow.over_depth(nodes)

    @property
    def finite(self) -> bool:
        """Whether the loss is finite and no mass is negative."""
        return super().finite and self.survey.smallest >= 0.0


EXPLICIT = {name: one for name, one in SCHEMES.items() if one.longest is not None}


class JointGridFlow(GridFlow):
    """The joint flow on a grid: ∂_s ρ = div_(θ,t)(ρ ∇_(θ,t) V) for the masses of cells in (t, θ).

    Depth is one more axis of the finite volumes, measured in β t: the velocity at a face between
    two depths is −(difference of V at the two centres)/(distance), V being exactly ∂E_h/∂m_kc. The
    scheme conserves the total mass, keeps masses >= 0, lets nothing through t = 0, 1, and its
    energy falls. A cell in depth is what ``window`` is for ``JointMeasure``: the width over which V
    is differentiated. Explicit schemes only ("auto" is "muscl"): mass that moves in depth couples
    the depths, which the implicit ones solve one by one.
    """

    schemes = EXPLICIT

    def __init__(
        self, problem: Problem, rho: JointGrid, clock: Clock | None = None, **terms: float
    ) -> None:
        if problem.temperature:
            raise ValueError("temperature must be 0 for a JointGrid; use a GridMeasure")
        super().__init__(problem, rho, clock, **terms)

    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""
        return self.schemes[options.method]

    def start(self, point: GridPoint, options: Options) -> tuple[Options, Control, str]:
        """Options with "auto" resolved, the first step, and a note on what was chosen."""
        auto = options.method == "auto"
        return super().start(point, replace(options, method="muscl") if auto else options)

    def potential(self, g: Array, penalty: Penalty) -> Potential:
        """V = Rᵀg + r at the centres: depths are rows."""
        values = self.operator.sums.face_potential(g, penalty).values()
        return Potential.of(values.reshape(1, self.transport.rows, self.transport.plane))

    def over_depth(self, values: Array) -> float:
        """The sum: masses carry the measure of depth."""
        return float(values.sum())
