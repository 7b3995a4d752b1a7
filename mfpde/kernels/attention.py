"""The core of attention for every datum and head: h_t = Σ_s α_ts v_s, and its derivatives.

α_ts = softmax over s of c q_t·k_s, with s ≤ t where ``causal``. All arrays are (N, T, M, r): datum,
token, head, rank. With e_ts = g_t·v_s, m_t = Σ_s α_ts e_ts and w_ts = α_ts (e_ts − m_t),

    pull of g:  q̄_t = c Σ_s w_ts k_s,   k̄_s = c Σ_t w_ts q_t,   v̄_s = Σ_t α_ts g_t.

α is never kept: T numbers at a time are formed again by each pass.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def forward(q, k, v, c, causal):
    n, tokens, heads, rank = q.shape
    h = np.zeros_like(q)
    alpha = np.empty(tokens)
    for i in range(n):
        for j in range(heads):
            for t in range(tokens):
                seen = _softmax(q[i, :, j], k[i, :, j], t, c, causal, alpha)
                for s in range(seen):
                    for p in range(rank):
                        h[i, t, j, p] += alpha[s] * v[i, s, j, p]
    return h


@njit(cache=True, error_model="numpy")
def pull(q, k, v, g, c, causal):
    """h, and the pulls (q̄, k̄, v̄) of g."""
    n, tokens, heads, rank = q.shape
    h, gq, gk, gv = np.zeros_like(q), np.zeros_like(q), np.zeros_like(q), np.zeros_like(q)
    alpha, w = np.empty(tokens), np.empty(tokens)
    for i in range(n):
        for j in range(heads):
            for t in range(tokens):
                seen = _softmax(q[i, :, j], k[i, :, j], t, c, causal, alpha)
                mean = 0.0
                for s in range(seen):
                    w[s] = _dot(g[i, t, j], v[i, s, j])
                    mean += alpha[s] * w[s]
                for s in range(seen):
                    w[s] = c * alpha[s] * (w[s] - mean)
                    for p in range(rank):
                        h[i, t, j, p] += alpha[s] * v[i, s, j, p]
                        gq[i, t, j, p] += w[s] * k[i, s, j, p]
                        gk[i, s, j, p] += w[s] * q[i, t, j, p]
                        gv[i, s, j, p] += alpha[s] * g[i, t, j, p]
    return h, gq, gk, gv


@njit(cache=True, error_model="numpy")
def push(q, k, v, dq, dk, dv, c, causal):
    """dh along (dq, dk, dv)."""
    n, tokens, heads, rank = q.shape
    dh = np.zeros_like(q)
    alpha, da = np.empty(tokens), np.empty(tokens)
    for i in range(n):
        for j in range(heads):
            for t in range(tokens):
                seen = _softmax(q[i, :, j], k[i, :, j], t, c, causal, alpha)
                _softmax_change(
                    q[i, :, j], k[i, :, j], dq[i, :, j], dk[i, :, j], t, c, seen, alpha, da
                )
                for s in range(seen):
                    for p in range(rank):
                        dh[i, t, j, p] += da[s] * v[i, s, j, p] + alpha[s] * dv[i, s, j, p]
    return dh


@njit(cache=True, error_model="numpy")
def push_pull(q, k, v, g, dq, dk, dv, dg, c, causal):
    """How h and the pulls (q̄, k̄, v̄) of g move along (dq, dk, dv, dg)."""
    n, tokens, heads, rank = q.shape
    dh, hq, hk, hv = np.zeros_like(q), np.zeros_like(q), np.zeros_like(q), np.zeros_like(q)
    alpha, da, e, de = np.empty(tokens), np.empty(tokens), np.empty(tokens), np.empty(tokens)
    for i in range(n):
        for j in range(heads):
            for t in range(tokens):
                seen = _softmax(q[i, :, j], k[i, :, j], t, c, causal, alpha)
                _softmax_change(
                    q[i, :, j], k[i, :, j], dq[i, :, j], dk[i, :, j], t, c, seen, alpha, da
                )
                mean, dmean = 0.0, 0.0
                for s in range(seen):
                    e[s] = _dot(g[i, t, j], v[i, s, j])
                    de[s] = _dot(dg[i, t, j], v[i, s, j]) + _dot(g[i, t, j], dv[i, s, j])
                    mean += alpha[s] * e[s]
                    dmean += da[s] * e[s] + alpha[s] * de[s]
                for s in range(seen):
                    w = c * alpha[s] * (e[s] - mean)
                    dw = c * (da[s] * (e[s] - mean) + alpha[s] * (de[s] - dmean))
                    for p in range(rank):
                        dh[i, t, j, p] += da[s] * v[i, s, j, p] + alpha[s] * dv[i, s, j, p]
                        hq[i, t, j, p] += dw * k[i, s, j, p] + w * dk[i, s, j, p]
                        hk[i, s, j, p] += dw * q[i, t, j, p] + w * dq[i, t, j, p]
                        hv[i, s, j, p] += da[s] * g[i, t, j, p] + alpha[s] * dg[i, t, j, p]
    return dh, hq, hk, hv


@njit(cache=True, error_model="numpy")
def _softmax(q, k, t, c, causal, alpha):
    """α_t· of one datum and head, and how many tokens t sees."""
    seen = t + 1 if causal else len(k)
    largest = -np.inf
    for s in range(seen):
        alpha[s] = c * _dot(q[t], k[s])
        largest = max(largest, alpha[s])
    total = 0.0
    for s in range(seen):
        alpha[s] = np.exp(alpha[s] - largest)
        total += alpha[s]
    for s in range(seen):
        alpha[s] /= total
    return seen


@njit(cache=True, error_model="numpy")
def _softmax_change(q, k, dq, dk, t, c, seen, alpha, da):
    mean = 0.0
    for s in range(seen):
        da[s] = c * (_dot(dq[t], k[s]) + _dot(q[t], dk[s]))
        mean += alpha[s] * da[s]
    for s in range(seen):
        da[s] = alpha[s] * (da[s] - mean)


@njit(cache=True, error_model="numpy")
def _dot(a, b):
    total = 0.0
    for p in range(len(a)):
        total += a[p] * b[p]
    return total
