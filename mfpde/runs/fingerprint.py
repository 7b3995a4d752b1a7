"""A name for a value that is the same in every process: what finished work is found by."""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from types import CodeType, FunctionType
from typing import Any

import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, range, PurePath, type(None))


def fingerprint(value: Any) -> str:
    """A hash (32 hexadecimal digits) of plain values, arrays, and objects made of them.

    Functions and classes count by their import path, other objects by what ``pickle`` would
    rebuild them from. Equal values of different types differ. Raises TypeError for what has no
    import path (a lambda, a local function) or cannot be pickled.
    """
    return _digest(value).hex()[:32]


def code_mark(function: Any) -> str:
    """A hash of what a function itself computes: its byte code, constants and default values.

    Neither comments nor line numbers enter, nor what it calls; "" for one that is not of Python.
    """
    while hasattr(function, "func") or hasattr(function, "__wrapped__"):
        function = getattr(function, "func", None) or function.__wrapped__
    if not isinstance(function, (FunctionType, type)):
        function = vars(type(function)).get("__call__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    return fingerprint([_code(code), repr(function.__defaults__), repr(function.__kwdefaults__)])


def _code(code: CodeType) -> list[Any]:
    return [
        code.co_code,
        [_constant(value) for value in code.co_consts],
        list(code.co_names),
        list(code.co_varnames),
    ]


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    return repr(value)


def _digest(value: Any) -> bytes:
    found = hashlib.sha256(f"{type(value).__module__}.{type(value).__qualname__}".encode())
    for part in _parts(value):
        found.update(len(part).to_bytes(8, "little") + part)
    return found.digest()


def _parts(value: Any) -> Iterator[bytes]:
    """What tells a value from any other of its type, in fixed order."""
    if isinstance(value, PLAIN):
        yield repr(value).encode()
    elif isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
        yield f"{value.dtype.str}{np.shape(value)}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, (list, tuple)):
        yield from map(_digest, value)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(map(_digest, value))
    elif isinstance(value, Mapping):
        yield from sorted(_digest(key) + _digest(item) for key, item in value.items())
    elif isinstance(value, (FunctionType, type)):
        yield _path(value).encode()
    elif is_dataclass(value) and type(value).__reduce__ is object.__reduce__:
        yield from (_digest(getattr(value, field.name)) for field in fields(value))
    else:
        yield from map(_digest, _rebuilt_from(value))


def _rebuilt_from(value: Any) -> list[Any]:
    """What ``pickle`` would store of an object."""
    reduce = copyreg.dispatch_table.get(type(value))
    found = value.__reduce_ex__(2) if reduce is None else reduce(value)
    if isinstance(found, str):
        return [found]
    return [list(part) if isinstance(part, Iterator) else part for part in found]


def _path(value: FunctionType | type) -> str:
    if "<" in value.__qualname__:
        raise TypeError(f"{value.__qualname__} has no import path: define it at module level")
    return f"{value.__module__}.{value.__qualname__}"
