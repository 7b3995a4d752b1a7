"""Tangents of both passes of f(x, (u, w, b)) = u σ(w·x + b), along several directions at once.

Along (dx, du, dw, db, dq, da), with κ = w·dx + dw·x + db and t = ⟨q, u⟩ σ′, an evaluation moves by

    dF  = Σ_j (a_j du_j + da_j u_j) σ_j + a_j u_j σ′_j κ_j,
    dt  = ⟨q, u⟩ σ″ κ + (⟨dq, u⟩ + ⟨q, du⟩) σ′,
    d(D_xFᵀq) = Σ_j dt_j a_j w_j + t_j (a_j dw_j + da_j w_j),
    d(D_θfᵀq) = (σ′κ q + σ dq,  dt x + t dx,  dt),

and at fixed θ d⟨q, f⟩ = σ ⟨dq, u⟩ + t w·dx. Block by block of data as in ``shl``, with the σ that
the forward pass kept; σ, σ′, σ″ and ⟨q, u⟩ are formed once for all directions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels.lending import lent
from mfpde.kernels.native import LEAN, call
from mfpde.kernels.pools import shared
from mfpde.kernels.shl import planned
from mfpde.kernels.tiles import BYTES
from mfpde.kernels.totals import add_all
from mfpde.kernels.workspace import Blocks, add, read, scale, write

TOGETHER = 4  # particles: nine rows of each then stay in a first-level cache
DIRECTIONS = 8  # that one sweep carries


def forward(code, bias, depth, theta, weights, stages, kept, change, mass, start):
    """Changes of the stage states (L, S, C, N, d) and of X(1) (C, N, d)."""
    if len(start) > DIRECTIONS:
        layers = code, bias, depth, theta, weights, stages, kept
        parts = [forward(*layers, change[c], mass[c], start[c]) for c in _parts(len(start))]
        moved, ends = zip(*parts, strict=True)
        return np.concatenate(moved, axis=2), np.concatenate(ends)
    count, n, d = start.shape
    moved, end = lent((*stages.shape[:2], *start.shape), theta.dtype), start.copy()
    blocks, store = _blocks(theta, n, kept)
    rows = count * d * (3 + depth.tableau.stages) + 4 * TOGETHER
    work = blocks.workspace(_rows(rows, d), theta.dtype)
    plan = planned(code, bias, depth, theta, weights)
    arguments = (*plan, blocks.length, work, store, stages, change, mass, moved, end)
    shared(_forward_share, blocks.threads, *arguments)
    return moved, end


def adjoint(
    code, bias, depth, theta, weights, stages, cotangents, kept, moved, change, mass, terminal
):
    """Changes of Σ_e D_θ fᵀQ_e (C, K, M, p), of Σ_e ⟨Q_e, f⟩ (C, K, M) and of P(0) (C, N, d)."""
    if len(terminal) > DIRECTIONS:
        layers = code, bias, depth, theta, weights, stages, cotangents, kept
        parts = [
            adjoint(*layers, np.ascontiguousarray(moved[:, :, c]), change[c], mass[c], terminal[c])
            for c in _parts(len(terminal))
        ]
        return tuple(np.concatenate(each) for each in zip(*parts, strict=True))
    count, n, d = terminal.shape
    start = terminal.copy()
    found = lent((count, *theta.shape[:2], theta.shape[2] + 1), theta.dtype)
    blocks, store = _blocks(theta, n, kept)
    rows = count * (d * (5 + depth.tableau.stages) + 1) + 7 * TOGETHER
    work = blocks.workspace(_rows(rows, d), theta.dtype)
    others = lent((blocks.threads - 1, *found.shape), theta.dtype)
    plan = planned(code, bias, depth, theta, weights)
    arguments = (*plan, code, blocks.length, work, store, stages, cotangents, change, mass)
    shared(_adjoint_share, blocks.threads, *arguments, moved, start, found, others)
    add_all(others, found)
    return found[..., :-1], found[..., -1], start


def _parts(count):
    return [slice(lo, lo + DIRECTIONS) for lo in range(0, count, DIRECTIONS)]


def _blocks(theta, n, kept):
    """Blocks of data, and the kept σ per block (none: rows of none)."""
    if kept is not None:
        return kept.blocks, kept.values
    blocks = Blocks(n, theta.size, theta.dtype)
    return blocks, np.empty((blocks.count, 0), theta.dtype)


def _rows(rows, d):
    """With those for numbers, of which a row holds 16 or more."""
    return rows + TOGETHER * (10 * d + 8) // 16 + 1


@njit(**LEAN)
def _forward_share(
    t, tools, bias, a, b, nodes, theta, weights, n, work, store, stages, change, mass, moved, end
):
    """The blocks t, t + T, … of thread t."""
    memory, count, d = work[t], end.shape[0], end.shape[2]
    memory[:] = 0
    step = n + BYTES // work.itemsize
    each = d * step
    size = (3 + b.size) * each  # of a direction: dz, x, dx and the slopes
    rest = count * size
    for block in range(t, store.shape[0], work.shape[0]):
        lo, kept = block * n, store[block]
        length = kept.size // nodes.size
        for c in range(count):
            read(memory, c * size + 2 * each, step, n, end[c], lo)
        for layer in range(nodes.shape[0]):
            for i in range(b.size):
                for c in range(count):
                    dz = c * size
                    read(memory, dz + each, step, n, stages[layer, i], lo)
                    scale(memory, dz, b.dtype.type(1), dz + 2 * each, each)
                    for j in range(i):
                        add(memory, dz, a[i, j], dz + (3 + j) * each, each)
                    write(memory, dz, step, n, moved[layer, i, c], lo)
                k = nodes[layer, i]
                values = kept[(layer * b.size + i) * length :][:length]
                _push(
                    tools, bias, theta[k], weights[k], change[:, k], mass[:, k], n, step, memory,
                    size, (3 + i) * each, rest, values,
                )  # fmt: skip
            for c in range(count):
                for i in range(b.size):
                    add(memory, c * size + 2 * each, b[i], c * size + (3 + i) * each, each)
        for c in range(count):
            write(memory, c * size + 2 * each, step, n, end[c], lo)


@njit(**LEAN)
def _push(tools, bias, theta, weights, change, mass, n, step, memory, size, out, rest, values):
    """dF of each direction at ``out`` behind its dz and x; scratch begins at ``rest``."""
    d, count = (theta.shape[1] - bias) // 2, TOGETHER * n
    z, g, line = rest, rest + count, rest + 2 * count
    kappa, scratch = memory[line : line + count], memory[rest + 3 * count : rest + 4 * count]
    numbers, width = rest + 4 * count, 4 * d + 1
    for c in range(change.shape[0]):
        memory[c * size + out : c * size + out + d * step] = 0
    for first in range(0, theta.shape[0], TOGETHER):
        slopes = memory[g : g + count]
        if values.size:
            s = values[first * n : first * n + count]
            call(tools.slope_from_value, (s, slopes))
        else:
            s = scratch
            _gather(theta, bias, first, memory, numbers, d + 1)
            call(
                tools.form,
                (memory, z, n, TOGETHER, memory, numbers + 1, d + 1, memory, d * step, step, d, n),
            )
            call(tools.slope, (memory[z : z + count], s, slopes))
        for c in range(change.shape[0]):
            here = c * size
            _gather_push(theta, weights, change[c], mass[c], bias, first, memory, numbers)
            call(
                tools.form,
                (memory, line, n, TOGETHER, memory, numbers + 1, width, memory, here, step, 2 * d,
                 n),
            )  # fmt: skip
            for i in range(count):
                kappa[i] *= slopes[i]
            au, heads = numbers + 2 * d + 1, numbers + 3 * d + 1
            call(
                tools.increase,
                (memory, here + out, step, d, memory, heads, width, s, 0, n, TOGETHER, n),
            )
            call(
                tools.increase,
                (memory, here + out, step, d, memory, au, width, memory, line, n, TOGETHER, n),
            )


@njit(**LEAN)
def _adjoint_share(
    t, tools, bias, a, b, nodes, theta, weights, code, n, work, store, stages, cotangents, change,
    mass, moved, start, found, others,
):  # fmt: skip
    """The blocks t, t + T, … of thread t, and its own sums: the first, or one of the others."""
    memory, count, d, last = work[t], start.shape[0], start.shape[2], nodes.shape[0]
    mine = found if t == 0 else others[t - 1]
    mine[:] = memory[:] = 0
    step = n + BYTES // work.itemsize
    each = d * step
    size = (5 + b.size) * each + step  # dz, x, ones | q, dq, p and the pulls
    rest = count * size
    for c in range(count):
        memory[c * size + 2 * each : c * size + 2 * each + step] = 1
    for block in range(t, store.shape[0], work.shape[0]):
        lo, kept = block * n, store[block]
        length = kept.size // nodes.size
        for c in range(count):
            read(memory, c * size + 4 * each + step, step, n, start[c], lo)
        for layer in range(last - 1, -1, -1):
            for i in range(b.size - 1, -1, -1):
                for c in range(count):
                    dz = c * size
                    q = dz + 2 * each + step
                    read(memory, dz, step, n, moved[layer, i, c], lo)
                    read(memory, dz + each, step, n, stages[layer, i], lo)
                    read(memory, q, step, n, cotangents[layer, i], lo)
                    scale(memory, q + each, b[i], q + 2 * each, each)
                    for j in range(i + 1, b.size):
                        add(memory, q + each, a[j, i], q + (3 + j) * each, each)
                k = nodes[layer, i]
                values = kept[(layer * b.size + i) * length :][:length]
                _pull(
                    tools, bias, theta[k], weights[k], code, change[:, k], mass[:, k], n, step,
                    memory, size, (5 + i) * each + step, rest, values, mine[:, k],
                )  # fmt: skip
            for c in range(count):
                for i in range(b.size):
                    p = c * size + 4 * each + step
                    add(memory, p, b.dtype.type(1), p + (1 + i) * each, each)
        for c in range(count):
            write(memory, c * size + 4 * each + step, step, n, start[c], lo)


@njit(**LEAN)
def _pull(
    tools, bias, theta, weights, code, change, mass, n, step, memory, size, out, rest, values, found
):
    """d(D_xFᵀq) of each direction at ``out``, and what ``found`` (C, M, p + 1) gains."""
    d, count = (theta.shape[1] - bias) // 2, TOGETHER * n
    z, tau, g, bent, line, turn = (
        rest, rest + count, rest + 2 * count, rest + 3 * count, rest + 4 * count, rest + 5 * count,
    )  # fmt: skip
    scratch = memory[rest + 6 * count : rest + 7 * count]
    slopes, curved = memory[g : g + count], memory[bent : bent + count]
    t = memory[tau : tau + count]
    kappa, dt = memory[line : line + count], memory[turn : turn + count]
    numbers, width = rest + 7 * count, 6 * d + 2
    sums = numbers + TOGETHER * width
    q, dq = 2 * d * step + step, 3 * d * step + step
    for c in range(change.shape[0]):
        memory[c * size + out : c * size + out + d * step] = 0
    for first in range(0, theta.shape[0], TOGETHER):
        _gather(theta, bias, first, memory, numbers, 2 * d + 2)
        if values.size:
            s = values[first * n : first * n + count]
            call(tools.slope_from_value, (s, slopes))
            call(tools.curvature, (code, s, s, slopes, curved))
        else:
            s = scratch
            call(
                tools.form,
                (memory, z, n, TOGETHER, memory, numbers + 1, 2 * d + 2, memory, d * step, step, d,
                 n),
            )  # fmt: skip
            call(tools.slope, (memory[z : z + count], s, slopes))
            call(tools.curvature, (code, memory[z : z + count], s, slopes, curved))
        call(
            tools.form,
            (memory, tau, n, TOGETHER, memory, numbers + d + 2, 2 * d + 2, memory, q, step, d, n),
        )
        for i in range(count):
            curved[i] *= t[i]
            t[i] *= slopes[i]
        for c in range(change.shape[0]):
            here = c * size
            _gather_pull(theta, weights, change[c], mass[c], bias, first, memory, numbers)
            call(
                tools.form,
                (memory, line, n, TOGETHER, memory, numbers + 1, width, memory, here, step, 2 * d,
                 n),
            )  # fmt: skip
            call(
                tools.form,
                (memory, turn, n, TOGETHER, memory, numbers + 2 * d + 2, width, memory, here + q,
                 step, 2 * d, n),
            )  # fmt: skip
            for i in range(count):
                dt[i] = dt[i] * slopes[i] + curved[i] * kappa[i]
                kappa[i] *= slopes[i]
            aw, tails = numbers + 4 * d + 2, numbers + 5 * d + 2
            call(
                tools.increase,
                (memory, here + out, step, d, memory, aw, width, memory, turn, n, TOGETHER, n),
            )
            call(
                tools.increase,
                (memory, here + out, step, d, memory, tails, width, memory, tau, n, TOGETHER, n),
            )
            _correlations(
                tools, bias, theta, first, n, step, memory, here, here + q, here + dq, s, line,
                turn, tau, sums, found[c],
            )  # fmt: skip


@njit(**LEAN)
def _correlations(
    tools, bias, theta, first, n, step, memory, dz, q, dq, s, line, turn, tau, sums, found
):
    """found_j += (σ dq + σ′κ q, t dx + dt x, dt) and ⟨σ dq, u⟩ + ⟨t dx, w⟩, summed over data."""
    d = (theta.shape[1] - bias) // 2
    full, some = 2 * d + 1, TOGETHER
    fixed = sums + some * full
    memory[sums : fixed + some * full] = 0
    call(tools.correlate, (memory, fixed, full, s, 0, n, some, memory, dq, step, d, n))
    call(tools.correlate, (memory, fixed + d, full, memory, tau, n, some, memory, dz, step, d, n))
    call(tools.correlate, (memory, sums, full, memory, line, n, some, memory, q, step, d, n))
    call(
        tools.correlate,
        (memory, sums + d, full, memory, turn, n, some, memory, dz + d * step, step, d + bias, n),
    )
    for j in range(min(some, theta.shape[0] - first)):
        at, row = j * full, first + j
        for c in range(2 * d):
            held = memory[fixed + at + c]
            found[row, c] += held + memory[sums + at + c]
            found[row, theta.shape[1]] += held * theta[row, c]
        if bias:
            found[row, 2 * d] += memory[sums + at + 2 * d]


@njit(**LEAN)
def _gather(theta, bias, first, memory, at, width):
    """For each particle b, w, and with room 0, u; zeros beyond the last one."""
    d = (theta.shape[1] - bias) // 2
    memory[at : at + TOGETHER * width] = 0
    for j in range(min(TOGETHER, theta.shape[0] - first)):
        row, k = at + j * width, first + j
        memory[row] = theta[k, 2 * d] if bias else 0
        for c in range(d):
            memory[row + 1 + c] = theta[k, d + c]
            if width > d + 1:
                memory[row + d + 2 + c] = theta[k, c]


@njit(**LEAN)
def _gather_push(theta, weights, change, mass, bias, first, memory, at):
    """For each particle db, w, dw | a·u, a·du + da·u; zeros beyond the last one."""
    d = (theta.shape[1] - bias) // 2
    width = 4 * d + 1
    memory[at : at + TOGETHER * width] = 0
    for j in range(min(TOGETHER, theta.shape[0] - first)):
        row, k = at + j * width, first + j
        memory[row] = change[k, 2 * d] if bias else 0
        for c in range(d):
            memory[row + 1 + c] = theta[k, d + c]
            memory[row + d + 1 + c] = change[k, d + c]
            memory[row + 2 * d + 1 + c] = weights[k] * theta[k, c]
            memory[row + 3 * d + 1 + c] = weights[k] * change[k, c] + mass[k] * theta[k, c]


@njit(**LEAN)
def _gather_pull(theta, weights, change, mass, bias, first, memory, at):
    """For each particle db, w, dw | 0, du, u | a·w, a·dw + da·w; zeros beyond the last one."""
    d = (theta.shape[1] - bias) // 2
    width = 6 * d + 2
    memory[at : at + TOGETHER * width] = 0
    for j in range(min(TOGETHER, theta.shape[0] - first)):
        row, k = at + j * width, first + j
        memory[row] = change[k, 2 * d] if bias else 0
        for c in range(d):
            w, dw = theta[k, d + c], change[k, d + c]
            memory[row + 1 + c] = w
            memory[row + d + 1 + c] = dw
            memory[row + 2 * d + 2 + c] = change[k, c]
            memory[row + 3 * d + 2 + c] = theta[k, c]
            memory[row + 4 * d + 2 + c] = weights[k] * w
            memory[row + 5 * d + 2 + c] = weights[k] * dw + mass[k] * w
