"""Attention of two parameters a head: a value and a temperature, on the sphere or in R^d."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks.base import LARGEST_DIM, Block, TorchField

Array = NDArray[Any]

CHUNK = 1 << 22  # numbers of one array of attention weights formed at once


class ScalarAttention(Block):
    """Self-attention on X = (x_1, …, x_T) ∈ R^{T·d} whose matrices are scalars, θ = (v, β):

        f(X, θ)_t = v P_t Σ_s α_ts x_s,   α_ts = softmax over s of β ⟨x_t, x_s⟩,

    with P_t = I − x_t x_tᵀ where ``sphere``, which keeps tokens of length 1 on the unit sphere (the
    continuous form of a normalisation after every layer), and P_t = I where not. Tokens come one
    after another, ``dim`` of the block is T·d. It commutes with permutations of the tokens and
    with rotations of R^d. A law that is a point, (τ, β) at every depth, is attention with fixed
    weights for the time τ.

    Raises ValueError for a count below one or T·d above 2²⁰, TypeError for a ``sphere`` that is
    not a bool. Source: Geshkovski, Letrouit, Polyanskiy, Rigollet 2023 (arXiv 2312.10794), (SA).
    """

    coordinates = ("v", "beta")

    @checks.typed
    def __init__(self, tokens: int, dim: int, *, sphere: bool = True) -> None:
        self.tokens = checks.count("ScalarAttention tokens", tokens, most=LARGEST_DIM)
        self.width = checks.count("ScalarAttention dim", dim, most=LARGEST_DIM // self.tokens)
        self.sphere = checks.flag("sphere", sphere)
        self.dim = self.tokens * self.width

    def __repr__(self) -> str:
        free = "" if self.sphere else ", sphere=False"
        return f"ScalarAttention(tokens={self.tokens}, dim={self.width}{free})"

    def spec(self) -> dict[str, Any]:
        fields = {"tokens": self.tokens, "dim": self.width, "sphere": self.sphere}
        return {"kind": "scalar_attention", **fields}

    def torch_form(self) -> Callable[[Any], TorchField]:
        tokens, width, sphere = self.tokens, self.width, self.sphere

        def form(torch: Any) -> TorchField:
            def field(x: Any, theta: Any) -> Any:
                z = x.unflatten(-1, (tokens, width))  # (S, N, T, d)
                v, beta = (one[:, None, :, None, None] for one in theta.unbind(-1))
                alpha = torch.softmax(beta * (z @ z.mT)[:, :, None], -1)
                out = (v * (alpha @ z[:, :, None])).mean(2)
                if sphere:
                    out = out - z * (z * out).sum(-1, keepdim=True)
                return out.flatten(-2)

            return field

        return form

    # -- one particle at a time -----------------------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        z = self._tokens(x)
        means = self._attention(z, theta[:, 1]) @ z[:, None]
        return self._flat(theta[:, 0, None, None] * self._across(z[:, None], means))

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        z, p = self._tokens(x)[:, None], self._tokens(q)[:, None]
        alpha, means, g, scores = self._pull(z, p, theta)
        out = np.swapaxes(alpha, -1, -2) @ g
        out += theta[:, 1, None, None] * ((scores + np.swapaxes(scores, -1, -2)) @ z)
        if self.sphere:
            v = theta[:, 0, None, None]
            out -= v * (_dot(z, means) * p + _dot(p, z) * means)
        return self._flat(out)

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        z, p = self._tokens(x)[:, None], self._tokens(q)[:, None]
        _, means, _, scores = self._pull(z, p, theta)
        along = np.sum(self._across(z, p) * means, axis=(-1, -2))
        heat = np.sum((z @ np.swapaxes(z, -1, -2)) * scores, axis=(-1, -2))
        return np.stack([along, heat], axis=-1)

    # -- sums, over few particles at a time -------------------------------------------------------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        out = np.zeros_like(x)
        for own in self._chunks(x, theta):
            out += np.einsum("nmd,m->nd", self.value(x, theta[own]), a[own])
        return out

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        state, change = np.zeros_like(x), np.empty_like(theta)
        for own in self._chunks(x, theta):
            state += np.einsum("nmd,m->nd", self.pull_state(x, theta[own], q), a[own])
            change[own] = self.pull_parameter(x, theta[own], q).sum(axis=0)
        return state, change

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        out = np.empty(len(theta), theta.dtype)
        for own in self._chunks(x, theta):
            out[own] = np.einsum("nmd,nd->m", self.value(x, theta[own]), q)
        return out

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        out = np.empty_like(theta)
        for own in self._chunks(x, theta):
            out[own] = self.pull_parameter(x, theta[own], q).sum(axis=0)
        return out

    # -- parts ------------------------------------------------------------------------------------

    def _tokens(self, x: Array) -> Array:
        return x.reshape(len(x), self.tokens, self.width)

    def _flat(self, rows: Array) -> Array:
        return rows.reshape(*rows.shape[:-2], self.dim)

    def _chunks(self, x: Array, theta: Array) -> list[slice]:
        step = max(CHUNK // max(len(x) * self.tokens * max(self.tokens, self.width), 1), 1)
        return [slice(k, k + step) for k in range(0, len(theta), step)]

    def _attention(self, z: Array, beta: Array) -> Array:
        """α (N, M, T, T) for tokens (N, T, d)."""
        scores = beta[:, None, None] * (z @ np.swapaxes(z, -1, -2))[:, None]
        scores -= scores.max(axis=-1, keepdims=True)
        alpha = np.exp(scores)
        alpha /= alpha.sum(axis=-1, keepdims=True)
        return alpha

    def _across(self, z: Array, rows: Array) -> Array:
        """P_t applied to rows (..., T, d)."""
        return rows - z * _dot(z, rows) if self.sphere else rows

    def _pull(self, z: Array, q: Array, theta: Array) -> tuple[Array, Array, Array, Array]:
        """α, the means Σ α x, their cotangents, and those of the scores β ⟨x_t, x_s⟩."""
        alpha = self._attention(z[:, 0], theta[:, 1])
        means = alpha @ z
        g = theta[:, 0, None, None] * self._across(z, q)
        scores = alpha * (g @ np.swapaxes(z, -1, -2) - _dot(g, means))
        return alpha, means, g, scores


def _dot(one: Array, other: Array) -> Array:
    """Token by token, (..., T, 1)."""
    products: Array = np.sum(one * other, axis=-1, keepdims=True)
    return products
