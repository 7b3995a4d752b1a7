"""A block that acts on every token by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks.base import LARGEST_DIM, Block, TorchField
from mfpde.blocks.registry import from_spec, spec_of
from mfpde.depth import Depth

Array = NDArray[Any]


class TokenMLP(Block):
    """A block g on R^d at each of T tokens: f((x_1, …, x_T), θ)_t = g(x_t, θ), on R^{T·d}.

    ``TokenMLP(T, SHL(d))`` is the MLP of a transformer, one neuron a particle; any block serves.
    To g a datum is T data: its sums and whole passes do the work. It commutes with permutations
    of the tokens.

    Raises ValueError for no token or T·d above 2²⁰, TypeError for a block that is none.
    """

    @checks.typed
    def __init__(self, tokens: int, block: Block) -> None:
        self.tokens = checks.count("TokenMLP tokens", tokens, most=LARGEST_DIM)
        self.block = checks.instance("block", block, Block)
        self.dim = checks.count("tokens × block.dim", tokens * block.dim, most=LARGEST_DIM)
        self.coordinates = block.coordinates

    def __repr__(self) -> str:
        return f"TokenMLP(tokens={self.tokens}, block={self.block!r})"

    def spec(self) -> dict[str, Any] | None:
        inner = spec_of(self.block)
        return inner and {"kind": "token_mlp", "tokens": self.tokens, "block": inner}

    @property
    def smooth(self) -> bool:
        return self.block.smooth

    @classmethod
    def from_spec(cls, **fields: Any) -> Self:
        return cls(fields["tokens"], from_spec(fields["block"]))

    def torch_form(self) -> Callable[[Any], TorchField] | None:
        inner, tokens = self.block.torch_form(), self.tokens
        if inner is None:
            return None

        def form(torch: Any) -> TorchField:
            field = inner(torch)

            def each(x: Any, theta: Any) -> Any:
                rows = x.reshape(x.shape[0], x.shape[1] * tokens, -1)
                return field(rows, theta).reshape(x.shape)

            return each

        return form

    # -- one particle at a time -----------------------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        return self._together(self.block.value(self._rows(x), theta), len(x))

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        found = self.block.pull_state(self._rows(x), theta, self._rows(q))
        return self._together(found, len(x))

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        found = self.block.pull_parameter(self._rows(x), theta, self._rows(q))
        out: Array = found.reshape(len(x), self.tokens, *found.shape[1:]).sum(axis=1)
        return out

    # -- sums -------------------------------------------------------------------------------------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        return self.block.field(self._rows(x), theta, a).reshape(x.shape)

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        state, change = self.block.backward(self._rows(x), theta, a, self._rows(q))
        return state.reshape(x.shape), change

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.potential(self._rows(x), theta, self._rows(q))

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.gradient(self._rows(x), theta, self._rows(q))

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        found = self.block.tangent(self._rows(x), theta, a, self._rows(dx), dtheta)
        return found.reshape(x.shape)

    def tangents(
        self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array, da: Array | None
    ) -> Array:
        found = self.block.tangents(self._rows(x), theta, a, self._rows(dx), dtheta, da)
        return found.reshape(dx.shape)

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
        x, q, moved, along = (self._rows(one) for one in (x, q, dx, dq))
        found = self.block.backward_tangents(x, theta, a, q, moved, dtheta, along, da)
        return found[0].reshape(dq.shape), found[1], found[2]

    # -- whole passes -----------------------------------------------------------------------------

    def forward_pass(
        self, depth: Depth, theta: Array, weights: Array, start: Array, keep: bool
    ) -> tuple[Array, Array, Any] | None:
        found = self.block.forward_pass(depth, theta, weights, self._rows(start), keep)
        return found and (self._flat(found[0]), self._flat(found[1]), found[2])

    def adjoint_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, terminal: Array, kept: Any
    ) -> tuple[Array, Array, Array] | None:
        rows = self._rows(stages), self._rows(terminal)
        found = self.block.adjoint_pass(depth, theta, weights, *rows, kept)
        return found and (self._flat(found[0]), self._flat(found[1]), found[2])

    def tangent_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, change: Array, kept: Any
    ) -> Array | None:
        found = self.block.tangent_pass(depth, theta, weights, self._rows(stages), change, kept)
        return None if found is None else self._flat(found)

    # -- tokens as data -----------------------------------------------------------------------

    def _rows(self, x: Array) -> Array:
        """(..., N, T·d) as (..., N·T, d)."""
        rows = np.ascontiguousarray(x)
        return rows.reshape(*x.shape[:-2], x.shape[-2] * self.tokens, self.block.dim)

    def _flat(self, rows: Array) -> Array:
        """The way back."""
        return rows.reshape(*rows.shape[:-2], rows.shape[-2] // self.tokens, self.dim)

    def _together(self, found: Array, count: int) -> Array:
        """(N·T, M, d) as (N, M, T·d)."""
        parts = found.reshape(count, self.tokens, -1, self.block.dim)
        return parts.transpose(0, 2, 1, 3).reshape(count, -1, self.dim)
