"""The single-hidden-layer block f(x, (u, w, b)) = u σ(w·x + b)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.activations import Activation, get_activation
from mfpde.blocks import curvature
from mfpde.blocks.base import LARGEST_DIM, Block, TorchField
from mfpde.depth import Depth
from mfpde.kernels import chain, gram, pools, shl, shl_second, shl_tangent

Array = NDArray[Any]


# Up to this dimension a pass runs in one compiled sweep; beyond it, layer by layer through BLAS.
FUSED_TO = 128
# In how many parts each thread's data are taken, so that a thread that comes late has less to do.
PARTS = 2


class Factor(NamedTuple):
    """Rows of the parameter Jacobian at one evaluation, never multiplied out."""

    x: Array  # (N, d) states
    q: Array  # (N·C, d) cotangents
    s: Array  # (N, M) σ
    t: Array  # (N·C, M) ⟨q, u⟩ σ′


class Biasless(Factor):
    """The same where b does not move."""


class SHL(Block):
    """Single-hidden-layer block f(x, θ) = u σ(w·x + b), θ = (u, w, b) ∈ R^{2d+1}.

    ``bias=False`` leaves b out (p = 2d). Activations: tanh, sigmoid, softplus, gelu, silu, relu,
    sin, and what ``mfpde.activations.register`` adds. A measure with M particles is a layer of
    width M. Sources: Ding et al. 2021 §2, Barboni et al. 2024 §2 (SHL residuals).

    Raises ValueError for an unknown activation or a dimension below one, TypeError for a bias that
    is not a bool.
    """

    @checks.typed
    def __init__(self, dim: int, activation: str = "tanh", *, bias: bool = True) -> None:
        self.dim = checks.count("SHL dim", dim, most=LARGEST_DIM)
        self.activation: Activation = get_activation(activation)
        if not isinstance(bias, bool | np.bool_):
            raise TypeError(f"SHL bias must be True or False; given {bias!r}")
        self.bias = bool(bias)
        u, w = ([f"{letter}{i}" for i in range(dim)] for letter in "uw")
        self.coordinates = (*u, *w, "b") if bias else (*u, *w)

    def __repr__(self) -> str:
        bias = "" if self.bias else ", bias=False"
        return f"SHL(dim={self.dim}, activation={self.activation.name!r}{bias})"

    def spec(self) -> dict[str, Any]:
        return {
            "kind": "shl",
            "dim": self.dim,
            "activation": self.activation.name,
            "bias": self.bias,
        }

    @property
    def smooth(self) -> bool:
        return bool(np.isfinite(self.activation.curvature))

    def split(self, theta: Array) -> tuple[Array, Array, Array]:
        """Views (u, w, b) of θ (..., p); b is zero where there is no bias."""
        d = self.dim
        b = theta[..., 2 * d] if self.bias else np.zeros(theta.shape[:-1], theta.dtype)
        return theta[..., :d], theta[..., d : 2 * d], b

    def torch_form(self) -> Callable[[Any], TorchField] | None:
        activation, d, bias = self.activation, self.dim, self.bias
        if activation.torch is None:
            return None

        def form(torch: Any) -> TorchField:
            sigma = activation.torch_form(torch).sigma

            def field(x: Any, theta: Any) -> Any:
                z = x @ theta[..., d : 2 * d].mT
                if bias:
                    z = z + theta[..., None, :, 2 * d]
                return sigma(z) @ theta[..., :d] / theta.shape[1]

            return field

        return form

    # -- elementwise, for users and tests ---------------------------------------------------

    def value(self, x: Array, theta: Array) -> Array:
        return self._sigma(x, theta)[:, :, None] * theta[None, :, : self.dim]

    def pull_state(self, x: Array, theta: Array, q: Array) -> Array:
        u, w, _ = self.split(theta)
        return ((q @ u.T) * self._sigma_slope(x, theta)[1])[:, :, None] * w[None]

    def pull_parameter(self, x: Array, theta: Array, q: Array) -> Array:
        u, _, _ = self.split(theta)
        s, ds = self._sigma_slope(x, theta)
        t = (q @ u.T) * ds
        parts = [s[:, :, None] * q[:, None, :], t[:, :, None] * x[:, None, :], t[:, :, None]]
        return np.concatenate(parts if self.bias else parts[:2], axis=-1)

    # -- sums over particles and data: matrix products around one elementwise kernel --------

    def field(self, x: Array, theta: Array, a: Array) -> Array:
        return self._sigma(x, theta) @ (a[:, None] * theta[:, : self.dim])

    def backward(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Array]:
        u, w, _ = self.split(theta)
        s, t = self._sigma_slope(x, theta)
        t *= q @ u.T
        return t @ (a[:, None] * w), self._parameter_sum(x, q, s, t)

    def potential(self, x: Array, theta: Array, q: Array) -> Array:
        return ((self._sigma(x, theta).T @ q) * theta[:, : self.dim]).sum(axis=1)

    def gradient(self, x: Array, theta: Array, q: Array) -> Array:
        s, t = self._sigma_slope(x, theta)
        t *= q @ theta[:, : self.dim].T
        return self._parameter_sum(x, q, s, t)

    def tangent(self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array) -> Array:
        u, w, _ = self.split(theta)
        du, dw, db = self.split(dtheta)
        s, t = self._sigma_slope(x, theta)
        t *= dx @ w.T + x @ dw.T + db
        return s @ (a[:, None] * du) + t @ (a[:, None] * u)

    def tangents(
        self, x: Array, theta: Array, a: Array, dx: Array, dtheta: Array, da: Array | None
    ) -> Array:
        s, ds = self._sigma_slope(x, theta)
        return curvature.tangents(self, x, theta, a, s, ds, dx, dtheta, da)

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
        sigma = list(self.activation.three(self._preactivation(x, theta)))
        return curvature.backward_tangents(self, x, theta, a, q, sigma, dx, dtheta, dq, da)

    def sensitivity(self, x: Array, theta: Array, a: Array, q: Array) -> tuple[Array, Factor]:
        u, w, b = self.split(theta)
        n, c, d = q.shape
        rows, weighted = q.reshape(n * c, d), a[:, None] * w
        factor = Factor(x, rows, *(np.empty((k, len(theta)), theta.dtype) for k in (n, n * c)))
        pull = np.empty((n * c, d), theta.dtype)

        def fill(data: slice) -> None:
            r = slice(data.start * c, data.stop * c)
            z = x[data] @ w.T
            z += b
            factor.s[data], slope = self.activation.with_slope(z)
            t = np.matmul(rows[r], u.T, out=factor.t[r])
            t.reshape(-1, c, t.shape[1])[...] *= slope[:, None, :]
            np.matmul(t, weighted, out=pull[r])

        threads = pools.threads_for(factor.t.size)
        pools.deal(fill, _parts(n, PARTS * threads if threads > 1 else 1), threads)
        return pull.reshape(n, c, d), factor

    def gram(self, factors: list[Factor], a: Array, scale: float, out: Array) -> None:
        """By J itself or by Hadamard products of Gram matrices, whichever multiplies less."""
        weights = (scale * a).astype(out.dtype)
        data, rows = len(factors[0].x), len(out)
        hadamard = len(factors) ** 2 * (rows**2 + data**2)
        bias = int(self.bias and not isinstance(factors[0], Biasless))
        product = gram.flat if self.size * rows**2 <= hadamard else gram.hadamard
        product(factors, bias, weights, out)

    def scaled(self, factor: Factor, root: Array) -> Factor:
        """(s q √η_u, t x √η_w, t √η_b): √η_b enters by t, and leaves x by a division."""
        d, root = self.dim, root.astype(factor.s.dtype)
        last = root[2 * d] if self.bias else root.dtype.type(1)
        kind, last = (Factor, last) if last else (Biasless, root.dtype.type(1))
        x, q = factor.x * (root[d : 2 * d] / last), factor.q * root[:d]
        return kind(x, q, factor.s, factor.t * last)

    def merged(self, factors: list[Factor]) -> list[Factor]:
        """One factor at the mean state, which needs one Gram product for each pair."""
        x, q, s, t = (sum(part[1:], start=part[0]) for part in zip(*factors, strict=True))
        return [type(factors[0])(x / len(factors), q, s / len(factors), t)]

    # -- passes through single blocks -----------------------------------------------------------

    def chain_forward(self, theta: Array, steps: Array, start: Array) -> Array:
        if not self.activation.compiled:
            return super().chain_forward(theta, steps, start)
        return chain.forward(self.activation.code, int(self.bias), theta, steps, start)

    def chain_adjoint(
        self, theta: Array, steps: Array, path: Array, terminal: Array
    ) -> tuple[Array, Array, Array]:
        if not self.activation.compiled:
            return super().chain_adjoint(theta, steps, path, terminal)
        return chain.adjoint(self.activation.code, int(self.bias), theta, steps, path, terminal)

    def chain_rows(self, theta: Array, path: Array, back: Array) -> Array:
        if not self.activation.compiled:
            return super().chain_rows(theta, path, back)
        return chain.rows(self.activation.code, int(self.bias), theta, path, back)

    # -- whole passes ---------------------------------------------------------------------------

    def forward_pass(
        self, depth: Depth, theta: Array, weights: Array, start: Array, keep: bool
    ) -> tuple[Array, Array, Any] | None:
        if not self._fused():
            return None
        code, bias = self.activation.code, int(self.bias)
        return shl.forward(code, bias, depth, theta, weights, start, keep)

    def adjoint_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, terminal: Array, kept: Any
    ) -> tuple[Array, Array, Array] | None:
        if not self._fused():
            return None
        code, bias = self.activation.code, int(self.bias)
        return shl.adjoint(code, bias, depth, theta, weights, stages, terminal, kept)

    def tangent_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, change: Array, kept: Any
    ) -> Array | None:
        if not self._fused():
            return None
        code, bias = self.activation.code, int(self.bias)
        return shl_tangent.tangent(code, bias, depth, theta, weights, stages, change, kept)

    def forward_tangents_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, kept: Any,
        change: Array, mass: Array, start: Array,
    ) -> tuple[Array, Array] | None:  # fmt: skip
        if not self._fused():
            return None
        plan = self.activation.code, int(self.bias), depth, theta, weights
        return shl_second.forward(*plan, stages, kept, change, mass, start)

    def adjoint_tangents_pass(
        self, depth: Depth, theta: Array, weights: Array, stages: Array, cotangents: Array,
        kept: Any, moved: Array, change: Array, mass: Array, terminal: Array,
    ) -> tuple[Array, Array, Array] | None:  # fmt: skip
        if not self._fused():
            return None
        plan = self.activation.code, int(self.bias), depth, theta, weights
        return shl_second.adjoint(*plan, stages, cotangents, kept, moved, change, mass, terminal)

    def kept_bytes(self, depth: Depth, theta: Array, data: int) -> int:
        return shl.kept_bytes(self.activation.code, depth, theta, data) if self._fused() else 0

    def _fused(self) -> bool:
        """Whether one compiled sweep pays."""
        return self.activation.compiled and self.dim <= FUSED_TO

    def _sigma(self, x: Array, theta: Array) -> Array:
        return self.activation(self._preactivation(x, theta))

    def _sigma_slope(self, x: Array, theta: Array) -> tuple[Array, Array]:
        return self.activation.with_slope(self._preactivation(x, theta))

    def _preactivation(self, x: Array, theta: Array) -> Array:
        _, w, b = self.split(theta)
        z = x @ w.T
        z += b
        return z

    def _parameter_sum(self, x: Array, q: Array, s: Array, t: Array) -> Array:
        d = self.dim
        out = np.empty((s.shape[1], self.size), s.dtype)
        out[:, :d] = s.T @ q
        out[:, d : 2 * d] = t.T @ x
        if self.bias:
            out[:, 2 * d] = t.sum(axis=0)
        return out


def _parts(count: int, parts: int) -> list[slice]:
    """So many numbers in nearly equal parts, none of them empty."""
    cuts = np.linspace(0, count, min(parts, count) + 1).astype(int)
    return [slice(int(lo), int(hi)) for lo, hi in pairwise(cuts)]
