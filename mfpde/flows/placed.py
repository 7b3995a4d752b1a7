"""What the flows of blocks placed in depth share: the pass in order of t, metric and Jacobian.

The state is (θ_j, t_j), (n, p + 1), one row per block, in the numbering of the start. The metric is
(1/n) Σ_j (|dθ_j|² + β²|dt_j|²). A block that is pushed out of [0, 1] stays at the end until it is
pulled back: the reflecting (no-flux) boundary of a flow without noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import check_fit, terminal_cotangent
from mfpde.flows import start
from mfpde.flows.base import ProblemFlow, ProblemPoint
from mfpde.flows.schemes import SCHEMES, Scheme, scheme
from mfpde.kernels.depth_average import inversions
from mfpde.measures.joint import Ordered, PlacedBlocks
from mfpde.penalty import Penalty
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.options import Options
from mfpde.runs.solution import Control

Array = NDArray[np.float64]

# The implicit step and the stability limit hold the Jacobian of the outputs: this many entries.
LARGEST_JACOBIAN = 1 << 28


class PlacedFlow(ProblemFlow, ABC):
    """A problem with what the flow leaves fixed: the number of blocks and the price of depth."""

    # Velocities jump where blocks change order: no dense output, steps land on the save times.
    schemes: ClassVar[dict[str, Scheme]] = {
        name: replace(scheme, dense=False) for name, scheme in SCHEMES.items()
    }

    def __init__(
        self,
        problem: Problem,
        rho: PlacedBlocks,
        clock: Clock | None = None,
        *,
        vanishing_decay: float = 0.0,
    ) -> None:
        problem.refuse_entropy()
        check_fit(problem, rho)
        super().__init__(problem, clock, vanishing_decay)
        self.count = rho.count
        self.begin = np.ascontiguousarray(problem.start().T)
        self._place: Any = type(rho)  # what orders the blocks and steps them
        frozen = rho.beta == np.inf
        self.metric = np.append(np.ones(rho.dim), 0.0 if frozen else rho.beta**2)
        self.mobility = np.append(np.ones(rho.dim), rho.beta**-2.0)

    @abstractmethod
    def depth_slopes(self, point: PlacedPoint, back: Array, value: Array) -> Array:
        """N-fold terms of n ∂E/∂t, (n, N), for an adjoint path: linear in its terminal."""

    def at(self, state: Array, s: float = 0.0) -> PlacedPoint:
        """The flow at a state (n, p + 1) and time s; depths beyond [0, 1] are moved to its ends."""
        return PlacedPoint(self, state, s)

    def ordered(self, state: Array) -> Ordered:
        """The blocks of a state in order of depth."""
        return self._place.order(state[:, :-1], state[:, -1])

    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""
        return replace(scheme(options.method, options.rtol, options.atol), dense=False)

    def start(self, point: PlacedPoint, options: Options) -> tuple[Options, Control, str]:
        """Options with "auto" resolved, the first step, and a note on what was chosen."""
        return start.prepare(self, point, options)

    def penalty(self, s: float) -> OnParameters:
        """The confinement at time s, the vanishing part included."""
        return OnParameters(self.confinement(s))

    def may_rise(self, before: PlacedPoint, after: PlacedPoint) -> bool:
        """E is piecewise smooth: where blocks have changed order it may have jumped up."""
        return not np.array_equal(before.blocks.order, after.blocks.order)

    def curvature(self, point: PlacedPoint) -> float:
        """The largest eigenvalue of D²r over the blocks."""
        return self.penalty(point.s).curvature(point.state)

    def observe(self, before: PlacedPoint, after: PlacedPoint) -> None:
        """Count the pairs of blocks that the step has exchanged."""
        rank = np.empty(self.count, dtype=np.int64)
        rank[after.blocks.order] = np.arange(self.count)
        self.clock.counts["exchanges"] += int(inversions(rank[before.blocks.order]))

    def pull_outputs(self, point: PlacedPoint, v: Array) -> Array:
        """Gradient of ⟨v, outputs⟩ in the metric, (n, p + 1), for v (N, k)."""
        self.clock.counts["gradients"] += 1
        with self.clock.part("linear_algebra"):
            pulled = (v.ravel() @ point.jacobian).reshape(point.state.shape)
            return self.count * self.mobility * pulled

    def push(self, point: PlacedPoint, change: Array) -> Array:
        """Change of the outputs, (N, k), to first order in a change of the state."""
        self.clock.counts["tangents"] += 1
        with self.clock.part("linear_algebra"):
            return (point.jacobian @ change.ravel()).reshape(point.slope.shape)

    def kernel_product(self, point: PlacedPoint, v: Array) -> Array:
        """K v for v (N, k)."""
        return self.push(point, self.pull_outputs(point, v))

    def inner(self, left: Array, right: Array) -> float:
        """(1/n) Σ_j ⟨dθ, dθ′⟩ + β² dt dt′, reduced in fixed order."""
        return float((self.metric * left * right).sum() / self.count)

    def size(self, point: PlacedPoint) -> float:
        """√∫ |θ|² + β² t² dρ, which changes are compared with."""
        return self.norm(point.state)

    def norm(self, change: Array) -> float:
        """Size of a change of the state in the metric."""
        return float(np.sqrt(self.inner(change, change)))


class PlacedPoint(ProblemPoint):
    """The flow at one state and s: the forward pass is done, the rest follows when asked for."""

    def __init__(self, flow: PlacedFlow, state: Array, s: float) -> None:
        self.flow, self.s = flow, s
        self.state = state.copy()
        np.clip(state[:, -1], 0.0, 1.0, out=self.state[:, -1])
        self.blocks = flow.ordered(self.state)
        with flow.clock.part("kernels"):
            _, theta, _, steps = self.blocks
            self.path: Array = flow.problem.block.chain_forward(theta, steps, flow.begin)

    @property
    def end(self) -> Array:
        return self.path[-1].T

    def mean_penalty(self, penalty: Penalty) -> float:
        return float(penalty.value(self.state[:, :-1]).mean())

    @cached_property
    def _raw(self) -> Array:
        """n ∂E/∂(θ, t) in order of depth, (n, p + 1), ends and price of depth not yet applied."""
        flow = self.flow
        flow.clock.counts["gradients"] += 1
        with flow.clock.part("kernels"):
            _, theta, _, steps = self.blocks
            terminal = terminal_cotangent(flow.problem, self.path[-1].T).T
            back, gradient, value = flow.problem.block.chain_adjoint(
                theta, steps, self.path, np.ascontiguousarray(terminal)
            )
            depth = flow.depth_slopes(self, back, value).sum(axis=1)
            return np.column_stack([flow.count * steps[:, None] * gradient, depth])

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Blocks, in order of depth, that are pushed out of [0, 1], (n,)."""
        t, slope = self.blocks.t, self._raw[:, -1]
        return ((t <= 0.0) & (slope > 0.0)) | ((t >= 1.0) & (slope < 0.0))

    @cached_property
    def gradient(self) -> Array:
        """Minus the velocity of every block, (n, p + 1)."""
        slopes = self.flow.mobility * self._raw
        slopes[self.held, -1] = 0.0
        out = np.empty_like(slopes)
        out[self.blocks.order] = slopes
        if penalty := self.flow.penalty(self.s):
            out += penalty.gradient(self.state)
        return out

    @cached_property
    def norm2(self) -> float:
        """∫ |grad|² dρ in the metric."""
        return self.flow.inner(self.gradient, self.gradient)

    @cached_property
    def jacobian(self) -> Array:
        """Outputs by state, (N·k, n (p + 1)), depth as ``depth_slopes`` sees it."""
        flow, (order, theta, _, steps) = self.flow, self.blocks
        n, data, outputs = flow.count, flow.problem.size, flow.problem.outputs
        if (entries := flow.rows * self.state.size) > LARGEST_JACOBIAN:
            raise ValueError(
                f"method: the Jacobian of the outputs would hold {entries:.2g} numbers; use "
                "method='rk45', or 'gd' with a step of your own, or fewer blocks"
            )
        out = np.empty((data, outputs, *self.state.shape))
        block = flow.problem.block
        with flow.clock.part("kernels"):
            for c, row in enumerate(flow.problem.readout):
                terminal = np.repeat(row[:, None], data, axis=1)
                back, _, value = block.chain_adjoint(theta, steps, self.path, terminal)
                by_theta = block.chain_rows(theta, self.path, back)
                out[:, c, order, :-1] = (steps[:, None, None] * by_theta).transpose(2, 0, 1)
                by_depth = flow.depth_slopes(self, back, value) / n
                by_depth[self.held] = 0.0
                out[:, c, order, -1] = by_depth.T
        return out.reshape(flow.rows, -1)

    @cached_property
    def kernel(self) -> Array:
        """The tangent kernel K = J J* of the outputs, (N·k, N·k)."""
        flow = self.flow
        flow.clock.counts["kernels"] += 1
        with flow.clock.part("linear_algebra"):
            weights = np.tile(flow.count * flow.mobility, flow.count)
            return (self.jacobian * weights) @ self.jacobian.T


class OnParameters:
    """A penalty r(θ) read at states (θ, t): depth is not confined.

    ``quadratic`` is 0 for the implicit step, which would shrink all coordinates of the state by
    it: the whole penalty enters by its gradient.
    """

    quadratic = 0.0

    def __init__(self, penalty: Penalty) -> None:
        self._penalty = penalty

    def __bool__(self) -> bool:
        return bool(self._penalty)

    def gradient(self, state: Array) -> Array:
        """(∇r(θ_j), 0), (n, p + 1)."""
        out = np.zeros_like(state)
        out[:, :-1] = self._penalty.gradient(state[:, :-1])
        return out

    def curvature(self, state: Array) -> float:
        """The largest eigenvalue of D²r over the blocks."""
        return self._penalty.curvature(state[:, :-1])
