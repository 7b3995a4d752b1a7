"""Whole passes through depth for f(x, (u, w, b)) = u σ(w·x + b), one block of data at a time.

A block of data crosses all layers inside one core's cache: coordinates are rows (structure of
arrays), a few particles at a time, and products run in ``tiles``. Beyond the arrays returned, a
pass holds a workspace and a gradient per thread. The forward pass may also keep σ for the adjoint,
up to KEEP bytes and where σ′ follows from σ; otherwise the adjoint computes it again, which costs
a third more. Each thread owns fixed blocks and gradients are summed in the order of threads: at
a given thread count a pass is repeatable bit for bit.
"""

from __future__ import annotations

from typing import ClassVar

import numba
import numpy as np
from numba import njit, prange

from mfpde.kernels import PARALLEL_FROM
from mfpde.kernels.activate import FROM_VALUE, sigma_chunk, slope_chunk, slope_from_value
from mfpde.kernels.tiles import ADD, BYTES, SET, TIMES, combine, correlate

LONGEST = 128  # data in a block
KEEP = 1 << 28  # bytes of σ kept between a forward pass and its adjoint


@njit(cache=True)
def _particles(d):
    """Particles at a time: few keep all in a first-level cache, many spare the rows of x."""
    return 8 if d <= 16 else 16


class Blocks:
    """How N data are dealt to threads: ``count`` blocks of ``length``, a whole number of vectors.

    The data are dealt evenly; the last block is filled up with data that no result reads.
    """

    def __init__(self, data: int, work: int, dtype: np.dtype) -> None:
        lanes = BYTES // dtype.itemsize
        threads = numba.get_num_threads() if data * work >= PARALLEL_FROM else 1
        self.threads = max(1, min(threads, data // lanes))
        count = self.threads * -(-data // (self.threads * LONGEST))
        self.length = lanes * -(-data // (count * lanes))
        self.count = -(-data // self.length)
        self.threads = min(self.threads, self.count)

    def workspace(self, rows: int, dtype: np.dtype) -> np.ndarray:
        """For each thread ``rows`` rows of a block, aligned, one vector apart; shape (T, size)."""
        lanes = BYTES // dtype.itemsize
        size = rows * (self.length + lanes)
        raw = np.zeros(self.threads * size + lanes, dtype)
        start = (-raw.ctypes.data % BYTES) // dtype.itemsize
        return raw[start : start + self.threads * size].reshape(self.threads, size)


class Kept:
    """σ at every evaluation, one row for each block as the forward pass dealt them.

    The memory of the last one dropped is used again: fresh pages cost as much as the pass saves.
    """

    spare: ClassVar[list[np.ndarray]] = []

    def __init__(self, blocks: Blocks, entries: int, dtype: np.dtype) -> None:
        self.blocks = blocks
        size = blocks.count * entries
        fits = Kept.spare and Kept.spare[0].size >= size and Kept.spare[0].dtype == dtype
        self.memory = Kept.spare.pop() if fits else np.empty(size, dtype)
        self.values = self.memory[:size].reshape(blocks.count, entries)

    def __del__(self) -> None:
        Kept.spare[:] = [self.memory]


def forward(code, bias, depth, theta, weights, start, keep=False):
    """Stage states (L, S, N, d), hidden path (L + 1, N, d) from X(0) = start, and σ or None."""
    n, d = start.shape
    stages = np.empty((depth.steps, depth.tableau.stages, n, d), theta.dtype)
    path = np.empty((depth.steps + 1, n, d), theta.dtype)
    path[0] = start
    blocks = Blocks(n, theta.size, theta.dtype)
    kept = _keep(blocks, depth, theta, d) if keep and code in FROM_VALUE else None
    store = np.empty((blocks.count, 0), theta.dtype) if kept is None else kept.values
    work = blocks.workspace(_rows(d, depth.tableau.stages), theta.dtype)
    plan = _plan(code, bias, depth, theta, weights)
    if blocks.threads > 1:
        _forward_parallel(*plan, blocks.length, work, store, stages, path)
    else:
        _forward_share(0, *plan, blocks.length, work, store, stages, path)
    return stages, path, kept


def adjoint(code, bias, depth, theta, weights, stages, terminal, kept=None):
    """Cotangents (L, S, N, d), adjoint path (L + 1, N, d) and Σ_e D_θ fᵀQ_e (K, M, p)."""
    n, d = terminal.shape
    cotangents = np.empty_like(stages)
    path = np.empty((depth.steps + 1, n, d), theta.dtype)
    path[-1] = terminal
    blocks = Blocks(n, theta.size, theta.dtype) if kept is None else kept.blocks
    store = np.empty((blocks.count, 0), theta.dtype) if kept is None else kept.values
    work = blocks.workspace(_rows(d, depth.tableau.stages), theta.dtype)
    gradient = np.zeros((blocks.threads, *theta.shape), theta.dtype)
    plan = _plan(code, bias, depth, theta, weights)
    if blocks.threads > 1:
        _adjoint_parallel(*plan, blocks.length, work, store, stages, cotangents, path, gradient)
    else:
        _adjoint_share(0, *plan, blocks.length, work, store, stages, cotangents, path, gradient)
    for other in gradient[1:]:
        gradient[0] += other
    return cotangents, path, gradient[0]


def _keep(blocks, depth, theta, d):
    """Room for σ at every evaluation, or None where that is more than KEEP bytes."""
    some = _particles(d)
    entries = depth.stage_nodes.size * some * -(-theta.shape[1] // some) * blocks.length
    if blocks.count * entries * theta.itemsize > KEEP:
        return None
    return Kept(blocks, entries, theta.dtype)


def _rows(d, stages):
    """Rows of a workspace: two states, a stage and ones, the stages' slopes; z, s, g; numbers."""
    some = _particles(d)
    numbers = some * (5 * d + 2)
    return d * (3 + stages) + 1 + 3 * some + numbers // 16 + 1  # a row holds 16 or more


def _plan(code, bias, depth, theta, weights):
    """The tableau times the step, in the precision of θ, and what else a pass reads."""
    a = np.ascontiguousarray(depth.step * depth.tableau.a, dtype=theta.dtype)
    b = np.ascontiguousarray(depth.step * depth.tableau.b, dtype=theta.dtype)
    return code, bias, a, b, depth.stage_nodes, theta, weights


@njit(cache=True, parallel=True, error_model="numpy")
def _forward_parallel(code, bias, a, b, nodes, theta, weights, n, work, store, stages, path):
    for t in prange(work.shape[0]):
        _forward_share(t, code, bias, a, b, nodes, theta, weights, n, work, store, stages, path)


@njit(cache=True, parallel=True, error_model="numpy")
def _adjoint_parallel(
    code, bias, a, b, nodes, theta, weights, n, work, store, stages, cotangents, path, gradient
):
    for t in prange(work.shape[0]):
        _adjoint_share(
            t, code, bias, a, b, nodes, theta, weights, n, work, store, stages, cotangents, path,
            gradient,
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _forward_share(t, code, bias, a, b, nodes, theta, weights, n, work, store, stages, path):
    """The blocks t, t + T, … of thread t."""
    memory, d, some = work[t], path.shape[2], _particles(path.shape[2])
    step = n + BYTES // work.itemsize  # of rows of coordinates: rows of n would share cache sets
    x, z, slopes = 0, d * step, 2 * d * step
    rest = slopes + b.size * d * step
    for block in range(t, store.shape[0], work.shape[0]):
        lo, kept = block * n, store[block]
        size = kept.size // nodes.size
        _read(memory, x, step, n, path[0], lo)
        for layer in range(nodes.shape[0]):
            for i in range(b.size):
                _start(memory, z, b.dtype.type(1), x, d * step)
                for j in range(i):
                    _add(memory, z, a[i, j], slopes + j * d * step, d * step)
                _write(memory, z, step, n, stages[layer, i], lo)
                k, out = nodes[layer, i], slopes + i * d * step
                values = kept[(layer * b.size + i) * size :][:size]
                _field(
                    code, bias, theta[k], weights[k], some, n, step, memory, z, out, rest, values
                )
            for i in range(b.size):
                _add(memory, x, b[i], slopes + i * d * step, d * step)
            _write(memory, x, step, n, path[layer + 1], lo)


@njit(cache=True, error_model="numpy")
def _adjoint_share(
    t, code, bias, a, b, nodes, theta, weights, n, work, store, stages, cotangents, path, gradient
):
    """The blocks t, t + T, … of thread t, and its own gradient."""
    memory, d, last, some = work[t], path.shape[2], nodes.shape[0], _particles(path.shape[2])
    step = n + BYTES // work.itemsize
    p, q, x, pulls = 0, d * step, 2 * d * step, (3 * d + 1) * step
    memory[pulls - step : pulls] = 1  # below the coordinates of x: the coordinate of the bias
    rest = pulls + b.size * d * step
    for block in range(t, store.shape[0], work.shape[0]):
        lo, kept = block * n, store[block]
        size = kept.size // nodes.size
        _read(memory, p, step, n, path[last], lo)
        for layer in range(last - 1, -1, -1):
            for i in range(b.size - 1, -1, -1):
                _read(memory, x, step, n, stages[layer, i], lo)
                _start(memory, q, b[i], p, d * step)
                for j in range(i + 1, b.size):
                    _add(memory, q, a[j, i], pulls + j * d * step, d * step)
                _write(memory, q, step, n, cotangents[layer, i], lo)
                k, out = nodes[layer, i], pulls + i * d * step
                values = kept[(layer * b.size + i) * size :][:size]
                _backward(
                    code, bias, theta[k], weights[k], some, n, step, memory, x, q, out, rest,
                    values, gradient[t, k],
                )  # fmt: skip
            for i in range(b.size):
                _add(memory, p, b.dtype.type(1), pulls + i * d * step, d * step)
            _write(memory, p, step, n, path[layer], lo)


@njit(cache=True, error_model="numpy")
def _field(code, bias, theta, weights, some, n, step, memory, x, out, rest, values):
    """out = Σ_j a_j u_j σ(w_j·x + b_j); scratch begins at ``rest``; σ goes to values if any."""
    d, count = (theta.shape[1] - bias) // 2, some * n
    z, scratch = rest, memory[rest + count : rest + 2 * count]
    numbers, width = rest + 2 * count, 2 * d + 1
    w, au = numbers + 1, numbers + 1 + d
    memory[out : out + d * step] = 0
    for first in range(0, theta.shape[0], some):
        _gather(theta, weights, bias, first, some, memory, numbers)
        combine(SET, memory, z, n, some, memory, w, width, 1, memory, x, step, d, n)
        s = values[first * n : first * n + count] if values.size else scratch
        sigma_chunk(code, memory[z : z + count], s)
        combine(ADD, memory, out, step, d, memory, au, 1, width, s, 0, n, some, n)


@njit(cache=True, error_model="numpy")
def _backward(code, bias, theta, weights, some, n, step, memory, x, q, out, rest, values, gradient):
    """out = D_xFᵀq, gradient += Σ_i D_θ fᵀq_i; scratch begins at ``rest``."""
    d, count = (theta.shape[1] - bias) // 2, some * n
    z, g, scratch = rest, rest + count, memory[rest + 2 * count : rest + 3 * count]
    numbers, width = rest + 3 * count, 3 * d + 1
    w, u, aw = numbers + 1, numbers + 1 + d, numbers + 1 + 2 * d
    change, size = numbers + some * width, theta.shape[1]
    memory[out : out + d * step] = 0
    for first in range(0, theta.shape[0], some):
        _gather_back(theta, weights, bias, first, some, memory, numbers)
        if values.size:
            s = values[first * n : first * n + count]
            slope_from_value(code, s, memory[g : g + count])
        else:
            s = scratch
            combine(SET, memory, z, n, some, memory, w, width, 1, memory, x, step, d, n)
            slope_chunk(code, memory[z : z + count], s, memory[g : g + count])
        combine(TIMES, memory, g, n, some, memory, u, width, 1, memory, q, step, d, n)
        combine(ADD, memory, out, step, d, memory, aw, 1, width, memory, g, n, some, n)
        memory[change : change + some * size] = 0
        correlate(memory, change, size, s, 0, n, some, memory, q, step, d, n)
        correlate(memory, change + d, size, memory, g, n, some, memory, x, step, d + bias, n)
        for j in range(min(some, theta.shape[0] - first)):
            for c in range(size):
                gradient[first + j, c] += memory[change + j * size + c]


@njit(cache=True, error_model="numpy")
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
        for c in range(d):
            memory[row + 1 + d + c] = weights[k] * theta[k, c]


@njit(cache=True, error_model="numpy")
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
        for c in range(d):
            memory[row + 1 + d + c] = theta[k, c]
        for c in range(d):
            memory[row + 1 + 2 * d + c] = weights[k] * theta[k, d + c]


@njit(cache=True, error_model="numpy")
def _start(memory, out, scale, x, count):
    for i in range(count):
        memory[out + i] = scale * memory[x + i]


@njit(cache=True, error_model="numpy")
def _add(memory, out, scale, x, count):
    if scale != 0:
        for i in range(count):
            memory[out + i] += scale * memory[x + i]


@njit(cache=True, error_model="numpy")
def _read(memory, at, step, n, rows, lo):
    """Coordinates of the data lo, lo + 1, … as rows; zeros beyond the last datum."""
    count = min(n, rows.shape[0] - lo)
    for c in range(rows.shape[1]):
        for i in range(count):
            memory[at + c * step + i] = rows[lo + i, c]
        for i in range(count, n):
            memory[at + c * step + i] = 0


@njit(cache=True, error_model="numpy")
def _write(memory, at, step, n, rows, lo):
    for i in range(min(n, rows.shape[0] - lo)):
        for c in range(rows.shape[1]):
            rows[lo + i, c] = memory[at + c * step + i]
