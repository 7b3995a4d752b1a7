"""The conditional-OT gradient flow of cell masses: ∂_s ρ_t = ∇·(ρ_t ∇V) + τ Δρ_t on a grid.

The velocity at a face is −(difference of V at the two centres)/(their distance) and V at the
centres is exactly ∂E_h/∂m_kc/ω_k, so that upwind fluxes of any order of reconstruction make the
semi-discrete energy decay: dE_h/ds = −Σ_k ω_k Σ_faces velocity² · mass of the face.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import terminal_cotangent
from mfpde.flows import grid_start
from mfpde.flows.base import ProblemFlow, ProblemPoint
from mfpde.flows.schemes import Scheme
from mfpde.flows.schemes.grid import SCHEMES, muscl, scheme
from mfpde.measures.axes import Axis
from mfpde.measures.grid import GridMeasure
from mfpde.passes import propagate
from mfpde.passes.cell_sums import SeparableSums, on_grid
from mfpde.passes.mobility import Mobility, mobility, moved, tangent_kernel
from mfpde.passes.propagate import Forward, Layers
from mfpde.penalty import Penalty
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.options import Options
from mfpde.runs.solution import Control
from mfpde.volumes.diffusion import Diffusion
from mfpde.volumes.faces import Potential, Survey, Transport, implicit_along

Array = NDArray[np.float64]


class GridFlow(ProblemFlow):
    """A problem with everything of a grid measure that the flow leaves fixed: depth and cells.

    ``vanishing_decay`` = c adds c e^{−s} ∫∫ |θ|² dρ to the energy (Ding et al. 2021).
    """

    schemes = SCHEMES

    def __init__(
        self,
        problem: Problem,
        rho: GridMeasure,
        clock: Clock | None = None,
        *,
        vanishing_decay: float = 0.0,
    ) -> None:
        super().__init__(problem, clock, vanishing_decay)
        self.rho = rho
        self.sums = on_grid(problem.block, rho.grid)
        self.transport = Transport(rho.grid)
        self._start = problem.start()
        self._square = np.square(rho.grid.points).sum(axis=-1)

    @cached_property
    def diffusion(self) -> Diffusion:
        """The heat semigroup of the grid's axes."""
        return Diffusion(self.rho.grid)

    @cached_property
    def _mass(self) -> Array:
        """Mass of every node at the start of the run, summed as ever after."""
        rest = np.zeros(self.rho.masses.shape)
        v = Potential.of(rest.reshape(-1, self.transport.rows, self.transport.plane))
        return self.transport.survey(v, self.rho.masses).mass

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
        self.clock.worst("mass_drift", float(np.abs(after.survey.mass - self._mass).max()))
        self.clock.worst("negative_mass", max(-after.survey.smallest, 0.0))

    def may_rise(self, before: GridPoint, after: GridPoint) -> bool:
        """Never: upwind fluxes descend."""
        return False

    def penalty(self, s: float) -> Penalty:
        """The confinement at time s, the vanishing part included."""
        return self.confinement(s)

    def curvature(self, point: GridPoint) -> float:
        """The largest eigenvalue of D²r over the grid."""
        return self.penalty(point.s).curvature(self.rho.grid.points)

    def layers(self, masses: Array) -> Layers:
        return self.sums.layers(self.rho.depth, masses)

    def moved(
        self, limiter: str, start: GridPoint, here: GridPoint, h: float, share: float, ahead: float
    ) -> GridPoint:
        """The point m + share·(m_here − m + h dm/ds(m_here)), at the time ``ahead`` of start."""
        v = here.potential
        with self.clock.part("kernels"):
            masses = self.transport.advance(limiter, v, start.state, here.state, h, share)
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
                masses = implicit_along(self.rho.grid, i, masses, v, tau, h)
        return masses

    def substeps(self, v: Potential, h: float) -> float:
        """How many MUSCL steps transport down a frozen potential takes over h."""
        everywhere = np.ones((len(v.slope), *self.rho.grid.shape))
        fastest = self.transport.survey(v, everywhere).fastest
        return max(float(np.ceil(h * fastest / muscl.CFL)), 1.0)

    def drift(self, v: Potential, masses: Array, h: float) -> Array:
        """One MUSCL step down a frozen potential."""
        with self.clock.part("kernels"):
            first = self.transport.advance("van_leer", v, masses, masses, h)
            return self.transport.advance("van_leer", v, masses, first, h, 0.5)

    def speed(self, point: GridPoint, g: Array) -> float:
        """√∫∫ |∇φ|² dρ for a potential by coefficient."""
        found = self.transport.survey(self.potential(g, Penalty()), point.state)
        return float(np.sqrt(self.over_depth(found.dissipation)))

    def rose(self, before: GridPoint, after: GridPoint) -> bool:
        """Whether the energy without entropy is larger after a transport."""
        low, high = before.confined_energy, after.confined_energy
        return bool(high > low + 1e-12 * (1.0 + abs(low)))

    def forward(self, masses: Array) -> Forward:
        with self.clock.part("kernels"):
            return propagate.forward(self.layers(masses), self._start, keep=True)

    def pull(self, point: GridPoint, terminal: Array) -> Array:
        """First variation of ⟨terminal, X(1)⟩ by coefficient, (K, C), for a terminal (N, d)."""
        self.clock.counts["gradients"] += 1
        with self.clock.part("kernels"):
            back = propagate.adjoint(self.layers(point.state), point.passed, terminal)
            out: Array = back.gradient[:, 0] / self.rho.depth.weights[:, None]
            return out

    def push(self, point: GridPoint, change: Array) -> Array:
        """Change of the outputs, (N, k), to first order in a change of the coefficients (K, C)."""
        self.clock.counts["tangents"] += 1
        with self.clock.part("kernels"):
            layers = self.layers(point.state)
            end = propagate.tangent(layers, point.passed, change[:, None, :])
            return end @ self.problem.readout.T

    def kernel_product(self, point: GridPoint, v: Array) -> Array:
        """K v for v (N, k): outputs moved by the flow of ⟨v, outputs⟩ in the COT metric."""
        g = self.pull(point, v @ self.problem.readout)
        return self.push(point, point.mobility.apply(g))

    def potential(self, g: Array, penalty: Penalty) -> Potential:
        """V = Rᵀg + r at the centres, in the form that the kernels read."""
        if isinstance(self.sums, SeparableSums) and not penalty.quartic:
            return self._separable(g, penalty)
        full = self.sums.expand(g)
        if penalty:
            full = full + penalty.value(self.rho.grid.points)
        return Potential.of(full.reshape(len(g), self.transport.rows, self.transport.plane))

    def _separable(self, g: Array, penalty: Penalty) -> Potential:
        """u_1 g_1 + Σ_{i>1} u_i g_i, and (λ/2)|θ|² split between rows and plane."""
        d, first = self.problem.block.dim, self.rho.axes[0].centres
        g = g.reshape(len(g), d, -1)
        others = _products(self.rho.axes[1:d])
        shape = (len(g), others.shape[1], g.shape[2])
        slope = np.broadcast_to(g[:, :1], shape).reshape(len(g), -1)
        base = np.einsum("ij,kix->kjx", others, g[:, 1:]).reshape(len(g), -1)
        row = np.zeros(len(first))
        if penalty:
            rest = self.rho.grid.points[0, ..., 1:].reshape(-1, self.rho.dim - 1)
            base = base + penalty.value(rest)
            row = penalty.value(first[:, None])
        return Potential(first, np.ascontiguousarray(slope), base, row, np.empty((0, 0, 0)))

    def mean(self, values: Array, masses: Array) -> float:
        """∫∫ g dρ for g at the centres."""
        return self.rho.with_state(masses).integrate(values)

    def size(self, point: GridPoint) -> float:
        """√∫∫ |θ|² dρ, which displacements are compared with."""
        return float(np.sqrt(self.mean(self._square, point.state)))

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


class GridPoint(ProblemPoint):
    """The flow at one state and s: the forward pass is done, the rest follows when asked for.

    ``state`` holds the masses (K, n1, ..., np).
    """

    def __init__(self, flow: GridFlow, masses: Array, s: float) -> None:
        self.flow, self.state, self.s = flow, masses, s
        self.passed = flow.forward(masses)

    @property
    def end(self) -> Array:
        return self.passed.end

    def mean_penalty(self, penalty: Penalty) -> float:
        return self.flow.mean(penalty.value(self.flow.rho.grid.points), self.state)

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
        flow = self.flow
        g = flow.pull(self, terminal_cotangent(flow.problem, self.passed.end))
        return flow.potential(g, flow.penalty(self.s))

    @cached_property
    def survey(self) -> Survey:
        """Dissipation, masses and speeds: what a step is judged by."""
        with self.flow.clock.part("kernels"):
            return self.flow.transport.survey(self.potential, self.state)

    @cached_property
    def mobility(self) -> Mobility:
        """∇·(ρ_t ∇ ·) in terms of coefficients."""
        return mobility(self.flow.sums, self.state)

    @cached_property
    def confined(self) -> Array:
        """d(coefficients)/ds by the penalty alone, (K, C)."""
        flow = self.flow
        r = flow.penalty(self.s).value(flow.rho.grid.points)
        r = np.broadcast_to(r, self.state.shape)
        return -flow.sums.coefficients(moved(flow.rho.axes, self.state, r))

    @cached_property
    def kernel(self) -> Array:
        """The tangent kernel K = JJ* of the outputs in the metric of the faces, (N·k, N·k)."""
        flow = self.flow
        flow.clock.counts["kernels"] += 1
        with flow.clock.part("kernels"):
            return tangent_kernel(
                flow.layers(self.state), self.passed, flow.problem.readout, self.mobility
            )

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


def _products(axes: tuple[Axis, ...]) -> Array:
    """The tensor product of the centres of some axes as columns, (number of axes, cells)."""
    if not axes:
        return np.zeros((0, 1))
    return np.stack([x.ravel() for x in np.meshgrid(*(a.centres for a in axes), indexing="ij")])
