"""What a residual block is: three derivatives that a user writes, eight sums that follow."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import groupby
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mfpde.blocks.inheritance import Honest
from mfpde.depth import Depth

Array = NDArray[Any]
TorchField = Callable[[Any, Any], Any]

# How far x or θ moves in the differences of a block that has no second derivatives of its own.
DIFFERENCE = 1e-3

LARGEST_DIM = 2**20  # d of a block: each coordinate of θ has a name


class Block(Honest, ABC):
    """A residual block f: R^d × R^p → R^d; subclass it for your own.

    Write ``value``, ``pull_state`` and ``pull_parameter`` for x (N, d) and θ (M, p), set ``dim``
    (d) and ``coordinates`` (p names), and hand the block to ``check_block``. Everything below
    these three is a sum over particles with weights a (M,) or over data, which the base class
    forms from them; ``SHL`` and ``Linear`` override the sums by faster kernels. A subclass of
    such a block that changes anything of its formula gets the base class's sums again, save those
    that it writes itself (see ``mfpde.blocks.inheritance``).

        class Cubic(mfpde.Block):                       # f(x, (u, w)) = u (w x)³ on R
            dim, coordinates = 1, ("u", "w")
            def value(self, x, theta):
                u, w = theta.T
                return (u * (x * w) ** 3)[:, :, None]
            def pull_state(self, x, theta, q):
                u, w = theta.T
                return (q * 3 * u * w * (x * w) ** 2)[:, :, None]
            def pull_parameter(self, x, theta, q):
                u, w = theta.T
                return np.stack([q * (x * w) ** 3, q * 3 * u * x * (x * w) ** 2], axis=-1)
    """

    dim: int
    coordinates: tuple[str, ...]

    @property
    def size(self) -> int:
        """p, the number of parameters of one block."""
        return len(self.coordinates)

    @property
    def groups(self) -> tuple[list[str], list[int]]:
        """Names and sizes of runs of coordinates that differ by numbers: u, w, b of ``SHL``."""
        found = groupby(re.sub(r"[\d,_]+$", "", name) for name in self.coordinates)
        names, sizes = zip(*((name, len(list(run))) for name, run in found), strict=True)
        return list(names), list(sizes)

    @property
    def smooth(self) -> bool:
        """Whether f is known to have no kinks; a block of your own is taken to have none."""
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim})"

    def spec(self) -> dict[str, Any] | None:
        """What rebuilds the block: its registered kind, and what ``from_spec`` takes; or None."""
        return None

    @classmethod
    def from_spec(cls, **fields: Any) -> Self:
        """The block of a run file or case file, from what ``spec`` returned beside its kind."""
        return cls(**fields)

    # -- what a user writes -----------------------------------------------------------------

    @abstractmethod
    def value(self, x: Array, theta: Array) -> Array:
        """f(x_i, θ_j), shape (N, M, d)."""

    @abstractmethod
    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        """D_x f(x_i, θ_j)ᵀ q_i for q (N, d), shape (N, M, d)."""

    @abstractmethod
    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        """D_θ f(x_i, θ_j)ᵀ q_i for q (N, d), shape (N, M, p)."""

    # -- what follows -----------------------------------------------------------------------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        """F(x_i) = Σ_j a_j f(x_i, θ_j), shape (N, d)."""
        return np.einsum("nmd,m->nd", self.value(x, theta), a)

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        """D_xF(x_i)ᵀ q_i, shape (N, d), and Σ_i D_θ f(x_i, θ_j)ᵀ q_i, shape (M, p)."""
        state = np.einsum("nmd,m->nd", self.pull_state(x, theta, q), a)
        return state, self.pull_parameter(x, theta, q).sum(axis=0)

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        """Σ_i ⟨q_i, f(x_i, θ_j)⟩, shape (M,)."""
        return np.einsum("nmd,nd->m", self.value(x, theta), q)

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        """Σ_i D_θ f(x_i, θ_j)ᵀ q_i, shape (M, p)."""
        return self.pull_parameter(x, theta, q).sum(axis=0)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        """D_xF(x_i) dx_i + Σ_j a_j D_θ f(x_i, θ_j) dθ_j, shape (N, d)."""
        out = np.empty_like(x)
        for c in range(x.shape[1]):
            q = np.zeros_like(x)
            q[:, c] = 1.0
            state = np.einsum("nmd,m->nd", self.pull_state(x, theta, q), a)
            parameter = np.einsum("nmp,m,mp->n", self.pull_parameter(x, theta, q), a, dtheta)
            out[:, c] = (state * dx).sum(axis=1) + parameter
        return out

    # -- second order: C directions (dx, dθ, dq, da) at once, each array with C in front --------

    def tangents(
        self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array, da: Array | None
    ) -> Array:
        """``tangent`` along dx (C, N, d), dθ (C, M, p), plus Σ_j da_j f(x_i, θ_j); (C, N, d)."""
        out = np.stack(
            [self.tangent(x, theta, a, *one) for one in zip(dx, dtheta, strict=True)], axis=0
        )
        if da is not None:
            out += np.einsum("nmd,cm->cnd", self.value(x, theta), da)
        return out

    def backward_tangents(
        self,
        x: Array,
        theta: Array,
        a: Array,
        q: Array,
        dx: Array,
        dtheta: Array,
        dq: Array,
        da: Array | None,
    ) -> tuple[Array, Array, Array]:
        """How ``backward`` moves, (C, N, d) and (C, M, p), and ``potential`` at fixed θ, (C, M).

        Along dx (C, N, d), dθ (C, M, p), dq (C, N, d), da (C, M) or none. Here by central
        differences of order 4 along the direction: the relative error is about 1e−11 for blocks
        that vary on the scale 1 in x and θ. ``SHL`` and ``Linear`` have exact forms.
        """
        found = [
            self._differences(
                x, theta, a, q, dx[c], dtheta[c], dq[c], None if da is None else da[c]
            )
            for c in range(len(dx))
        ]
        pulls, gradients, potentials = zip(*found, strict=True)
        return np.stack(pulls), np.stack(gradients), np.stack(potentials)

    def _differences(
        self,
        x: Array,
        theta: Array,
        a: Array,
        q: Array,
        dx: Array,
        dtheta: Array,
        dq: Array,
        da: Array | None,
    ) -> tuple[Array, Array, Array]:
        size = max(float(np.abs(dx).max()), float(np.abs(dtheta).max()))
        h = DIFFERENCE / size if size > 0.0 else 1.0
        pull, gradient = np.zeros_like(x), np.zeros_like(theta)
        potential = np.zeros(len(theta), theta.dtype)
        for factor in (-2.0, -1.0, 1.0, 2.0):
            e = factor * h
            weight = (8.0 if abs(factor) == 1.0 else -1.0) * np.sign(factor) / (12.0 * h)
            mass = a if da is None else a + e * da
            state, change = self.backward(x + e * dx, theta + e * dtheta, mass, q + e * dq)
            pull += weight * state
            gradient += weight * change
            potential += weight * self.potential(x + e * dx, theta, q + e * dq)
        return pull, gradient, potential

    def sensitivity(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Any]:
        """For many cotangents q (N, C, d): D_xFᵀq (N, C, d), and a factor that ``gram`` reads."""
        states, rows = [], []
        for c in range(q.shape[1]):
            states.append(np.einsum("nmd,m->nd", self.pull_state(x, theta, q[:, c]), a))
            rows.append(self.pull_parameter(x, theta, q[:, c]))
        factor = np.stack(rows, axis=1)
        return np.stack(states, axis=1), factor.reshape(x.shape[0] * q.shape[1], -1)

    def gram(self, factors: list[Any], a: Array, scale: float, out: Array) -> None:
        """out += scale Σ_j a_j J_j J_jᵀ on the lower triangle, J the sum of the factors' rows.

        Row i·C + c of J_j (N·C, p) is D_θ f(x_i, θ_j)ᵀ q_ic summed over the evaluations at one
        depth node; ``out`` is (N·C, N·C).
        """
        rows = sum(factors[1:], start=factors[0]) * np.sqrt(np.repeat(a, self.size))
        out += scale * (rows @ rows.T)

    def scaled(self, factor: Any, root: Array) -> Any:
        """A factor of ``sensitivity`` with D_θ f·diag(``root``), (p,), in place of D_θ f.

        Raises TypeError for a factor of the block's own kind, which needs its own ``scaled``.
        """
        if not isinstance(factor, np.ndarray) or factor.shape[-1] % self.size:
            raise TypeError(
                f"block {self!r} has a factor of its own kind in ``sensitivity``: for rates it "
                "needs its own ``scaled`` as well (mfpde.Block)"
            )
        out: Array = factor.reshape(len(factor), -1, self.size) * root.astype(factor.dtype)
        return out.reshape(factor.shape)

    def merged(self, factors: list[Any]) -> list[Any]:
        """Fewer factors with about the same ``gram``: the evaluations at one node are alike."""
        return factors

    # -- passes through single blocks, one after another: states (n + 1, d, N) ----------------

    def chain_forward(self, theta: Array, steps: Array, start: Array) -> Array:
        """X^{l+1} = X^l + h_l f(X^l, θ_l) for θ (n, p), h (n,) and X^0 = start (d, N)."""
        path = np.empty((len(theta) + 1, *start.shape))
        path[0] = start
        for k, h in enumerate(steps):
            path[k + 1] = path[k] + h * self.field(path[k].T, theta[k : k + 1], np.ones(1)).T
        return path

    def chain_adjoint(
        self, theta: Array, steps: Array, path: Array, terminal: Array
    ) -> tuple[Array, Array, Array]:
        """P^l = P^{l+1} + h_l D_xfᵀP^{l+1} from ``terminal`` (d, N), like the states.

        And, without the factor h_l, Σ_i D_θ fᵀP^{l+1} (n, p) and ⟨P^{l+1}, f⟩ (n, N).
        """
        back = np.empty_like(path)
        gradient, value = np.empty_like(theta), np.empty((len(theta), path.shape[2]))
        back[-1] = terminal
        for k in reversed(range(len(theta))):
            x, q, one = path[k].T, back[k + 1].T, theta[k : k + 1]
            pull, change = self.backward(x, one, np.ones(1), q)
            gradient[k] = change[0]
            value[k] = (self.value(x, one)[:, 0] * q).sum(axis=1)
            back[k] = back[k + 1] + steps[k] * pull.T
        return back, gradient, value

    def chain_rows(self, theta: Array, path: Array, back: Array) -> Array:
        """D_θ f(X^l_i, θ_l)ᵀP^{l+1}_i for every datum, (n, p, N)."""
        rows = [
            self.pull_parameter(path[k].T, theta[k : k + 1], back[k + 1].T)[:, 0].T
            for k in range(len(theta))
        ]
        return np.stack(rows)

    def kept_bytes(self, depth: Depth, theta: Array, data: int) -> int:
        """Bytes that ``forward_pass`` keeps for later passes with so many data."""
        return 0

    # -- whole passes, for blocks that have them compiled -------------------------------------

    def forward_pass(
        self, depth: Depth, theta: Array, weights: Array, start: Array, keep: bool
    ) -> tuple[Array, Array, Any] | None:
        """Stages, path, and what to keep for ``adjoint_pass``; None: let the package loop."""
        return None

    def adjoint_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, terminal: Array, kept: Any
    ) -> tuple[Array, Array, Array] | None:
        """Cotangents, adjoint path and gradient; None: let the package loop."""
        return None

    def tangent_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, change: Array, kept: Any
    ) -> Array | None:
        """The change of X(1) to first order in one of θ; None: let the package loop."""
        return None

    def forward_tangents_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, kept: Any,
        change: Array, mass: Array, start: Array,
    ) -> tuple[Array, Array] | None:  # fmt: skip
        """What ``passes.second_order.forward_tangents`` gives; None: let the package loop."""
        return None

    def adjoint_tangents_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, cotangents: Array,
        kept: Any, moved: Array, change: Array, mass: Array, terminal: Array,
    ) -> tuple[Array, Array, Array] | None:  # fmt: skip
        """What ``passes.second_order.adjoint_tangents`` gives; None: let the package loop."""
        return None

    def torch_form(self) -> Callable[[Any], TorchField] | None:
        """The block for torch's engines: torch ↦ ((x, θ) ↦ (1/M) Σ_j f(x_i, θ_j)); None: unknown.

        x is (S, N, d), θ (S, M, p), the result (S, N, d), for S networks at once.
        """
        return None
