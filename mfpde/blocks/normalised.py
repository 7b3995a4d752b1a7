"""A layer norm on every token before a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks.base import Block, TorchField
from mfpde.blocks.registry import from_spec, spec_of

Array = NDArray[Any]


class Normalised(Block):
    """A block on normalised tokens: f((x_1, …, x_T), θ) = g((n(x_1), …, n(x_T)), θ),

        n(x) = (x − m)/√(v + ε),   m and v the mean and variance of the coordinates of x,

    the layer norm of transformers that normalise before attention and MLP; a learned gain would be
    part of their matrices. ``Normalised(T, Attention(T, d))``, ``Normalised(T, TokenMLP(T, …))``
    and, with one token, any block on R^d. Sums of g stay as fast as they are.

    Raises ValueError for tokens that do not divide the block's dim or have one coordinate, or
    ``epsilon`` not above 0, TypeError for a block that is none. Source: Ba, Kiros, Hinton 2016
    (arXiv 1607.06450); before the block: Xiong et al. 2020 (arXiv 2002.04745).
    """

    @checks.typed
    def __init__(self, tokens: int, block: Block, epsilon: float = 1e-5) -> None:
        self.tokens = checks.count("Normalised tokens", tokens)
        self.block = checks.instance("block", block, Block)
        self.epsilon = checks.positive("epsilon", epsilon)
        self.dim, self.coordinates = block.dim, block.coordinates
        if block.dim % tokens or block.dim == tokens:
            raise ValueError(
                f"tokens must divide the block's dim {block.dim} into parts of two or more "
                f"coordinates; given {tokens}"
            )

    def __repr__(self) -> str:
        return f"Normalised(tokens={self.tokens}, block={self.block!r}, epsilon={self.epsilon:g})"

    def spec(self) -> dict[str, Any] | None:
        inner = spec_of(self.block)
        fields = {"tokens": self.tokens, "block": inner, "epsilon": self.epsilon}
        return inner and {"kind": "normalised", **fields}

    @classmethod
    def from_spec(cls, **fields: Any) -> Self:
        return cls(**{**fields, "block": from_spec(fields["block"])})

    @property
    def smooth(self) -> bool:
        return self.block.smooth

    def torch_form(self) -> Callable[[Any], TorchField] | None:
        inner, shape = self.block.torch_form(), (self.tokens, self.dim // self.tokens)
        if inner is None:
            return None

        def form(torch: Any) -> TorchField:
            field, norm = inner(torch), torch.nn.functional.layer_norm

            def after(x: Any, theta: Any) -> Any:
                rows = norm(x.unflatten(-1, shape), shape[1:], eps=self.epsilon)
                return field(rows.flatten(-2), theta)

            return after

        return form

    # -- one particle at a time -----------------------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        return self.block.value(self._at(x).flat, theta)

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        at = self._at(x[:, None])
        return at.pull(self.block.pull_state(at.flat[:, 0], theta, q))

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.pull_parameter(self._at(x).flat, theta, q)

    # -- sums -------------------------------------------------------------------------------------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        return self.block.field(self._at(x).flat, theta, a)

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        at = self._at(x)
        state, change = self.block.backward(at.flat, theta, a, q)
        return at.pull(state), change

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.potential(self._at(x).flat, theta, q)

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        return self.block.gradient(self._at(x).flat, theta, q)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        at = self._at(x)
        return self.block.tangent(at.flat, theta, a, at.pull(dx), dtheta)

    def tangents(
        self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array, da: Array | None
    ) -> Array:
        at = self._at(x)
        return self.block.tangents(at.flat, theta, a, at.pull(dx), dtheta, da)

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
        at = self._at(x)
        state, _ = self.block.backward(at.flat, theta, a, q)
        pulls, changes, potentials = self.block.backward_tangents(
            at.flat, theta, a, q, at.pull(dx), dtheta, dq, da
        )
        return at.pull(pulls) + at.bent(state, dx), changes, potentials

    def sensitivity(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Any]:
        at = self._at(x[:, None])
        state, factor = self.block.sensitivity(at.flat[:, 0], theta, a, q)
        return at.pull(state), factor

    def gram(self, factors: list[Any], a: Array, scale: float, out: Array) -> None:
        self.block.gram(factors, a, scale, out)

    def scaled(self, factor: Any, root: Array) -> Any:
        return self.block.scaled(factor, root)

    def merged(self, factors: list[Any]) -> list[Any]:
        return self.block.merged(factors)

    def _at(self, x: Array) -> Norm:
        rows = x.reshape(*x.shape[:-1], self.tokens, -1)
        z = rows - rows.mean(axis=-1, keepdims=True)
        size = np.sqrt(_mean(z, z) + x.dtype.type(self.epsilon))
        return Norm(z / size, size)


class Norm(NamedTuple):
    """n(x) of tokens (..., T, d) and √(v + ε), (..., T, 1). Its Jacobian is symmetric."""

    z: Array
    size: Array

    @property
    def flat(self) -> Array:
        return self._flat(self.z)

    def pull(self, q: Array) -> Array:
        """n′(x)ᵀ q = n′(x) q = (q − mean q − z mean(z q))/√(v + ε), for q (..., T·d)."""
        rows = self._rows(q)
        return self._flat(self._pulled(rows))

    def bent(self, q: Array, dx: Array) -> Array:
        """How n′(x)ᵀ q moves along dx (C, N, T·d)."""
        rows, move = self._rows(q), self._rows(dx)
        dz, dsize = self._pulled(move), _mean(self.z, move)
        turned = _mean(rows, self.z) * dz + _mean(rows, dz) * self.z
        return self._flat(-(dsize * self._pulled(rows) + turned) / self.size)

    def _pulled(self, rows: Array) -> Array:
        found: Array = rows - rows.mean(axis=-1, keepdims=True) - self.z * _mean(self.z, rows)
        return found / self.size

    def _rows(self, x: Array) -> Array:
        return x.reshape(*x.shape[:-1], *self.z.shape[-2:])

    @staticmethod
    def _flat(rows: Array) -> Array:
        return np.ascontiguousarray(rows).reshape(*rows.shape[:-2], -1)


def _mean(one: Array, other: Array) -> Array:
    """Of the products of their coordinates, token by token."""
    products: Array = np.mean(one * other, axis=-1, keepdims=True)
    return products
