"""The tangent pass of f(x, (u, w, b)) = u σ(w·x + b): how X(1) moves with the parameters.

Along a change (du, dw, db) of θ and dx of the state, an evaluation moves by

    Σ_j a_j (u_j t_j + du_j σ_j),    t_j = σ′_j (w_j·dx + dw_j·x + db_j),

block by block of data as in ``shl``, and with the σ that the forward pass kept.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels.native import LEAN, call
from mfpde.kernels.pools import shared
from mfpde.kernels.shl import dealt, planned
from mfpde.kernels.tiles import BYTES
from mfpde.kernels.workspace import add, particles_together, read, scale, write


def tangent(code, bias, depth, theta, weights, stages, change, kept=None):
    """The change of X(1), (N, d), to first order in a change of θ (K, M, p)."""
    path = np.zeros((2, *stages.shape[2:]), theta.dtype)  # of X(0) and X(1)
    plan = planned(code, bias, depth, theta, weights)
    change = np.ascontiguousarray(change, theta.dtype)
    blocks, work, store = dealt(depth, theta, path, kept)
    arguments = (*plan, change, blocks.length, work, store, stages, path[1])
    shared(_tangent_share, blocks.threads, *arguments)
    return path[1]


@njit(**LEAN)
def _tangent_share(
    t, tools, bias, a, b, nodes, theta, weights, change, n, work, store, stages, end
):
    """The blocks t, t + T, … of thread t."""
    memory, d, some = work[t], end.shape[1], particles_together(end.shape[1])
    memory[:] = 0
    step = n + BYTES // work.itemsize
    ones, x, dz = 0, step, (d + 1) * step  # neighbours: rows of one matrix
    dx, slopes = dz + d * step, dz + 2 * d * step
    memory[ones:x] = 1
    rest = slopes + b.size * d * step
    for block in range(t, store.shape[0], work.shape[0]):
        lo, kept = block * n, store[block]
        size = kept.size // nodes.size
        memory[dx:slopes] = 0
        for layer in range(nodes.shape[0]):
            for i in range(b.size):
                read(memory, x, step, n, stages[layer, i], lo)
                scale(memory, dz, b.dtype.type(1), dx, d * step)
                for j in range(i):
                    add(memory, dz, a[i, j], slopes + j * d * step, d * step)
                k, out = nodes[layer, i], slopes + i * d * step
                values = kept[(layer * b.size + i) * size :][:size]
                _push(
                    tools, bias, theta[k], weights[k], change[k], some, n, step, memory, ones, out,
                    rest, values,
                )  # fmt: skip
            for i in range(b.size):
                add(memory, dx, b[i], slopes + i * d * step, d * step)
        write(memory, dx, step, n, end, lo)


@njit(**LEAN)
def _push(tools, bias, theta, weights, change, some, n, step, memory, ones, out, rest, values):
    """out = Σ_j a_j (u_j t_j + du_j σ_j); rows 1, x, dx begin at ``ones``, scratch at ``rest``."""
    d, count = (theta.shape[1] - bias) // 2, some * n
    z, g, scratch = rest, rest + count, memory[rest + 2 * count : rest + 3 * count]
    numbers, width = rest + 3 * count, 5 * d + 2
    w, line = numbers + 1, numbers + d + 1
    au, adu = line + 2 * d + 1, line + 3 * d + 1
    memory[out : out + d * step] = 0
    for first in range(0, theta.shape[0], some):
        _gather(theta, weights, change, bias, first, some, memory, numbers)
        if values.size:
            s, soon = values[first * n : first * n + count], values[first * n + count :]
            call(tools.slope_from_value, (s, memory[g : g + count]))
        else:
            s = soon = scratch
            call(
                tools.form,
                (memory, z, n, some, memory, w, width, memory, ones + step, step, d, n),
            )
            call(tools.slope, (memory[z : z + count], s, memory[g : g + count]))
        call(tools.increase, (memory, out, step, d, memory, adu, width, s, 0, n, some, n))
        call(
            tools.scale_by,
            (memory, g, n, some, memory, line, width, memory, ones, step, 2 * d + 1, n, soon),
        )
        call(tools.increase, (memory, out, step, d, memory, au, width, memory, g, n, some, n))


@njit(**LEAN)
def _gather(theta, weights, change, bias, first, some, memory, at):
    """For each particle b, w | db, dw, w | a·u, a·du; zeros beyond the last one."""
    d = (theta.shape[1] - bias) // 2
    for j in range(some):
        row, k = at + j * (5 * d + 2), first + j
        if k >= theta.shape[0]:
            memory[row : row + 5 * d + 2] = 0
            continue
        memory[row] = theta[k, 2 * d] if bias else 0
        memory[row + d + 1] = change[k, 2 * d] if bias else 0
        for c in range(d):
            memory[row + 1 + c] = memory[row + 2 * d + 2 + c] = theta[k, d + c]
            memory[row + d + 2 + c] = change[k, d + c]
            memory[row + 3 * d + 2 + c] = weights[k] * theta[k, c]
            memory[row + 4 * d + 2 + c] = weights[k] * change[k, c]
