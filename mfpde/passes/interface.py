"""What a problem and a measure do to each other: the one statement of every operator.

An ``Operator`` is a problem on a measure of one kind, with everything but the measure's state
fixed; ``carry(state)`` takes the data through depth once. What the result, a ``Carried``, offers is
the same for every kind:

    outputs, hidden and adjoint states, V and its gradient at any θ, pull, push, metric, K.

In particular, with J the derivative of the outputs in ρ and the metric of the flow,

    pull(v) = the first variation of ⟨v, outputs⟩,      velocity(pull(v)) = J*v,
    push(velocity) = J velocity,                        K v = J J*v = push(velocity(pull(v))),

where particles represent a first variation by its gradient ∇φ at the particles (whose velocity is
η∘∇φ, η the rates of the problem), blocks placed in depth by that velocity itself, and grids by
its values (whose velocity is −∇·(ρ η∘∇·) of them).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.kernels import lending
from mfpde.kernels.pools import serial_blas
from mfpde.passes import room
from mfpde.passes.propagate import Layers
from mfpde.penalty import Penalty
from mfpde.problem import Problem

Array = NDArray[Any]

BLOCK = 1 << 26  # bytes of the states of one block of data: larger ones are not faster


class Trajectories(NamedTuple):
    """Depths t (T,) from 0 to 1, hidden states X_i(t) and adjoint states P_i(t), (T, N, d)."""

    t: Array
    hidden: Array
    adjoint: Array


class Operator(ABC):
    """A problem on a measure of one kind, everything but the measure's state being fixed.

    Raises ValueError unless the measure holds parameters of the problem's block.
    """

    def __init__(self, problem: Problem, rho: Any) -> None:
        if rho.dim != problem.block.size:
            raise ValueError(
                f"rho must hold parameters of {problem.block!r}, p = {problem.block.size}; "
                f"given p = {rho.dim}"
            )
        self.problem, self.rho = problem, rho
        self.start = problem.start()
        self.rates: Array | None = problem.rates
        self.block_bytes: float = BLOCK
        self.memory = checks.memory_for("memory", problem.memory)
        lending.keep_within(self.memory)

    def at_once(self, layers: Layers, start: Array | None) -> bool:
        """Whether all data are carried at once, and not in blocks."""
        data, dim = (self.start if start is None else start).shape
        return room.fits(self.memory, layers, data, dim)

    @property
    def levels(self) -> int:
        """How many depths V is taken at."""
        return int(self.rho.levels)

    @property
    def single(self) -> Operator | None:
        """The same in single precision, where that takes half the time."""
        return None

    def lifted(self, slope: Array) -> Array:
        """A gradient by coordinates of the state as one in the metric of the flow: η∘∇r."""
        return slope if self.rates is None else self.rates * slope

    @abstractmethod
    def carry(self, state: Array, start: Array | None = None, *, keep: bool = True) -> Carried:
        """The data, or hidden states ``start`` (N, d), through the measure with this state.

        Comparisons with the targets are only there for the problem's own data. ``keep`` = False
        says that nothing but the outputs will be asked for, so that blocks need keep nothing.
        """


class Carried(ABC):
    """Data at the end of depth, and what can be asked from there; costly things are done once."""

    operator: Operator
    state: Array
    mixes: ClassVar[bool] = False  # whether ``mixed_kernel`` is cheaper than ``kernel``
    forms: ClassVar[bool] = True  # whether ``kernel`` is cheaper than its columns one by one

    @property
    @abstractmethod
    def end(self) -> Array:
        """X_i(1), shape (N, d)."""

    # -- the data's term --------------------------------------------------------------------------

    @cached_property
    def outputs(self) -> Array:
        """B X_i(1), (N, k), float64."""
        with serial_blas():
            return self.end @ self.operator.problem.readout.T

    @cached_property
    def fit(self) -> float:
        """(1/N) Σ_i w_i ℓ(B X_i(1), y_i); NaN or inf where the state is."""
        with np.errstate(all="ignore"):
            return float(self.operator.problem.fit(self.outputs))

    @cached_property
    def loss(self) -> float:
        """E: the data's term and ∫∫ r dρ, without the entropy."""
        penalty = self.operator.problem.penalty
        if not penalty:
            return self.fit
        with np.errstate(all="ignore"):
            return self.fit + self.penalty_mean(penalty)

    @cached_property
    def slope(self) -> Array:
        """w_i ∂ℓ/∂z at the outputs, (N, k)."""
        return self.operator.problem.loss_gradient(self.outputs)

    @cached_property
    def hessian(self) -> Array | None:
        """w_i ∂²ℓ/∂z² at the outputs, (N, k, k), or None for the identity."""
        return self.operator.problem.loss_hessian(self.outputs)

    @cached_property
    def variation(self) -> Array:
        """The first variation of the data's term, as ``pull`` represents one."""
        return self.pull(self.slope / self.operator.problem.size)

    # -- what each kind of measure answers --------------------------------------------------------

    @abstractmethod
    def trajectories(self) -> Trajectories:
        """X_i(t) and P_i(t) along depth."""

    @abstractmethod
    def potential(self) -> Array:
        """V of the data's term where the mass lies, in the shape of the masses."""

    @abstractmethod
    def potential_at(self, node: int, theta: Array) -> Array:
        """V(t_k, θ) of the data's term at points (n, p), shape (n,)."""

    def potentials(self, points: Array) -> Array:
        """``potential_at`` every depth, for points (K, n, p), shape (K, n)."""
        return np.stack([self.potential_at(k, theta) for k, theta in enumerate(points)])

    @abstractmethod
    def potential_slope(self, node: int, theta: Array) -> Array:
        """∇_θ V(t_k, θ) of the data's term at points (n, p), shape (n, p)."""

    @abstractmethod
    def atoms(self, node: int) -> tuple[Array, Array]:
        """Where the mass of a depth node lies, (n, p), and how much of its own, (n,), sum 1."""

    @abstractmethod
    def penalty_mean(self, penalty: Penalty) -> float:
        """∫∫ r dρ."""

    @abstractmethod
    def pull(self, v: Array) -> Array:
        """The first variation of ⟨v, outputs⟩ for v (N, k)."""

    @abstractmethod
    def velocity(self, pulled: Array) -> Array:
        """The change of the state, per unit of time, along the gradient of a first variation."""

    @abstractmethod
    def push(self, velocity: Array) -> Array:
        """The change of the outputs, (N, k), to first order in a change of the state."""

    @abstractmethod
    def inner(self, left: Array, right: Array) -> float:
        """∫∫ ⟨∇φ, η∘∇ψ⟩ dρ of two first variations, reduced in fixed order."""

    @property
    @abstractmethod
    def kernel(self) -> Array:
        """The tangent kernel K = J J* of the outputs, (N·k, N·k), row i·k + c for output c of i."""

    def mixed_kernel(self, mixes: Array, root: Array | None = None) -> Array:
        """Σ_a m_aᵀ S K S m_a, (N, N), for mixtures m_a of the outputs, (q, k), and S_i (N, k, k).

        S is the identity where none is given. Measures that ``mix`` do this without K, for q/k of
        its work.
        """
        n, k = self.outputs.shape
        rows = np.broadcast_to(mixes, (n, *mixes.shape)) if root is None else mixes @ root
        blocks = self.kernel.reshape(n, k, n, k)
        return np.asarray(np.einsum("iac,icjd,jad->ij", rows, blocks, rows, optimize=True))

    def kernel_product(self, v: Array) -> Array:
        """K v for v (N, k), without K."""
        return self.push(self.velocity(self.pull(v)))
