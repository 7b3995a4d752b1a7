"""Compiled functions called by their address, and the few words of shared memory between threads.

A function that calls another one takes its code along and compiles it again, with everything that
that one calls. Called by address it is compiled once, and a kernel can be handed what it needs of
many: one activation of seven. Functions called so return nothing and raise nothing.
"""

from __future__ import annotations

import platform
from typing import Any

import llvmlite.ir as ir
import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WORD = ir.IntType(64)
ORDER = "seq_cst"
WAITS = platform.machine() in ("x86_64", "AMD64")  # there is an instruction for a waiting loop

# What is never called from Python needs no way in from there: a sixth of its compilation.
INNER = {"cache": True, "error_model": "numpy"} | dict.fromkeys(
    ("no_cpython_wrapper", "no_cfunc_wrapper"), True
)

# What makes no array need not count who holds one: threads wait for each other's counts.
LEAN = INNER | {"_nrt": False}

_addresses: dict[Any, int] = {}


def address(function: Any, *arguments: Any) -> int:
    """Where the machine code of a jitted function for arguments like these begins."""
    key = function, *map(_look, arguments)
    try:
        return _addresses[key]
    except KeyError:
        return _addresses.setdefault(key, _compiled(function, map(numba.typeof, arguments)))


def address_for(function: Any, *kinds: Any) -> int:
    """The same for Numba's types."""
    key = function, kinds
    try:
        return _addresses[key]
    except KeyError:
        return _addresses.setdefault(key, _compiled(function, kinds))


def _look(argument: Any) -> Any:
    """What the compiled type of an argument depends on, found faster than the type itself."""
    if isinstance(argument, np.ndarray):
        return argument.dtype.char, argument.ndim, argument.flags.num
    if isinstance(argument, tuple):
        return (*map(_look, argument),)  # tuple(map(…)) would leave Python more to keep each time
    return type(argument)


def _compiled(function: Any, kinds: Any) -> int:
    signature = tuple(kinds)
    function.compile(signature)
    found = function.overloads[signature]
    return int(found.library.get_pointer_to_function(found.fndesc.llvm_func_name))


def _call(context: Any, builder: Any, function: Any, kinds: Any, values: Any) -> None:
    convention = context.call_conv
    kind = convention.get_function_type(types.none, kinds)
    pointer = builder.inttoptr(function, kind.as_pointer())
    convention.call_function(builder, pointer, types.none, kinds, values)


@intrinsic
def call(typingctx: Any, function: Any, arguments: Any) -> Any:
    """function(*arguments) for an address and a tuple."""
    kinds = tuple(map(types.unliteral, arguments))

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        unpacked = cgutils.unpack_tuple(builder, values[1], len(kinds))
        _call(context, builder, values[0], kinds, unpacked)
        return context.get_dummy_value()

    return types.void(types.int64, types.BaseTuple.from_types(kinds)), codegen


@intrinsic
def call_shares(
    typingctx: Any, lead: Any, box: Any, share: Any, shares: Any, arguments: Any
) -> Any:
    """lead(box, entry, frame, shares), where ``enter(entry, frame, t)`` is share(t, *arguments)."""
    kinds = (types.int64, *arguments)

    def entry_of(context: Any, builder: Any, pack: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), (WORD, WORD))
        name = builder.module.get_unique_name("mfpde.entry")
        entry = ir.Function(builder.module, kind, name)
        entry.linkage = "internal"
        inside = ir.IRBuilder(entry.append_basic_block())
        frame = inside.load(inside.inttoptr(entry.args[0], pack.as_pointer()))
        packed = inside.extract_value(frame, 1)
        unpacked = cgutils.unpack_tuple(inside, packed, len(kinds) - 1)
        _call(context, inside, inside.extract_value(frame, 0), kinds, [entry.args[1], *unpacked])
        inside.ret_void()
        return entry

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lead, box, share, shares, packed = values
        frame = cgutils.pack_struct(builder, (share, packed))
        kept = cgutils.alloca_once_value(builder, frame)
        entry = entry_of(context, builder, frame.type)
        words = [box, builder.ptrtoint(entry, WORD), builder.ptrtoint(kept, WORD), shares]
        _call(context, builder, lead, (types.int64,) * 4, words)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64, arguments), codegen


@intrinsic
def enter(typingctx: Any, entry: Any, frame: Any, t: Any) -> Any:
    """Share t of what ``call_shares`` was given."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), (WORD, WORD))
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def call_plain(typingctx: Any, function: Any, first: Any, second: Any) -> Any:
    """function(first, second) for a function of C with a pointer and an int."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        number = ir.IntType(32)
        kind = ir.FunctionType(number, (WORD, number))
        pointer = builder.inttoptr(values[0], kind.as_pointer())
        builder.call(pointer, (values[1], builder.trunc(values[2], number)))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


# -- words of memory that threads share, by their address -----------------------------------------


def _at(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, WORD.as_pointer())


@intrinsic
def load(typingctx: Any, at: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_at(builder, values[0]), ORDER, 8)

    return types.int64(types.int64), codegen


@intrinsic
def store(typingctx: Any, at: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store_atomic(values[1], _at(builder, values[0]), ORDER, 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def add(typingctx: Any, at: Any, value: Any) -> Any:
    """The word before ``value`` was added to it."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", _at(builder, values[0]), values[1], ORDER)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def swap(typingctx: Any, at: Any, value: Any) -> Any:
    """The word before ``value`` took its place."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("xchg", _at(builder, values[0]), values[1], ORDER)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def replace(typingctx: Any, at: Any, old: Any, new: Any) -> Any:
    """Put ``new`` where ``old`` is; whether it was."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pair = builder.cmpxchg(_at(builder, values[0]), values[1], values[2], ORDER, ORDER)
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@intrinsic
def pause(typingctx: Any) -> Any:
    """Let the other thread of a core work, in a loop that waits."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if WAITS:
            kind = ir.FunctionType(ir.VoidType(), ())
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), ())
        return context.get_dummy_value()

    return types.void(), codegen
