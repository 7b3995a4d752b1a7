"""Triton kernels for SHL networks that never write the n × M activations to memory.

Data do not meet inside a network, so one program takes one datum through all layers, forward or
back, without a barrier; σ is computed again wherever it is needed. The gradient then is one
kernel over all layers at once. Three launches a step, whatever the depth: made for deep networks
on few data, where launches and barriers, not arithmetic, are the cost.

θ (S, L, p, M); ``path`` (S, L+1, N, d) holds X^l, ``pulls`` (S, L+1, N, d) holds P^l; ``scale``
points to 1/(LM), because a number would be handed over in single precision.
"""

from __future__ import annotations

import triton
import triton.language as tl

CODES = {"tanh": 0, "sigmoid": 1, "gelu": 2, "silu": 3, "relu": 4}


@triton.jit
def activate(z, CODE: tl.constexpr):
    """σ(z) and σ′(z)."""
    if CODE == 0:
        s = hyperbolic(z)
        return s, 1.0 - s * s
    elif CODE == 1:
        s = logistic(z)
        return s, s * (1.0 - s)
    elif CODE == 2:
        normal = 0.5 * (1.0 + tl.erf(z * 0.7071067811865476))
        return z * normal, normal + z * 0.3989422804014327 * tl.exp(-0.5 * z * z)
    elif CODE == 3:
        s = logistic(z)
        return z * s, s * (1.0 + z * (1.0 - s))
    else:
        slope = tl.where(z > 0.0, 1.0, 0.0).to(z.dtype)
        return tl.where(z <= 0.0, 0.0, z).to(z.dtype), slope


@triton.jit
def logistic(z):
    e = tl.exp(-tl.abs(z))
    return tl.where(z < 0.0, e, 1.0) / (1.0 + e)


@triton.jit
def hyperbolic(z):
    """tanh by e^{−2|z|}, by its series near zero, where that would cancel."""
    a, q = tl.abs(z), z * z
    e = tl.exp(-2.0 * a)
    series = 1.0 + q * (-1 / 3 + q * (2 / 15 + q * (-17 / 315 + q * (62 / 2835))))
    near = 0.05 if z.dtype == tl.float64 else 0.3
    t = tl.where(a < near, a * series, (1.0 - e) / (1.0 + e))
    return tl.where(z < 0.0, -t, t)


@triton.jit
def tile(layer, row, c, m, M, D: tl.constexpr):
    """Rows row + c of one layer's parameters for the particles m; zeros outside."""
    inside = (c < D)[:, None] & (m < M)[None, :]
    return tl.load(layer + (row + c)[:, None] * M + m[None, :], mask=inside, other=0.0)


@triton.jit
def preactivation(layer, x, c, m, M, D: tl.constexpr, BIAS: tl.constexpr):
    """w and z = w·x + b for the particles m."""
    w = tile(layer, D, c, m, M, D)
    z = tl.sum(w * x[:, None], axis=0)
    if BIAS:
        z += tl.load(layer + 2 * D * M + m, mask=m < M, other=0.0)
    return w, z


@triton.jit
def forward(
    theta, path, scale, L, N, M,
    D: tl.constexpr, ROWS: tl.constexpr, BM: tl.constexpr, BIAS: tl.constexpr, CODE: tl.constexpr,
):  # fmt: skip
    """X^1 … X^L of datum program_id(0) in network program_id(1)."""
    c = tl.arange(0, ROWS)
    P: tl.constexpr = 2 * D + BIAS
    network = tl.program_id(1).to(tl.int64)
    here = path + (network * (L + 1) * N + tl.program_id(0)) * D + c
    layer = theta + network * L * P * M
    step = tl.load(scale)
    x = tl.load(here, mask=c < D, other=0.0)
    for _layer in range(L):
        total = tl.zeros((ROWS, BM), x.dtype)
        for first in range(0, M, BM):
            m = first + tl.arange(0, BM)
            _w, z = preactivation(layer, x, c, m, M, D, BIAS)
            s, _slope = activate(z, CODE)
            total += tile(layer, 0, c, m, M, D) * s[None, :]
        x += step * tl.sum(total, axis=1)
        here += N * D
        layer += P * M
        tl.store(here, x, mask=c < D)


@triton.jit
def adjoint(
    theta, path, pulls, scale, L, N, M,
    D: tl.constexpr, ROWS: tl.constexpr, BM: tl.constexpr, BIAS: tl.constexpr, CODE: tl.constexpr,
):  # fmt: skip
    """P^{L−1} … P^1 of one datum in one network from P^L, which is in ``pulls``."""
    c = tl.arange(0, ROWS)
    P: tl.constexpr = 2 * D + BIAS
    network = tl.program_id(1).to(tl.int64)
    offset = ((network + 1) * (L + 1) - 1) * N * D + tl.program_id(0) * D
    there, here = pulls + offset + c, path + offset + c
    layer = theta + (network + 1) * L * P * M
    step = tl.load(scale)
    p = tl.load(there, mask=c < D, other=0.0)
    for _layer in range(L - 1):
        here -= N * D
        there -= N * D
        layer -= P * M
        x = tl.load(here, mask=c < D, other=0.0)
        total = tl.zeros((ROWS, BM), p.dtype)
        for first in range(0, M, BM):
            m = first + tl.arange(0, BM)
            w, z = preactivation(layer, x, c, m, M, D, BIAS)
            _s, slope = activate(z, CODE)
            total += w * (slope * tl.sum(tile(layer, 0, c, m, M, D) * p[:, None], axis=0))[None, :]
        p += step * tl.sum(total, axis=1)
        tl.store(there, p, mask=c < D)


@triton.jit
def gradient(
    theta, path, pulls, out, L, N, M,
    D: tl.constexpr, ROWS: tl.constexpr, BM: tl.constexpr, BIAS: tl.constexpr, CODE: tl.constexpr,
):  # fmt: skip
    """L·M·∂E/∂θ of the particles of block program_id(0), layer program_id(1), network (2)."""
    c, m = tl.arange(0, ROWS), tl.program_id(0) * BM + tl.arange(0, BM)
    P: tl.constexpr = 2 * D + BIAS
    network, k = tl.program_id(2).to(tl.int64), tl.program_id(1)
    layer = (network * L + k) * P * M
    here = path + (network * (L + 1) + k) * N * D + c
    there = pulls + (network * (L + 1) + k + 1) * N * D + c
    w, u = tile(theta + layer, D, c, m, M, D), tile(theta + layer, 0, c, m, M, D)
    shift = tl.zeros((BM,), w.dtype)
    if BIAS:
        shift += tl.load(theta + layer + 2 * D * M + m, mask=m < M, other=0.0)
    by_u, by_w, by_b = tl.zeros_like(u), tl.zeros_like(w), tl.zeros_like(shift)
    for _datum in range(N):
        x = tl.load(here, mask=c < D, other=0.0)
        p = tl.load(there, mask=c < D, other=0.0)
        s, slope = activate(tl.sum(w * x[:, None], axis=0) + shift, CODE)
        t = slope * tl.sum(u * p[:, None], axis=0)
        by_u += p[:, None] * s[None, :]
        by_w += x[:, None] * t[None, :]
        by_b += t
        here += D
        there += D
    inside = (c < D)[:, None] & (m < M)[None, :]
    place = out + layer + c[:, None] * M + m[None, :]
    tl.store(place, by_u, mask=inside)
    tl.store(place + D * M, by_w, mask=inside)
    if BIAS:
        tl.store(out + layer + 2 * D * M + m, by_b, mask=m < M)
