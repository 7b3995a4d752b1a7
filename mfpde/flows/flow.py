"""The interface of a flow: what the driver needs, and what the schemes of either kind need.

A ``Flow`` is a problem with everything of a measure that stays fixed; a ``Point`` is the flow at
one state and time. The mathematics is in ``mfpde.passes``: a flow adds training time (decay that
vanishes, methods, the start of a run) and the clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mfpde import losses
from mfpde.measures import Measure
from mfpde.passes import operator_of
from mfpde.passes.interface import Carried
from mfpde.passes.kronecker import factors
from mfpde.penalty import Penalty
from mfpde.problem import Problem
from mfpde.runs.clock import Clock
from mfpde.runs.control import Control
from mfpde.runs.options import Options
from mfpde.runs.step import Scheme, Solving, Step

Array = NDArray[Any]


class Flow(ABC):
    """A gradient flow of the energy, whatever the measure is made of: what the driver needs.

    A step after which the energy is larger is refused, unless the flow says that it ``may_rise``.
    ``vanishing_decay`` = c adds c e^{−s} ∫∫ |θ|² dρ to the energy (Ding et al. 2021).
    """

    schemes: ClassVar[Mapping[str, Scheme]]  # that a run of this flow may name

    def __init__(
        self,
        problem: Problem,
        rho: Measure,
        clock: Clock | None = None,
        *,
        vanishing_decay: float = 0.0,
    ) -> None:
        self.problem, self.rho = problem, rho
        self.clock = clock or Clock()
        self.vanishing_decay = vanishing_decay
        self.solving = Solving()  # what the linear solves of the last step have shown
        self.operator = operator_of(problem, rho)

    @property
    def rows(self) -> int:
        """N·k, the size of the tangent kernel."""
        return self.problem.size * self.problem.outputs

    @property
    def start_state(self) -> Array:
        """The state of ρ_0."""
        return self.rho.state

    @property
    def fastest(self) -> float:
        """The largest of the problem's rates."""
        return 1.0 if self.problem.rates is None else float(self.problem.rates.max())

    def confinement(self, s: float) -> Penalty:
        """r(θ) at time s, the vanishing part included."""
        return self.problem.penalty.vanishing(self.vanishing_decay, s)

    def penalty(self, s: float) -> Any:
        """The confinement at time s, as it is read at states."""
        return self.confinement(s)

    @abstractmethod
    def at(self, state: Array, s: float = 0.0) -> Any:
        """The point at a state and a time."""

    @abstractmethod
    def norm(self, change: Any) -> float:
        """Size of the error of a step, in the metric of the flow."""

    def error(self, step: Step) -> float:
        """The size of a step's own estimate of its error."""
        return self.norm(step.error)

    @abstractmethod
    def size(self, point: Any) -> float:
        """What relative errors are relative to."""

    @abstractmethod
    def curvature(self, point: Any) -> float:
        """A bound of √η D²r √η at the point."""

    @abstractmethod
    def scheme(self, options: Options) -> Scheme:
        """The scheme of a run with these options."""

    @abstractmethod
    def start(self, point: Any, options: Options) -> tuple[Options, Control, str]:
        """Options with "auto" resolved, the first step, and a note on what was chosen."""

    def observe(self, before: Any, after: Any) -> None:  # noqa: B027  most have nothing to note
        """Note in the clock what an accepted step did, and how well it kept what is guaranteed."""

    def may_rise(self, before: Any, after: Any) -> bool:
        """Whether the energy may be larger after a step between these two points."""
        return False

    # -- for flows whose state is dealt to several processes --------------------------------------

    first: bool = True  # whether this process writes the files and shows the progress

    def part(self, state: Array) -> Array:
        """What this process moves of a whole state."""
        return state

    def whole(self, part: Array) -> Array:
        """The state of which every process has a part, on all of them."""
        return part

    def agreed(self, wish: bool) -> bool:
        """Whether any process wishes it; the same answer for all."""
        return wish

    def together(self) -> AbstractContextManager[None]:
        """Within this context an error in one process ends them all."""
        return nullcontext()

    # -- timed passes -----------------------------------------------------------------------------

    def carry(self, state: Array) -> Any:
        """The data through the measure with this state."""
        with self.clock.part("kernels"):
            return self.operator.carry(state)

    def pull_outputs(self, point: Any, v: Array) -> Array:
        """The first variation of ⟨v, outputs⟩ for v (N, k)."""
        self.clock.counts["gradients"] += 1
        with self.clock.part("kernels"):
            found: Array = point.carried.pull(v)
            return found

    def push(self, point: Any, change: Array) -> Array:
        """Change of the outputs, (N, k), to first order in a change of the state."""
        self.clock.counts["tangents"] += 1
        with self.clock.part("kernels"):
            found: Array = point.carried.push(change)
            return found

    def kernel_product(self, point: Any, v: Array) -> Array:
        """K v for v (N, k), K the tangent kernel of the outputs."""
        return self.push(point, point.carried.velocity(self.pull_outputs(point, v)))

    def carried_product(self, carried: Carried, v: Array) -> Array:
        """The same for data as they are carried, as conjugate gradients count it."""
        self.clock.counts.update(("products", "gradients", "tangents"))
        with self.clock.part("kernels"):
            return carried.kernel_product(v)

    def kronecker(self, point: Any, carried: Carried) -> tuple[Array, Array]:
        """A (N, N) and B (k, k) with S K S ≈ A ⊗ B, from data as they are carried."""
        self.clock.counts["preconditioners"] += 1
        with self.clock.part("kernels"):
            return factors(carried, point.root)


class Point(ABC):
    """The flow at one state and s: the data are carried through depth, the rest is done on demand.

    ``state`` may differ from the state asked for where the measure does not allow that one.
    """

    flow: Any

    def __init__(self, flow: Flow, state: Array, s: float) -> None:
        self.flow, self.s = flow, s
        self.carried: Carried = flow.carry(state)
        self.state: Array = self.carried.state

    @property
    @abstractmethod
    def norm2(self) -> float:
        """|grad E|² in the metric of the flow."""

    @property
    def loss(self) -> float:
        """E without entropy, the problem's penalty included; NaN or inf where the state is."""
        return self.carried.loss

    @cached_property
    def confined_energy(self) -> float:
        """E with the vanishing decay, without entropy."""
        penalty = self.flow.confinement(self.s)
        if not penalty:
            return self.carried.fit
        with np.errstate(all="ignore"):
            return self.carried.fit + self.carried.penalty_mean(penalty)

    @property
    def energy(self) -> float:
        """What the flow descends at this time."""
        return self.confined_energy

    @property
    def outputs(self) -> Array:
        """B X_i(1), (N, k)."""
        return self.carried.outputs

    @property
    def slope(self) -> Array:
        """∂ℓ/∂z at the outputs, (N, k)."""
        return self.carried.slope

    @property
    def hessian(self) -> Array | None:
        """∂²ℓ/∂z² ≥ 0 at the outputs, (N, k, k), or None for the identity: its convex part.

        Implicit steps keep their order with any part of it: what is concave is explicit.
        """
        return None if self._curvature is None else self._curvature[0]

    @property
    def root(self) -> Array | None:
        """S_i, symmetric, with S_iS_i = H_i."""
        return None if self._curvature is None else self._curvature[1]

    @cached_property
    def _curvature(self) -> tuple[Array, Array] | None:
        whole = self.carried.hessian
        if whole is None:
            return None
        found = losses.convex_part(whole)
        if found[0] is not whole:
            self.flow.clock.counts["concave"] += 1
        return found

    @cached_property
    def variation(self) -> Array:
        """The first variation of the data's term; the outputs' part of a gradient."""
        self.flow.clock.counts["gradients"] += 1
        with self.flow.clock.part("kernels"):
            return self.carried.variation

    @cached_property
    def kernel(self) -> Array:
        """The tangent kernel K = J J* of the outputs, (N·k, N·k)."""
        self.flow.clock.counts["kernels"] += 1
        with self.flow.clock.part("kernels"):
            return self.carried.kernel

    @property
    def finite(self) -> bool:
        """Whether the run can go on from here."""
        return bool(np.isfinite(self.loss))


class DescentPoint(Point):
    """What schemes for particles and blocks read besides."""

    @property
    @abstractmethod
    def gradient(self) -> Array:
        """Minus the velocity of the state."""


class CellsPoint(Point):
    """What schemes for masses on a grid read besides."""

    @property
    @abstractmethod
    def potential(self) -> Any:
        """V at the centres, the entropy's part left out."""

    @property
    @abstractmethod
    def survey(self) -> Any:
        """Dissipation, masses and speeds: what a step is judged by."""

    @property
    @abstractmethod
    def confined(self) -> Array:
        """d(coefficients)/ds by the penalty alone."""


class Cells(Flow):
    """What schemes for masses on a grid need of a flow besides."""

    @abstractmethod
    def potential(self, g: Array, penalty: Penalty) -> Any:
        """V at the centres, from what a pull returns."""

    @abstractmethod
    def stage(
        self, limiter: str, v: Any, start: Array, here: Array, h: float, share: float
    ) -> Array:
        """start + share·(here − start + h dm/ds(here)) down the potential v."""

    @abstractmethod
    def moved(
        self, limiter: str, start: Any, here: Any, h: float, share: float, ahead: float
    ) -> Any:
        """The point of a stage down the potential of ``here``."""

    @abstractmethod
    def heated(self, masses: Array, time: float) -> Array:
        """Masses after some time of the entropy's flow alone."""

    @abstractmethod
    def relaxed(self, point: Any, h: float) -> Array:
        """Masses after an implicit step of drift and diffusion along each axis in turn."""

    @abstractmethod
    def substeps(self, v: Any, h: float) -> float:
        """How many explicit steps transport down a frozen potential takes over h."""

    @abstractmethod
    def speed(self, point: Any, g: Array) -> float:
        """√∫∫ |∇φ|² dρ for a potential from a pull."""

    @abstractmethod
    def rose(self, before: Any, after: Any) -> bool:
        """Whether the energy without entropy is larger after a transport."""

    @abstractmethod
    def root_mean(self, values: Array) -> float:
        """The root of the mean square over depth of values by cell."""
