"""Two products of thin matrices held by rows in one cache-resident workspace.

``combine`` forms rows as linear combinations of rows, ``correlate`` inner products of rows with
rows. They are written in vector instructions because no BLAS call pays at this size, and because
a loop vectoriser neither knows that rows of one array never overlap nor keeps a tile of sums in
registers. Vectors are 64 bytes wide, whatever the machine makes of them.
"""

from __future__ import annotations

import llvmlite.ir as ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

BYTES = 64  # rows must be this long, or a multiple of it
ADD, SET, TIMES = range(3)  # out += A·in, out = start + A·in, out *= A·in
CONTRACT = ("contract",)


class Rows:
    """Vector loads, stores and broadcasts at element offsets of a flat array."""

    def __init__(self, context, builder, kind, array, width=BYTES):
        self.builder, self.element = builder, context.get_data_type(kind.dtype)
        self.size = kind.dtype.bitwidth // 8
        self.vector = ir.VectorType(self.element, width // self.size)
        self.data = context.make_array(kind)(context, builder, array).data

    def _at(self, offset, kind):
        pointer = self.builder.gep(self.data, [offset])
        return self.builder.bitcast(pointer, kind.as_pointer())

    def load(self, offset):
        return self.builder.load(self._at(offset, self.vector), align=self.size)

    def store(self, value, offset):
        self.builder.store(value, self._at(offset, self.vector), align=self.size)

    def scalar(self, offset):
        return self.builder.load(self._at(offset, self.element))

    def splat(self, offset):
        return self.spread(self.scalar(offset))

    def spread(self, number):
        """A vector of equal entries."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, number, _i32(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), None)
        return self.builder.shuffle_vector(first, undefined, mask)

    def variables(self, count):
        """Vectors that a loop may change, all zero."""
        zero = ir.Constant(self.vector, None)
        slots = [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]
        for slot in slots:
            self.builder.store(zero, slot)
        return slots


def _i32(value):
    return ir.Constant(ir.IntType(32), value)


def offsets(builder, start, stride, count):
    out = [start]
    for _ in range(count - 1):
        out.append(builder.add(out[-1], stride))
    return out


def _accumulate(builder, slot, a, b):
    product = builder.fmul(a, b, flags=CONTRACT)
    builder.store(builder.fadd(builder.load(slot), product, flags=CONTRACT), slot)


@intrinsic(prefer_literal=True)
def _combine(typingctx, rows, mode, out, o, ostep, a, c, arow, acol, x, i, istep, count):
    """One vector of ``rows`` output rows; the sums stay in registers over all ``count`` inputs."""
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(mode, types.IntegerLiteral):
        return None
    size, how = rows.literal_value, mode.literal_value

    def codegen(context, builder, signature, args):
        _, _, to, o, ostep, by, c, arow, acol, of, i, istep, count = args
        to = Rows(context, builder, signature.args[2], to)
        by = Rows(context, builder, signature.args[5], by)
        of = Rows(context, builder, signature.args[9], of)
        targets = offsets(builder, o, ostep, size)
        factors = offsets(builder, c, arow, size)
        sums = to.variables(size)
        if how != TIMES:
            for slot, target, factor in zip(sums, targets, factors, strict=True):
                before = builder.sub(factor, acol)  # SET starts from the column before the first
                builder.store(to.load(target) if how == ADD else by.splat(before), slot)
        with cgutils.for_range(builder, count) as loop:
            vector = of.load(builder.add(i, builder.mul(loop.index, istep)))
            column = builder.mul(loop.index, acol)
            for slot, factor in zip(sums, factors, strict=True):
                _accumulate(builder, slot, by.splat(builder.add(factor, column)), vector)
        for slot, target in zip(sums, targets, strict=True):
            value = builder.load(slot)
            if how == TIMES:
                value = builder.fmul(value, to.load(target))
            to.store(value, target)
        return context.get_dummy_value()

    integers = [types.intp] * 3
    return types.void(rows, mode, out, types.intp, types.intp, a, *integers, x, *integers), codegen


@intrinsic(prefer_literal=True)
def _correlate(typingctx, rows, columns, out, o, ostep, x, i, istep, y, j, jstep, length):
    """out[r, c] += ⟨x_r, y_c⟩ for one tile; the sums stay in registers over the whole length."""
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(columns, types.IntegerLiteral):
        return None
    shape = rows.literal_value, columns.literal_value

    def codegen(context, builder, signature, args):
        _, _, to, o, ostep, of, i, istep, by, j, jstep, length = args
        to = Rows(context, builder, signature.args[2], to)
        of = Rows(context, builder, signature.args[5], of, BYTES // 2)
        by = Rows(context, builder, signature.args[8], by, BYTES // 2)
        lanes = ir.Constant(length.type, of.vector.count)
        sums = [of.variables(shape[1]) for _ in range(shape[0])]
        left, right = offsets(builder, i, istep, shape[0]), offsets(builder, j, jstep, shape[1])
        with cgutils.for_range(builder, builder.sdiv(length, lanes)) as loop:
            here = builder.mul(loop.index, lanes)
            ys = [by.load(builder.add(offset, here)) for offset in right]
            for offset, row in zip(left, sums, strict=True):
                vector = of.load(builder.add(offset, here))
                for slot, y in zip(row, ys, strict=True):
                    _accumulate(builder, slot, vector, y)
        name = f"llvm.vector.reduce.fadd.v{of.vector.count}f{8 * of.size}"
        kind = ir.FunctionType(of.element, (of.element, of.vector))
        reduce = cgutils.get_or_insert_function(builder.module, kind, name)
        for base, row in zip(offsets(builder, o, ostep, shape[0]), sums, strict=True):
            for c, slot in enumerate(row):
                place = to._at(builder.add(base, ir.Constant(base.type, c)), to.element)
                total = [builder.load(place), builder.load(slot)]
                builder.store(builder.call(reduce, total, fastmath=("reassoc",)), place)
        return context.get_dummy_value()

    pair = [types.intp] * 2
    return types.void(rows, columns, out, *pair, x, *pair, y, *pair, types.intp), codegen


@njit(cache=True, error_model="numpy")
def combine(mode, out, o, ostep, rows, a, c, arow, acol, x, i, istep, count, length):
    """out_r (+=, =, *=) Σ_k A_rk x_k for ``rows`` rows r, ``count`` rows k of ``length`` entries.

    Row r of out begins at o + r·ostep of a flat array, A_rk stands at c + r·arow + k·acol, and
    likewise x. SET begins each sum with the entry before A's first column.
    """
    lanes = BYTES // out.itemsize
    for v in range(0, length, lanes):
        r = 0
        while r < rows:
            left = rows - r
            to, by, of = o + r * ostep + v, c + r * arow, i + v
            if mode == ADD:
                if left >= 4:
                    _combine(4, 0, out, to, ostep, a, by, arow, acol, x, of, istep, count)
                elif left >= 2:
                    _combine(2, 0, out, to, ostep, a, by, arow, acol, x, of, istep, count)
                else:
                    _combine(1, 0, out, to, ostep, a, by, arow, acol, x, of, istep, count)
            elif mode == SET:
                _combine(4, 1, out, to, ostep, a, by, arow, acol, x, of, istep, count)
            else:
                _combine(4, 2, out, to, ostep, a, by, arow, acol, x, of, istep, count)
            r += 4 if left >= 4 or mode != ADD else (2 if left >= 2 else 1)


@njit(cache=True, error_model="numpy")
def correlate(out, o, ostep, x, i, istep, rows, y, j, jstep, columns, length):
    """out[r, c] += ⟨x_r, y_c⟩ for ``rows`` rows r, a multiple of 4, and ``columns`` rows c."""
    for r in range(0, rows, 4):
        to, of = o + r * ostep, i + r * istep
        c = 0
        while c + 1 < columns:
            _correlate(4, 2, out, to + c, ostep, x, of, istep, y, j + c * jstep, jstep, length)
            c += 2
        if c < columns:
            _correlate(4, 1, out, to + c, ostep, x, of, istep, y, j + c * jstep, jstep, length)
