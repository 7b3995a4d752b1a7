"""Whole passes through depth for f(x, (u, w, b)) = u σ(w·x + b), one block of data at a time.

A block of data crosses all layers inside one core's cache: coordinates are rows (structure of
arrays), a few particles at a time, and products run in ``tiles``. Beyond the arrays returned, a
pass holds a workspace and a gradient per thread. The forward pass may also keep σ for what follows
(adjoints, tangents), up to KEEP bytes and where σ′ follows from σ; otherwise they compute it again,
which doubles their time in few dimensions. Each thread owns fixed blocks, and gradients are summed
in the order of threads: at a given thread count a pass is repeatable bit for bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels.activate import FROM_VALUE
from mfpde.kernels.lending import lent
from mfpde.kernels.narrow import TOGETHER
from mfpde.kernels.native import LEAN, call
from mfpde.kernels.pools import shared
from mfpde.kernels.tiles import BYTES, NARROW
from mfpde.kernels.tools import tools as tools_of
from mfpde.kernels.totals import add_all
from mfpde.kernels.workspace import Blocks, Kept, add, particles_together, read, scale, write

KEEP = 1 << 27  # bytes of σ kept by a forward pass for the passes that follow


def forward(code, bias, depth, theta, weights, start, keep=False):
    """Stage states (L, S, N, d), hidden path (L + 1, N, d) from X(0) = start, and σ or None."""
    n, d = start.shape
    stages = lent((depth.steps, depth.tableau.stages, n, d), theta.dtype)
    path = lent((depth.steps + 1, n, d), theta.dtype)
    path[0] = start
    kept = _keep(code, depth, theta, n) if keep else None
    plan = planned(code, bias, depth, theta, weights)
    blocks, work, store = dealt(depth, theta, path, kept)
    arguments = (*plan, blocks.length, work, store, stages, path)
    shared(_forward_share, blocks.threads, *arguments)
    return stages, path, kept


def adjoint(code, bias, depth, theta, weights, stages, terminal, kept=None):
    """Cotangents (L, S, N, d), adjoint path (L + 1, N, d) and Σ_e D_θ fᵀQ_e (K, M, p)."""
    cotangents = lent(stages.shape, theta.dtype)
    path = lent((depth.steps + 1, *terminal.shape), theta.dtype)
    path[-1] = terminal
    plan = planned(code, bias, depth, theta, weights)
    blocks, work, store = dealt(depth, theta, path, kept)
    gradient = lent(theta.shape, theta.dtype)
    others = lent((blocks.threads - 1, *theta.shape), theta.dtype)
    arguments = (*plan, blocks.length, work, store, stages, cotangents, path, gradient, others)
    shared(_adjoint_share, blocks.threads, *arguments)
    add_all(others, gradient)
    return cotangents, path, gradient


def planned(code, bias, depth, theta, weights):
    """The tableau times the step, in the precision of θ, and what else a pass reads."""
    a = np.ascontiguousarray(depth.step * depth.tableau.a, dtype=theta.dtype)
    b = np.ascontiguousarray(depth.step * depth.tableau.b, dtype=theta.dtype)
    tools = tools_of(code, theta.dtype)
    return tools, bias, a, b, depth.stage_nodes, theta, weights


def dealt(depth, theta, path, kept):
    """Blocks of data, a workspace per thread, and the kept σ per block (none: rows of none).

    Rows of a workspace: two states, a stage and ones, the stages' slopes; z, s, g; numbers.
    """
    n, d = path.shape[1:]
    blocks = Blocks(n, theta.size, theta.dtype) if kept is None else kept.blocks
    store = np.empty((blocks.count, 0), theta.dtype) if kept is None else kept.values
    some = particles_together(d)
    numbers = some * (5 * d + 2)
    rows = (
        d * (3 + depth.tableau.stages) + 1 + 3 * some + numbers // 16 + 1
    )  # a row holds 16 or more
    return blocks, blocks.workspace(rows, theta.dtype), store


def kept_bytes(code, depth, theta, data):
    """Bytes of σ that a forward pass keeps: at every evaluation, or none where that is too much."""
    blocks, entries = _entries(depth, theta, data)
    size = blocks.count * entries * theta.itemsize
    return size if code in FROM_VALUE and size <= KEEP else 0


def _keep(code, depth, theta, data):
    """Room for σ, or None."""
    if not kept_bytes(code, depth, theta, data):
        return None
    return Kept.of(*_entries(depth, theta, data), theta.dtype)


def _entries(depth, theta, data):
    """Blocks of data, and how often σ is taken in one, in whole groups of particles."""
    blocks, some = Blocks(data, theta.size, theta.dtype), particles_together(theta.shape[2] // 2)
    return blocks, depth.stage_nodes.size * some * -(-theta.shape[1] // some) * blocks.length


@njit(**LEAN)
def _forward_share(t, tools, bias, a, b, nodes, theta, weights, n, work, store, stages, path):
    """The blocks t, t + T, … of thread t."""
    memory, d, some = work[t], path.shape[2], particles_together(path.shape[2])
    memory[:] = 0
    step = n + BYTES // work.itemsize  # of rows of coordinates: rows of n would share cache sets
    x, z, slopes = 0, d * step, 2 * d * step
    rest = slopes + b.size * d * step
    for block in range(t, store.shape[0], work.shape[0]):
        lo, kept = block * n, store[block]
        size = kept.size // nodes.size
        read(memory, x, step, n, path[0], lo)
        for layer in range(nodes.shape[0]):
            for i in range(b.size):
                scale(memory, z, b.dtype.type(1), x, d * step)
                for j in range(i):
                    add(memory, z, a[i, j], slopes + j * d * step, d * step)
                write(memory, z, step, n, stages[layer, i], lo)
                k, out = nodes[layer, i], slopes + i * d * step
                values = kept[(layer * b.size + i) * size :][:size]
                _field(
                    tools, bias, theta[k], weights[k], some, n, step, memory, z, out, rest, values
                )
            for i in range(b.size):
                add(memory, x, b[i], slopes + i * d * step, d * step)
            write(memory, x, step, n, path[layer + 1], lo)


@njit(**LEAN)
def _adjoint_share(
    t, tools, bias, a, b, nodes, theta, weights, n, work, store, stages, cotangents, path, gradient,
    others,
):  # fmt: skip
    """The blocks t, t + T, … of thread t, and its own gradient: the first, or one of the others."""
    memory, d, last, some = (
        work[t],
        path.shape[2],
        nodes.shape[0],
        particles_together(path.shape[2]),
    )
    step = n + BYTES // work.itemsize
    p, q, x, pulls = 0, d * step, 2 * d * step, (3 * d + 1) * step
    mine = gradient if t == 0 else others[t - 1]
    mine[:] = memory[:] = 0
    memory[pulls - step : pulls] = 1  # below the coordinates of x: the coordinate of the bias
    rest = pulls + b.size * d * step
    for block in range(t, store.shape[0], work.shape[0]):
        lo, kept = block * n, store[block]
        size = kept.size // nodes.size
        read(memory, p, step, n, path[last], lo)
        for layer in range(last - 1, -1, -1):
            for i in range(b.size - 1, -1, -1):
                read(memory, x, step, n, stages[layer, i], lo)
                scale(memory, q, b[i], p, d * step)
                for j in range(i + 1, b.size):
                    add(memory, q, a[j, i], pulls + j * d * step, d * step)
                write(memory, q, step, n, cotangents[layer, i], lo)
                k, out = nodes[layer, i], pulls + i * d * step
                values = kept[(layer * b.size + i) * size :][:size]
                _backward(
                    tools, bias, theta[k], weights[k], some, n, step, memory, x, q, out, rest,
                    values, mine[k],
                )  # fmt: skip
            for i in range(b.size):
                add(memory, p, b.dtype.type(1), pulls + i * d * step, d * step)
            write(memory, p, step, n, path[layer], lo)


@njit(**LEAN)
def _field(tools, bias, theta, weights, some, n, step, memory, x, out, rest, values):
    """out = Σ_j a_j u_j σ(w_j·x + b_j); scratch begins at ``rest``; σ goes to values if any."""
    d, count = (theta.shape[1] - bias) // 2, some * n
    z, scratch = rest, memory[rest + count : rest + 2 * count]
    numbers, width = rest + 2 * count, 2 * d + 1
    w, au = numbers + 1, numbers + 1 + d
    memory[out : out + d * step] = 0
    for first in range(0, theta.shape[0], some):
        _gather(theta, weights, bias, first, some, memory, numbers)
        call(tools.form, (memory, z, n, some, memory, w, width, memory, x, step, d, n))
        s = values[first * n : first * n + count] if values.size else scratch
        call(tools.sigma, (memory[z : z + count], s))
        call(tools.increase, (memory, out, step, d, memory, au, width, s, 0, n, some, n))


@njit(**LEAN)
def _backward(
    tools, bias, theta, weights, some, n, step, memory, x, q, out, rest, values, gradient
):
    """out = D_xFᵀq, gradient += Σ_i D_θ fᵀq_i; scratch begins at ``rest``."""
    d, count = (theta.shape[1] - bias) // 2, some * n
    z, g, scratch = rest, rest + count, memory[rest + 2 * count : rest + 3 * count]
    numbers, width = rest + 3 * count, 3 * d + 1
    w, u, aw = numbers + 1, numbers + 1 + d, numbers + 1 + 2 * d
    change, full, size = numbers + some * width, 2 * d + 1, theta.shape[1]
    memory[out : out + d * step] = 0
    for first in range(0, theta.shape[0], some):
        _gather_back(theta, weights, bias, first, some, memory, numbers)
        if values.size:
            s, soon = values[first * n : first * n + count], values[first * n + count :]
            call(tools.slope_from_value, (s, memory[g : g + count]))
        else:
            s = soon = scratch
            call(tools.form, (memory, z, n, some, memory, w, width, memory, x, step, d, n))
            call(tools.slope, (memory[z : z + count], s, memory[g : g + count]))
        if d <= NARROW:
            for j in range(0, some, TOGETHER):
                pair = numbers + j * width, s, j * n, count, g + j * n, n, x, q, out, step
                call(tools.pull_pair, (d, memory, *pair, change + j * (2 * d + 1)))
        else:
            call(
                tools.scale_by,
                (memory, g, n, some, memory, u, width, memory, q, step, d, n, soon),
            )
            call(
                tools.increase,
                (memory, out, step, d, memory, aw, width, memory, g, n, some, n),
            )
            memory[change : change + some * full] = 0
            call(tools.correlate, (memory, change, full, s, 0, n, some, memory, q, step, d, n))
            call(
                tools.correlate,
                (memory, change + d, full, memory, g, n, some, memory, x, step, d + bias, n),
            )
        for j in range(min(some, theta.shape[0] - first)):
            for c in range(size):
                gradient[first + j, c] += memory[change + j * full + c]


@njit(**LEAN)
def _gather(theta, weights, bias, first, some, memory, at):
    """For each particle b, w, a·u; zeros beyond the last one."""
    d = (theta.shape[1] - bias) // 2
    for j in range(some):
        row, k = at + j * (2 * d + 1), first + j
        if k >= theta.shape[0]:
            memory[row : row + 2 * d + 1] = 0
            continue
        memory[row] = theta[k, 2 * d] if bias else 0
        for c in range(d):
            memory[row + 1 + c] = theta[k, d + c]
            memory[row + 1 + d + c] = weights[k] * theta[k, c]


@njit(**LEAN)
def _gather_back(theta, weights, bias, first, some, memory, at):
    """For each particle b, w, u, a·w; zeros beyond the last one."""
    d = (theta.shape[1] - bias) // 2
    for j in range(some):
        row, k = at + j * (3 * d + 1), first + j
        if k >= theta.shape[0]:
            memory[row : row + 3 * d + 1] = 0
            continue
        memory[row] = theta[k, 2 * d] if bias else 0
        for c in range(d):
            memory[row + 1 + c] = theta[k, d + c]
            memory[row + 1 + d + c] = theta[k, c]
            memory[row + 1 + 2 * d + c] = weights[k] * theta[k, d + c]
