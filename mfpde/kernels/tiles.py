"""Products of thin matrices held by rows in one cache-resident workspace.

``combine`` forms rows as linear combinations of rows, ``multiply`` scales rows by such
combinations, ``correlate`` forms inner products of rows with rows. They are written in vector
instructions because no BLAS call pays at this size, and because a loop vectoriser neither knows
that rows of one array never overlap nor keeps a tile of sums in registers. Vectors are 64 bytes
wide, whatever the machine makes of them, or half of that where many are held at once.
"""

from __future__ import annotations

import llvmlite.ir as ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from mfpde.kernels.native import LEAN

BYTES = 64  # rows must be this long, or a multiple of it
ADD, SET, TIMES = range(3)  # out += A·in, out = start + A·in, out *= A·in
NARROW = 4  # matrices of up to so many rows or columns stay in registers
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

    def total(self, slot):
        """The sum of a variable's entries."""
        name = f"llvm.vector.reduce.fadd.v{self.vector.count}f{8 * self.size}"
        kind = ir.FunctionType(self.element, (self.element, self.vector))
        reduce = cgutils.get_or_insert_function(self.builder.module, kind, name)
        entries = [ir.Constant(self.element, 0.0), self.builder.load(slot)]
        return self.builder.call(reduce, entries, fastmath=("reassoc",))

    def put(self, value, offset):
        self.builder.store(value, self._at(offset, self.element))

    def fetch(self, offset):
        """Ask for what is at an offset, to be read a little later, into the second-level cache."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), (byte, number, number, number))
        prefetch = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        pointer = self.builder.bitcast(self.builder.gep(self.data, [offset]), byte)
        self.builder.call(prefetch, [pointer, _i32(0), _i32(2), _i32(1)])


def _i32(value):
    return ir.Constant(ir.IntType(32), value)


def offsets(builder, start, stride, count):
    """start, start + stride, …"""
    out = [start]
    for _ in range(count - 1):
        out.append(builder.add(out[-1], stride))
    return out


def multiply_add(builder, a, b, c):
    """a·b + c, in one instruction where there is one."""
    return builder.fadd(builder.fmul(a, b, flags=CONTRACT), c, flags=CONTRACT)


def accumulate(builder, slot, a, b):
    """slot += a·b."""
    builder.store(multiply_add(builder, a, b, builder.load(slot)), slot)


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
                accumulate(builder, slot, by.splat(builder.add(factor, column)), vector)
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
                    accumulate(builder, slot, vector, y)
        for base, row in zip(offsets(builder, o, ostep, shape[0]), sums, strict=True):
            for c, slot in enumerate(row):
                place = builder.add(base, ir.Constant(base.type, c))
                to.put(builder.fadd(to.scalar(place), of.total(slot)), place)
        return context.get_dummy_value()

    place = [types.intp] * 2
    return types.void(rows, columns, out, *place, x, *place, y, *place, types.intp), codegen


@intrinsic(prefer_literal=True)
def _sweep(typingctx, rows, count, mode, out, o, ostep, a, c, arow, acol, x, i, istep, length):
    """Like ``_combine`` along whole rows, for so small a matrix that it stays in registers."""
    if not all(isinstance(v, types.IntegerLiteral) for v in (rows, count, mode)):
        return None
    size, inner, how = rows.literal_value, count.literal_value, mode.literal_value

    def codegen(context, builder, signature, args):
        _, _, _, to, o, ostep, by, c, arow, acol, of, i, istep, length = args
        to = Rows(context, builder, signature.args[3], to)
        by = Rows(context, builder, signature.args[6], by)
        of = Rows(context, builder, signature.args[10], of)
        starts = offsets(builder, c, arow, size)
        matrix = [[by.splat(k) for k in offsets(builder, s, acol, inner)] for s in starts]
        if how == SET:
            before = [by.splat(builder.sub(s, acol)) for s in starts]
        targets, sources = offsets(builder, o, ostep, size), offsets(builder, i, istep, inner)
        zero, lanes = (ir.Constant(length.type, k) for k in (0, to.vector.count))
        with cgutils.for_range_slice(builder, zero, length, lanes) as (here, _):
            vectors = [of.load(builder.add(source, here)) for source in sources]
            for r, target in enumerate(targets):
                place = builder.add(target, here)
                value = to.load(place) if how == ADD else before[r]
                for factor, vector in zip(matrix[r], vectors, strict=True):
                    value = multiply_add(builder, factor, vector, value)
                to.store(value, place)
        return context.get_dummy_value()

    integers = [types.intp] * 3
    given = (rows, count, mode, out, types.intp, types.intp, a, *integers, x, *integers)
    return types.void(*given), codegen


@intrinsic
def _fetch(typingctx, array, offset):
    def codegen(context, builder, signature, args):
        Rows(context, builder, signature.args[0], args[0]).fetch(args[1])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@njit(**LEAN)
def combine(mode, out, o, ostep, rows, a, c, arow, acol, x, i, istep, count, length):
    """out_r (+=, =) Σ_k A_rk x_k for ``rows`` rows r, ``count`` rows k of ``length`` entries.

    Row r of out begins at o + r·ostep of a flat array, A_rk stands at c + r·arow + k·acol, and
    likewise x. SET begins each sum with the entry before A's first column; there ``rows``, and for
    ADD ``count``, must be a multiple of 4.
    """
    if mode == SET and count <= NARROW:
        for r in range(0, rows, 4):
            to, by = o + r * ostep, c + r * arow
            if count == 1:
                _sweep(4, 1, 1, out, to, ostep, a, by, arow, acol, x, i, istep, length)
            elif count == 2:
                _sweep(4, 2, 1, out, to, ostep, a, by, arow, acol, x, i, istep, length)
            elif count == 3:
                _sweep(4, 3, 1, out, to, ostep, a, by, arow, acol, x, i, istep, length)
            else:
                _sweep(4, 4, 1, out, to, ostep, a, by, arow, acol, x, i, istep, length)
    elif mode == ADD and rows <= NARROW:
        for k in range(0, count, 4):
            by, of = c + k * acol, i + k * istep
            if rows == 1:
                _sweep(1, 4, 0, out, o, ostep, a, by, arow, acol, x, of, istep, length)
            elif rows == 2:
                _sweep(2, 4, 0, out, o, ostep, a, by, arow, acol, x, of, istep, length)
            elif rows == 3:
                _sweep(3, 4, 0, out, o, ostep, a, by, arow, acol, x, of, istep, length)
            else:
                _sweep(4, 4, 0, out, o, ostep, a, by, arow, acol, x, of, istep, length)
    else:
        _combine_wide(mode, out, o, ostep, rows, a, c, arow, acol, x, i, istep, count, length)


@njit(**LEAN)
def _combine_wide(mode, out, o, ostep, rows, a, c, arow, acol, x, i, istep, count, length):
    lanes = BYTES // out.itemsize
    for v in range(0, length, lanes):
        r = 0
        while r < rows:
            left = rows - r
            to, by, of = o + r * ostep + v, c + r * arow, i + v
            if mode == SET:
                _combine(4, 1, out, to, ostep, a, by, arow, acol, x, of, istep, count)
            elif left >= 4:
                _combine(4, 0, out, to, ostep, a, by, arow, acol, x, of, istep, count)
            elif left >= 2:
                _combine(2, 0, out, to, ostep, a, by, arow, acol, x, of, istep, count)
            else:
                _combine(1, 0, out, to, ostep, a, by, arow, acol, x, of, istep, count)
            r += 4 if left >= 4 or mode == SET else (2 if left >= 2 else 1)


@njit(**LEAN)
def multiply(out, o, ostep, rows, a, c, arow, acol, x, i, istep, count, length, soon, at):
    """out_r *= Σ_k A_rk x_k, laid out as for ``combine``; ``rows`` is a multiple of 4.

    Meanwhile soon[at : at + rows·length] comes in from memory, line by line: asked for all at once
    or not at all, it would be waited for when it is read.
    """
    lanes = BYTES // out.itemsize
    for v in range(0, length, lanes):
        for r in range(0, rows, 4):
            to, by = o + r * ostep + v, c + r * arow
            for line in range(4):
                _fetch(soon, at + (r + line) * length + v)
            _combine(4, 2, out, to, ostep, a, by, arow, acol, x, i + v, istep, count)


@njit(**LEAN)
def correlate(out, o, ostep, x, i, istep, rows, y, j, jstep, columns, length):
    """out[r, c] += ⟨x_r, y_c⟩ for ``rows`` rows r, a multiple of 4, and ``columns`` rows c."""
    for r in range(0, rows, 4):
        to, of = o + r * ostep, i + r * istep
        c = 0
        while c < columns:
            left, of_y = columns - c, j + c * jstep
            if left == 3 or left > 4:
                _correlate(4, 3, out, to + c, ostep, x, of, istep, y, of_y, jstep, length)
                c += 3
            elif left > 1:
                _correlate(4, 2, out, to + c, ostep, x, of, istep, y, of_y, jstep, length)
                c += 2
            else:
                _correlate(4, 1, out, to + c, ostep, x, of, istep, y, of_y, jstep, length)
                c += 1
