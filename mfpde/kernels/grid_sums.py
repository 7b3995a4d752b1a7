"""Sums over a tensor grid in (w, b) of σ(w·x + b), for whole passes through depth.

The preactivation on a grid is a sum z_rc = α_r + β_c of a term for the *row* r (all axes but the
last, flattened) and one for the *column* c (the last axis). For tanh and sigmoid, with k = 2 or 1,

    σ = 1 − k/(e^{kα_r} e^{kβ_c} + 1),

so that exponentials are needed on rows and columns only, and four data share one division: the
reciprocals of four numbers follow from that of their product. Where the product of four might
overflow, for a single row, and for every other σ, the scalars of ``elementary`` are taken.

A layer is given by coefficients μ (d, W), W = rows·columns: F(x) = Σ μ σ(w·x + b) is linear in
them, and g = Σ_i q_i σ(w·x_i + b) is the gradient of Σ_i ⟨q_i, F(x_i)⟩.
"""

from __future__ import annotations

import llvmlite.ir as ir
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from mfpde.kernels import FASTMATH, elementary
from mfpde.kernels.activate import SIGMOID, TANH, sigma_chunk, slope_chunk, slope_from_value
from mfpde.kernels.native import INNER, LEAN
from mfpde.kernels.pools import shared, threads_for
from mfpde.kernels.tiles import BYTES, CONTRACT, Rows, offsets
from mfpde.kernels.totals import add_all

GROUP = 4  # data that share one division
CHUNK = 512  # grid points at a time: σ and σ′ of a group stay in a first-level cache
LANES = BYTES // 8  # float64 in a vector
CHEAP = 4  # products that cost as much as one of the operations that ``threads_for`` counts
REACH = 175.0  # four factors up to e^REACH + 1 multiply without overflow


def forward(code, bias, values, ends, a, b, step, nodes, mu, start):
    """Stage states (L, S, N, d) and path (L+1, N, d) of dX/dt = Σ μ_k σ(w·X + b)."""
    z, path = np.empty((*nodes.shape, *start.shape)), np.empty((len(nodes) + 1, *start.shape))
    path[0] = start
    shares = _shares(nodes.size, mu, start)
    setting = (code, bias, values, ends, a, b, step, nodes)
    shared(_forward_share, shares, shares, *setting, mu, z, path)
    return z, path


def adjoint(code, bias, values, ends, a, b, step, nodes, mu, weighted, z, terminal):
    """Cotangents (L, S, N, d), adjoint path (L+1, N, d), and Σ_e Σ_i q_i σ per node (K, d, W)."""
    q, path = np.empty(z.shape), np.empty((len(nodes) + 1, *terminal.shape))
    path[-1] = terminal
    shares = _shares(nodes.size, mu, terminal)
    g = np.zeros((shares, *mu.shape))
    setting = (code, bias, values, ends, a, b, step, nodes)
    shared(_adjoint_share, shares, shares, *setting, weighted, z, q, path, g)
    add_all(g[1:], g[0])
    return q, path, g[0]


def tangent(code, bias, values, ends, a, b, step, nodes, weighted, change, z):
    """The change of X(1), (N, d), to first order in a ``change`` (K, d, W) of μ."""
    end = np.zeros(z.shape[2:])
    shares = _shares(nodes.size, change, end)
    setting = (code, bias, values, ends, a, b, step, nodes)
    shared(_tangent_share, shares, shares, *setting, weighted, change, z, end)
    return end


def _shares(evaluations, mu, x):
    """In how many parts the data are taken."""
    return min(threads_for(evaluations * mu[0].size * x.size), -(-len(x) // GROUP))


@njit(**INNER)
def _part(share, shares, n):
    """The data of a share: whole groups but for the last."""
    groups = (n + GROUP - 1) // GROUP
    return share * groups // shares * GROUP, min((share + 1) * groups // shares * GROUP, n)


@njit(fastmath=elementary.EXACT, **INNER)
def _forward_share(share, shares, code, bias, values, ends, a, b, step, nodes, mu, z, path):
    layers, stages, d = nodes.shape[0], nodes.shape[1], path.shape[2]
    lo, hi = _part(share, shares, path.shape[1])
    slopes, scratch = np.empty((stages, hi - lo, d)), _scratch(ends, d)
    for layer in range(layers):
        for i in range(stages):
            here = z[layer, i, lo:hi]
            here[:] = path[layer, lo:hi]
            for j in range(i):
                here += step * a[i, j] * slopes[j]
            k = nodes[layer, i]
            _field(code, bias, values, ends, mu[k], here, slopes[i], scratch)
        path[layer + 1, lo:hi] = path[layer, lo:hi]
        for i in range(stages):
            path[layer + 1, lo:hi] += step * b[i] * slopes[i]


@njit(fastmath=elementary.EXACT, **INNER)
def _adjoint_share(
    share, shares, code, bias, values, ends, a, b, step, nodes, weighted, z, q, path, g
):
    layers, stages, d = nodes.shape[0], nodes.shape[1], path.shape[2]
    lo, hi = _part(share, shares, path.shape[1])
    pulls, scratch = np.empty((stages, hi - lo, d)), _scratch(ends, d)
    for layer in range(layers - 1, -1, -1):
        path[layer, lo:hi] = path[layer + 1, lo:hi]
        for i in range(stages - 1, -1, -1):
            here = q[layer, i, lo:hi]
            here[:] = step * b[i] * path[layer + 1, lo:hi]
            for j in range(i + 1, stages):
                here += step * a[j, i] * pulls[j]
            k = nodes[layer, i]
            _backward(
                code, bias, values, ends, weighted[k], z[layer, i, lo:hi], here, pulls[i],
                g[share, k], scratch,
            )  # fmt: skip
            path[layer, lo:hi] += pulls[i]


@njit(fastmath=elementary.EXACT, **INNER)
def _tangent_share(
    share, shares, code, bias, values, ends, a, b, step, nodes, weighted, change, z, end
):
    layers, stages = nodes.shape
    lo, hi = _part(share, shares, end.shape[0])
    dx, slopes = end[lo:hi], np.empty((stages, hi - lo, end.shape[1]))
    dz, scratch = np.empty_like(dx), _scratch(ends, end.shape[1])
    for layer in range(layers):
        for i in range(stages):
            dz[:] = dx
            for j in range(i):
                dz += step * a[i, j] * slopes[j]
            k = nodes[layer, i]
            _push(
                code, bias, values, ends, weighted[k], change[k], z[layer, i, lo:hi], dz, slopes[i],
                scratch,
            )  # fmt: skip
        for i in range(stages):
            dx += step * b[i] * slopes[i]


@njit(cache=True, nogil=True, error_model="numpy")
def field(code, bias, values, ends, mu, x, out):
    """out_i = Σ μ σ(w·x_i + b), shape (N, d)."""
    _field(code, bias, values, ends, mu, x, out, _scratch(ends, len(mu)))


@njit(cache=True, nogil=True, error_model="numpy")
def backward(code, bias, values, ends, weighted, x, q, out, g):
    """out_i = D_xF(x_i)ᵀ q_i and g += Σ_i q_i σ(w·x_i + b); ``weighted`` (d, d, W) is μ_c w_e."""
    _backward(code, bias, values, ends, weighted, x, q, out, g, _scratch(ends, len(g)))


@njit(cache=True, nogil=True, error_model="numpy")
def potential(code, bias, values, ends, x, q, g):
    """g += Σ_i q_i σ(w·x_i + b), shape (d, W)."""
    _potential(code, bias, values, ends, x, q, g, _scratch(ends, len(g)))


@njit(**INNER)
def _scratch(ends, d):
    """For four data: terms of rows and columns, σ and σ′ of a chunk, arguments, d weights."""
    rows, columns = _shape(ends)
    size = max(1, CHUNK // columns) * columns
    s, ds = np.empty((GROUP, size)), np.empty((GROUP, size))
    alpha, beta = np.empty((GROUP, rows)), np.empty((GROUP, columns))
    return alpha, beta, s, ds, np.empty(size), np.empty((GROUP, d))


@njit(**LEAN)
def _field(code, bias, values, ends, mu, x, out, scratch):
    d, (rows, columns) = mu.shape[0], _shape(ends)
    some = max(1, CHUNK // columns)
    alpha, beta, s, _, z, _ = scratch
    for lo in range(0, x.shape[0], GROUP):
        fast = _terms(code, bias, values, ends, x, lo, alpha, beta)
        group = min(GROUP, x.shape[0] - lo)
        out[lo : lo + group] = 0
        for first in range(0, rows, some):
            count = min(some, rows - first)
            _sigma(code, fast, alpha, beta, first, count, s, z)
            at = first * columns
            for c in range(d):
                sums = _dots(mu[c, at : at + count * columns], s[0], s[1], s[2], s[3])
                for i in range(group):
                    out[lo + i, c] += sums[i]


@njit(**LEAN)
def _backward(code, bias, values, ends, weighted, x, q, out, g, scratch):
    d, (rows, columns) = g.shape[0], _shape(ends)
    some = max(1, CHUNK // columns)
    alpha, beta, s, ds, z, weight = scratch
    for lo in range(0, x.shape[0], GROUP):
        fast = _terms(code, bias, values, ends, x, lo, alpha, beta)
        group = min(GROUP, x.shape[0] - lo)
        _weigh(q, lo, weight)
        out[lo : lo + group] = 0
        for first in range(0, rows, some):
            count = min(some, rows - first)
            _slopes(code, fast, alpha, beta, first, count, s, ds, z)
            here, size = first * columns, count * columns
            for c in range(d):
                _spread(g[c, here : here + size], weight[:, c], s[0], s[1], s[2], s[3])
                for e in range(d):
                    row = weighted[c, e, here : here + size]
                    sums = _dots(row, ds[0], ds[1], ds[2], ds[3])
                    for i in range(group):
                        out[lo + i, e] += weight[i, c] * sums[i]


@njit(**LEAN)
def _push(code, bias, values, ends, weighted, change, x, dx, out, scratch):
    """out_i = D_xF(x_i) dx_i + Σ δμ σ(w·x_i + b) for a ``change`` δμ (d, W)."""
    d, (rows, columns) = change.shape[0], _shape(ends)
    some = max(1, CHUNK // columns)
    alpha, beta, s, ds, z, _ = scratch
    for lo in range(0, x.shape[0], GROUP):
        fast = _terms(code, bias, values, ends, x, lo, alpha, beta)
        group = min(GROUP, x.shape[0] - lo)
        out[lo : lo + group] = 0
        for first in range(0, rows, some):
            count = min(some, rows - first)
            _slopes(code, fast, alpha, beta, first, count, s, ds, z)
            here, size = first * columns, count * columns
            for c in range(d):
                sums = _dots(change[c, here : here + size], s[0], s[1], s[2], s[3])
                for i in range(group):
                    out[lo + i, c] += sums[i]
                for e in range(d):
                    row = weighted[c, e, here : here + size]
                    sums = _dots(row, ds[0], ds[1], ds[2], ds[3])
                    for i in range(group):
                        out[lo + i, c] += sums[i] * dx[lo + i, e]


@njit(**LEAN)
def _potential(code, bias, values, ends, x, q, g, scratch):
    d, (rows, columns) = g.shape[0], _shape(ends)
    some = max(1, CHUNK // columns)
    alpha, beta, s, _, z, weight = scratch
    for lo in range(0, x.shape[0], GROUP):
        fast = _terms(code, bias, values, ends, x, lo, alpha, beta)
        _weigh(q, lo, weight)
        for first in range(0, rows, some):
            count = min(some, rows - first)
            _sigma(code, fast, alpha, beta, first, count, s, z)
            here, size = first * columns, count * columns
            for c in range(d):
                _spread(g[c, here : here + size], weight[:, c], s[0], s[1], s[2], s[3])


@njit(**LEAN)
def _weigh(q, lo, weight):
    """q of four data, 0 beyond the last one."""
    for i in range(GROUP):
        for c in range(weight.shape[1]):
            weight[i, c] = q[lo + i, c] if lo + i < q.shape[0] else 0.0


@njit(**LEAN)
def _shape(ends):
    """Rows and columns; axis j has the values ends[j] .. ends[j + 1]."""
    rows = 1
    for j in range(ends.size - 2):
        rows *= ends[j + 1] - ends[j]
    return rows, ends[-1] - ends[-2]


@njit(**LEAN)
def _terms(code, bias, values, ends, x, lo, alpha, beta):
    """α (4, rows) and β (4, columns) of four data; whether as factors e^{kα}, e^{kβ}."""
    axes, columns = ends.size - 1, beta.shape[1]
    alpha[:] = 0
    beta[:] = 0
    for i in range(min(GROUP, x.shape[0] - lo)):
        size = 1
        for j in range(axes - 1):
            w, n = values[ends[j] : ends[j + 1]], ends[j + 1] - ends[j]
            for r in range(size - 1, -1, -1):
                before = alpha[i, r]
                for c in range(n):
                    alpha[i, r * n + c] = before + w[c] * x[lo + i, j]
            size *= n
        factor = 1.0 if bias else x[lo + i, axes - 1]
        for c in range(columns):
            beta[i, c] = factor * values[ends[axes - 1] + c]
    fast = _multiplies(code, values, ends, x[lo : lo + GROUP])
    if fast:
        scale = 2.0 if code == TANH else 1.0
        _exponentials(scale, alpha)
        _exponentials(scale, beta)
    return fast


@njit(**LEAN)
def _multiplies(code, values, ends, x):
    """Whether factors pay (more than one row) and are safe; False where a state is NaN."""
    if code not in (TANH, SIGMOID) or ends.size == 2:
        return False
    scale = 2.0 if code == TANH else 1.0
    for i in range(x.shape[0]):
        reach = 0.0
        for j in range(ends.size - 1):
            largest = max(abs(values[ends[j]]), abs(values[ends[j + 1] - 1]))
            reach += largest * (abs(x[i, j]) if j < x.shape[1] else 1.0)
        if not scale * reach <= REACH:
            return False
    return True


@njit(fastmath=elementary.EXACT, **LEAN)
def _exponentials(scale, z):
    flat = z.reshape(-1)
    for i in range(flat.size):
        flat[i] = elementary.exponential(scale * flat[i])


@njit(**LEAN)
def _sigma(code, fast, alpha, beta, first, count, s, z):
    """s_i ← σ on ``count`` rows, for four data."""
    if fast:
        _quotients(2.0 if code == TANH else 1.0, alpha, beta, first, count, s)
        return
    size = count * beta.shape[1]
    for i in range(GROUP):
        _preactivation(alpha[i], beta[i], first, count, z)
        sigma_chunk(code, z[:size], s[i, :size])


@njit(**LEAN)
def _slopes(code, fast, alpha, beta, first, count, s, ds, z):
    """s_i ← σ and ds_i ← σ′ on ``count`` rows, for four data."""
    size = count * beta.shape[1]
    if fast:
        _quotients(2.0 if code == TANH else 1.0, alpha, beta, first, count, s)
        for i in range(GROUP):
            slope_from_value(code, s[i, :size], ds[i, :size])
        return
    for i in range(GROUP):
        _preactivation(alpha[i], beta[i], first, count, z)
        slope_chunk(code, z[:size], s[i, :size], ds[i, :size])


@njit(**LEAN)
def _preactivation(alpha, beta, first, count, z):
    columns = beta.size
    for r in range(count):
        a = alpha[first + r]
        for c in range(columns):
            z[r * columns + c] = a + beta[c]


@njit(**LEAN)
def _quotients(k, alpha, beta, first, count, s):
    """s_i ← 1 − k/(a_i b_i + 1); the last vector of a row may overlap the one before."""
    columns, rows = beta.shape[1], alpha.shape[1]
    a, b, out, step = alpha.reshape(-1), beta.reshape(-1), s.reshape(-1), s.shape[1]
    for r in range(count):
        here, row = r * columns, first + r
        c = 0
        while c + LANES <= columns:
            _quotient_vectors(k, a, row, rows, b, c, columns, out, here + c, step)
            c += LANES
        if c < columns and columns >= LANES:
            c = columns - LANES
            _quotient_vectors(k, a, row, rows, b, c, columns, out, here + c, step)
        elif c < columns:
            for i in range(GROUP):
                for c in range(columns):
                    s[i, here + c] = 1.0 - k / (alpha[i, row] * beta[i, c] + 1.0)


@intrinsic
def _quotient_vectors(typingctx, k, a, row, astep, b, column, bstep, s, to, sstep):
    """One vector of s_i = 1 − k/(a_i b_i + 1) for four i: four reciprocals from one division."""

    def codegen(context, builder, signature, args):
        k, a, row, astep, b, column, bstep, s, to, sstep = args
        a, b, s = (
            Rows(context, builder, kind, array)
            for kind, array in zip(signature.args[1:8:3], (a, b, s), strict=True)
        )
        one = ir.Constant(s.vector, [1.0] * s.vector.count)
        terms = [
            _fused(builder, a.splat(left), b.load(right), one)
            for left, right in zip(
                offsets(builder, row, astep, GROUP),
                offsets(builder, column, bstep, GROUP),
                strict=True,
            )
        ]
        low, high = builder.fmul(terms[0], terms[1]), builder.fmul(terms[2], terms[3])
        share = builder.fdiv(s.spread(k), builder.fmul(low, high))
        shares = builder.fmul(share, high), builder.fmul(share, low)
        partners = terms[1], terms[0], terms[3], terms[2]
        for i, place in enumerate(offsets(builder, to, sstep, GROUP)):
            product = builder.fmul(shares[i // 2], partners[i], flags=CONTRACT)
            s.store(builder.fsub(one, product, flags=CONTRACT), place)
        return context.get_dummy_value()

    n = types.intp
    return types.void(types.float64, a, n, n, b, n, n, s, n, n), codegen


def _fused(builder, x, y, z):
    return builder.fadd(builder.fmul(x, y, flags=CONTRACT), z, flags=CONTRACT)


@njit(fastmath=FASTMATH, **LEAN)
def _dots(m, s0, s1, s2, s3):
    t0 = t1 = t2 = t3 = 0.0
    for c in range(m.size):
        t0 += m[c] * s0[c]
        t1 += m[c] * s1[c]
        t2 += m[c] * s2[c]
        t3 += m[c] * s3[c]
    return t0, t1, t2, t3


@njit(fastmath=FASTMATH, **LEAN)
def _spread(g, q, s0, s1, s2, s3):
    q0, q1, q2, q3 = q[0], q[1], q[2], q[3]
    for c in range(g.size):
        g[c] += (q0 * s0[c] + q1 * s1[c]) + (q2 * s2[c] + q3 * s3[c])


def gather(u, m, out):
    """out[k, c, x] = Σ_j u[c, j] m[k, j, x]: the moments of masses, the adjoint of ``expand``."""
    shares = threads_for(m.size // CHEAP)
    shared(_gather_share, shares, shares, u, m, out)


@njit(**LEAN)
def _gather_share(share, shares, u, m, out):
    (levels, _, width), d = m.shape, len(u)
    total = levels * width
    lo, hi = share * total // shares, (share + 1) * total // shares
    for k in range(lo // width, (hi + width - 1) // width):
        here = slice(max(lo - k * width, 0), min(hi - k * width, width))
        for c in range(d):
            _add_rows(u[c], m[k], here, out[k, c, here])


@njit(fastmath=FASTMATH, **LEAN)
def _add_rows(u, m, here, out):
    """out = Σ_j u_j m_j for a part of the rows, four of them at a time."""
    count = u.size
    out[:] = 0
    for j in range(0, count - 3, 4):
        first, second = m[j, here], m[j + 1, here]
        third, fourth = m[j + 2, here], m[j + 3, here]
        for x in range(out.size):
            out[x] += (u[j] * first[x] + u[j + 1] * second[x]) + (
                u[j + 2] * third[x] + u[j + 3] * fourth[x]
            )
    for j in range(count - count % 4, count):
        row = m[j, here]
        for x in range(out.size):
            out[x] += u[j] * row[x]


def expand(u, g, out):
    """out[k, j, x] = Σ_c u[c, j] g[k, c, x]: the potential V = u·g on the whole grid."""
    shares = min(threads_for(out.size // CHEAP), len(out) * u.shape[1])
    shared(_expand_share, shares, shares, u, g, out)


@njit(**LEAN)
def _expand_share(share, shares, u, g, out):
    count = u.shape[1]
    rows = g.shape[0] * count
    for row in range(share * rows // shares, (share + 1) * rows // shares):
        k, j = row // count, row % count
        _combine_rows(u[:, j], g[k], out[k, j])


@njit(fastmath=FASTMATH, **LEAN)
def _combine_rows(u, g, out):
    for x in range(out.size):
        out[x] = u[0] * g[0, x]
    for c in range(1, u.size):
        for x in range(out.size):
            out[x] += u[c] * g[c, x]
