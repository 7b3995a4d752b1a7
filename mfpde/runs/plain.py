"""Plain values in a record: numbers, words, arrays, and lists, tuples and dicts of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def write(value: Any, arrays: dict[str, Array]) -> Any:
    """A value as JSON can hold it; its arrays are put into ``arrays``.

    Raises TypeError for what is not plain.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return {kind.__name__: [write(item, arrays) for item in value]}
    if kind is dict:
        return {"dict": [[write(k, arrays), write(v, arrays)] for k, v in value.items()]}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        name = f"arrays/{len(arrays)}"
        pairs = value.dtype.kind == "c"
        arrays[name] = _real(np.asarray(value)) if pairs else np.asarray(value)
        form = "complex " * pairs + ("array" if isinstance(value, np.ndarray) else "scalar")
        return {form: name}
    raise TypeError(
        f"a {kind.__module__}.{kind.__qualname__} is not plain: return numbers, strings, numpy "
        "arrays, or lists, tuples and dicts of them"
    )


def read(node: Any, arrays: Mapping[str, Array]) -> Any:
    """The value of ``write``.

    Raises ValueError for what ``write`` never returns.
    """
    if not isinstance(node, dict):
        return node
    ((form, content),) = node.items()
    if form == "list":
        return [read(item, arrays) for item in content]
    if form == "tuple":
        return tuple(read(item, arrays) for item in content)
    if form == "dict":
        return {read(k, arrays): read(v, arrays) for k, v in content}
    if form == "complex":
        return complex(*content)
    if form == "bytes":
        return bytes.fromhex(content)
    if form not in ("array", "scalar", "complex array", "complex scalar"):
        raise ValueError(f"{form!r} is no form of a plain value")
    found = arrays[content]
    if form.startswith("complex"):
        found = (found[..., 0] + 1j * found[..., 1]).astype(np.result_type(found, np.complex64))
    return found[()] if form.endswith("scalar") else np.asarray(found)


def _real(value: Array) -> Array:
    """Real and imaginary parts along a last axis."""
    return np.stack([value.real, value.imag], axis=-1)
