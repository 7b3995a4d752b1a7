"""The adjoint of u σ(w·x + b) in few dimensions: one sweep over the data, all sums in registers.

Each product of ``tiles`` reads its rows again. In up to NARROW dimensions two particles fit into
the registers at once with everything that they meet on the way.
"""

from __future__ import annotations

import llvmlite.ir as ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from mfpde.kernels.native import LEAN
from mfpde.kernels.tiles import BYTES, CONTRACT, Rows, accumulate, multiply_add, offsets

TOGETHER = 2  # particles; more would not fit into sixteen registers


@intrinsic(prefer_literal=True)
def _pull(typingctx, dim, memory, numbers, s, first, ahead, g, n, x, q, out, step, change):
    """One pair of particles; see ``pull_pair``."""
    if not isinstance(dim, types.IntegerLiteral):
        return None
    d = dim.literal_value

    def codegen(context, builder, signature, args):
        _, memory, numbers, s, first, ahead, g, n, x, q, out, step, change = args
        rows = Rows(context, builder, signature.args[1], memory, BYTES // 2)
        values = Rows(context, builder, signature.args[3], s, BYTES // 2)

        def at(offset, k):
            return builder.add(offset, ir.Constant(offset.type, k))

        particles = offsets(builder, numbers, ir.Constant(numbers.type, 3 * d + 1), TOGETHER)
        u = [[rows.splat(at(row, 1 + d + c)) for c in range(d)] for row in particles]
        aw = [[rows.splat(at(row, 1 + 2 * d + c)) for c in range(d)] for row in particles]
        lanes, zero = (ir.Constant(n.type, v) for v in (rows.vector.count, 0))
        sums = [rows.variables(2 * d + 1) for _ in range(TOGETHER)]
        xs, qs, outs = (offsets(builder, row, step, d) for row in (x, q, out))
        pairs = [(builder.add(first, k), builder.add(g, k)) for k in (zero, n)]
        with cgutils.for_range_slice(builder, zero, n, lanes) as (here, _):
            state = [rows.load(builder.add(row, here)) for row in xs]
            cotangent = [rows.load(builder.add(row, here)) for row in qs]
            pulled = [rows.load(builder.add(row, here)) for row in outs]
            for j, (value, slope) in enumerate(pairs):
                value, slope = builder.add(value, here), builder.add(slope, here)
                values.fetch(builder.add(value, ahead))
                t = builder.fmul(u[j][0], cotangent[0])
                for c in range(1, d):
                    t = multiply_add(builder, u[j][c], cotangent[c], t)
                t, value = builder.fmul(t, rows.load(slope)), values.load(value)
                for c in range(d):
                    pulled[c] = multiply_add(builder, aw[j][c], t, pulled[c])
                    accumulate(builder, sums[j][c], value, cotangent[c])
                    accumulate(builder, sums[j][d + c], t, state[c])
                last = sums[j][2 * d]
                builder.store(builder.fadd(builder.load(last), t, flags=CONTRACT), last)
            for row, vector in zip(outs, pulled, strict=True):
                rows.store(vector, builder.add(row, here))
        for k, slot in enumerate(slot for particle in sums for slot in particle):
            rows.put(rows.total(slot), at(change, k))
        return context.get_dummy_value()

    offset = types.intp
    given = (dim, memory, offset, s, *[offset] * 9)
    return types.void(*given), codegen


@njit(**LEAN)
def pull_pair(d, memory, numbers, s, first, ahead, g, n, x, q, out, step, change):
    """For two particles: out += Σ_j a_j w_j t_j and change_j = Σ_i (s q, t x, t) of t = g ⟨u, q⟩.

    Rows of numbers are (b, w, u, a·w) as ``shl`` gathers them; σ begins at
    s[first], σ′ at memory[g], rows of n entries; coordinates of x, q and out are ``step`` apart.
    Meanwhile the values ``ahead`` of those read here come in from memory.
    """
    if d == 1:
        _pull(1, memory, numbers, s, first, ahead, g, n, x, q, out, step, change)
    elif d == 2:
        _pull(2, memory, numbers, s, first, ahead, g, n, x, q, out, step, change)
    elif d == 3:
        _pull(3, memory, numbers, s, first, ahead, g, n, x, q, out, step, change)
    else:
        _pull(4, memory, numbers, s, first, ahead, g, n, x, q, out, step, change)
