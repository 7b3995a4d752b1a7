"""Self-attention on T tokens, one head a particle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks.base import LARGEST_DIM, Block, TorchField
from mfpde.kernels import attention

Array = NDArray[Any]


class Attention(Block):
    """One head of self-attention on X = (x_1, …, x_T) ∈ R^{T·d}, θ = (Q, K, V, O), each (r, d):

        f(X, θ)_t = Oᵀ Σ_s α_ts V x_s,   α_ts = softmax over s of ⟨Q x_t, K x_s⟩/√r,

    with s ≤ t where ``causal``. States are the tokens one after another (R^{T·d}, so ``dim`` of the
    block is T·d), parameters Q, K, V, O row by row, p = 4rd. A measure with M particles is a
    layer of M heads, (1/M) Σ_j: multi-head attention whose output matrix has the scale 1/M.
    Without ``causal`` the block commutes with every permutation of the tokens.

    Raises ValueError for a count below one or T·d above 2²⁰, TypeError for a ``causal`` that is
    not a bool. Source: Vaswani et al. 2017 (arXiv 1706.03762), §3.2, heads summed.
    """

    @checks.typed
    def __init__(self, tokens: int, dim: int, rank: int = 1, *, causal: bool = False) -> None:
        self.tokens = checks.count("Attention tokens", tokens, most=LARGEST_DIM)
        self.width = checks.count("Attention dim", dim, most=LARGEST_DIM // self.tokens)
        self.rank = checks.count("Attention rank", rank, most=LARGEST_DIM // self.width)
        self.causal = checks.flag("causal", causal)
        self.dim = self.tokens * self.width
        rows, columns = range(self.rank), range(self.width)
        self.coordinates = tuple(f"{m}{k}_{i}" for m in "QKVO" for k in rows for i in columns)

    def __repr__(self) -> str:
        causal = ", causal=True" if self.causal else ""
        return f"Attention(tokens={self.tokens}, dim={self.width}, rank={self.rank}{causal})"

    def spec(self) -> dict[str, Any]:
        fields = {"tokens": self.tokens, "dim": self.width, "rank": self.rank}
        return {"kind": "attention", **fields, "causal": self.causal}

    def split(self, theta: Array) -> tuple[Array, ...]:
        """Views (Q, K, V, O) of θ (..., p), each (..., r, d)."""
        parts = theta.reshape(*theta.shape[:-1], 4, self.rank, self.width)
        return tuple(parts[..., k, :, :] for k in range(4))

    def torch_form(self) -> Callable[[Any], TorchField]:
        tokens, rank, width, causal = self.tokens, self.rank, self.width, self.causal

        def form(torch: Any) -> TorchField:
            def field(x: Any, theta: Any) -> Any:
                z = x.unflatten(-1, (tokens, width))  # (S, N, T, d)
                parts = theta.unflatten(-1, (4, rank, width)).unbind(2)  # (S, M, r, d)
                q, k, v = (torch.einsum("sntd,smrd->snmtr", z, one) for one in parts[:3])
                scores = q @ k.mT / rank**0.5
                if causal:
                    hidden = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
                    scores = scores.masked_fill(hidden, -torch.inf)
                heads = torch.softmax(scores, -1) @ v
                out = torch.einsum("snmtr,smrd->sntd", heads, parts[3]) / theta.shape[1]
                return out.flatten(-2)

            return field

        return form

    # -- one particle at a time -----------------------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        heads = attention.forward(*self._seen(x, theta), *self._how())
        return _each(heads, self.split(theta)[3])

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        _, *back = self._pull(x, theta, q)
        parts = zip(back, self.split(theta)[:3], strict=True)
        first, *rest = (_each(one, matrix) for one, matrix in parts)
        return sum(rest, start=first)

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        heads, *back = self._pull(x, theta, q)
        rows = [np.einsum("ntmr,ntd->nmrd", one, self._tokens(x)) for one in back]
        rows.append(np.einsum("ntmr,ntd->nmrd", heads, self._tokens(q)))
        return np.stack(rows, axis=2).reshape(len(x), len(theta), -1)

    # -- sums: matrix products around the core ----------------------------------------------------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        heads = attention.forward(*self._seen(x, theta), *self._how())
        return self._back(heads, _weighted(a, self.split(theta)[3]))

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        heads, *back = self._pull(x, theta, q)
        return self._state(back, theta, a), self._parameters(x, q, heads, back)

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        heads = attention.forward(*self._seen(x, theta), *self._how())
        return _paired(heads, self._along(q, self.split(theta)[3]))

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        heads, *back = self._pull(x, theta, q)
        return self._parameters(x, q, heads, back)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        return self.tangents(x, theta, a, dx[None], dtheta[None], None)[0]

    def tangents(
        self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array, da: Array | None
    ) -> Array:
        seen, o = self._seen(x, theta), self.split(theta)[3]
        heads, out = attention.forward(*seen, *self._how()), np.empty_like(dx)
        for c in range(len(dx)):
            dh = attention.push(*seen, *self._moved(x, theta, dx[c], dtheta[c]), *self._how())
            matrix = _weighted(a, self.split(dtheta[c])[3])
            if da is not None:
                matrix = matrix + _weighted(da[c], o)
            out[c] = self._back(dh, _weighted(a, o)) + self._back(heads, matrix)
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
        seen, parts = self._seen(x, theta), self.split(theta)
        g = self._along(q, parts[3])
        heads, *back = attention.pull(*seen, g, *self._how())
        pulls, gradients = np.empty_like(dq), np.empty((len(dx), *theta.shape), theta.dtype)
        potentials = np.empty((len(dx), len(theta)), theta.dtype)
        for c in range(len(dx)):
            change, along = self.split(dtheta[c]), self._along(dq[c], parts[3])
            dg = along + self._along(q, change[3])
            moved = self._moved(x, theta, dx[c], dtheta[c])
            dheads, *dback = attention.push_pull(*seen, g, *moved, dg, *self._how())
            pulls[c] = self._state(dback, theta, a) + self._state(back, dtheta[c], a)
            if da is not None:
                pulls[c] += self._state(back, theta, da[c])
            gradients[c] = self._parameters(x, q, dheads, dback)
            gradients[c] += self._parameters(dx[c], dq[c], heads, back)
            steady = zip(back, parts[:3], strict=True)
            potentials[c] = _paired(heads, along)
            potentials[c] += sum(_paired(one, self._along(dx[c], m)) for one, m in steady)
        return pulls, gradients, potentials

    # -- parts ------------------------------------------------------------------------------------

    def _how(self) -> tuple[float, bool]:
        return 1.0 / float(np.sqrt(self.rank)), self.causal

    def _tokens(self, x: Array) -> Array:
        return x.reshape(len(x), self.tokens, self.width)

    def _along(self, x: Array, matrix: Array) -> Array:
        """x_t times each head's (r, d) matrix: (N, T, M, r)."""
        rows = np.ascontiguousarray(x).reshape(-1, self.width)
        flat = rows @ np.ascontiguousarray(matrix).reshape(-1, self.width).T
        return flat.reshape(len(x), self.tokens, len(matrix), self.rank)

    def _back(self, heads: Array, matrix: Array) -> Array:
        """Σ_j of (N, T, M, r) times each head's (r, d) matrix: (N, T·d)."""
        flat = heads.reshape(-1, len(matrix) * self.rank)
        return (flat @ matrix.reshape(-1, self.width)).reshape(len(heads), self.dim)

    def _seen(self, x: Array, theta: Array) -> tuple[Array, ...]:
        """Q x_t, K x_t and V x_t of every datum, token and head."""
        return tuple(self._along(x, matrix) for matrix in self.split(theta)[:3])

    def _moved(self, x: Array, theta: Array, dx: Array, dtheta: Array) -> tuple[Array, ...]:
        pairs = zip(self._seen(dx, theta), self._seen(x, dtheta), strict=True)
        return tuple(one + other for one, other in pairs)

    def _pull(self, x: Array, theta: Array, q: Array) -> tuple[Array, ...]:
        g = self._along(q, self.split(theta)[3])
        found: tuple[Array, ...] = attention.pull(*self._seen(x, theta), g, *self._how())
        return found

    def _state(self, back: list[Array], theta: Array, a: Array) -> Array:
        parts = zip(back, self.split(theta)[:3], strict=True)
        first, *rest = (self._back(one, _weighted(a, matrix)) for one, matrix in parts)
        return sum(rest, start=first)

    def _parameters(self, x: Array, q: Array, heads: Array, back: list[Array]) -> Array:
        """The sums over data and tokens of (q̄ xᵀ, k̄ xᵀ, v̄ xᵀ, h qᵀ), (M, p)."""
        count = heads.shape[2]
        out = np.empty((count, 4, self.rank, self.width), heads.dtype)
        for k, one in enumerate([*back, heads]):
            rows = np.ascontiguousarray(x if k < 3 else q).reshape(-1, self.width)
            out[:, k] = (one.reshape(len(rows), -1).T @ rows).reshape(count, self.rank, -1)
        return out.reshape(count, -1)


def _each(heads: Array, matrix: Array) -> Array:
    """Every head's own part of ``_back``: (N, M, T·d)."""
    out = np.einsum("ntmr,mrd->nmtd", heads, matrix)
    return out.reshape(*out.shape[:2], -1)


def _weighted(a: Array, matrix: Array) -> Array:
    return a[:, None, None] * matrix


def _paired(one: Array, other: Array) -> Array:
    """Σ over data, tokens and rank, (M,)."""
    return np.einsum("ntmr,ntmr->m", one, other)
