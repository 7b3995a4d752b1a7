"""Input checks shared by every public function: one clear error per mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def array(
    name: str,
    value: Any,
    shape: Sequence[int | str | None] | None = None,
    *,
    dtype: DTypeLike = np.float64,
) -> NDArray[Any]:
    """A C-contiguous finite array of the given shape, or an error that names the argument.

    An entry of ``shape`` is a length, or a letter (or None) where any length will do.
    """
    try:
        out = np.ascontiguousarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers; {error}") from None
    if shape is not None:
        _check_shape(name, np.shape(value), shape)
        out = out.reshape(np.shape(value))
    bad = out.size - int(np.count_nonzero(np.isfinite(out)))
    if bad:
        raise ValueError(f"{name} must be finite; {bad} of its {out.size} entries are NaN or inf")
    return out


def _check_shape(name: str, given: tuple[int, ...], shape: Sequence[int | str | None]) -> None:
    pairs = zip(given, shape, strict=False)
    fits = len(given) == len(shape) and all(
        g == s for g, s in pairs if s is not None and not isinstance(s, str)
    )
    if not fits:
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        raise ValueError(f"{name} must have shape ({wanted}); given {given}")


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """``value`` if it is one of the allowed names, or an error that lists them."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    raise ValueError(
        f"{name} must be one of {', '.join(map(repr, names))}; given {value!r}"
        + nearest(value, names)
    )


def nearest(word: Any, names: Iterable[str]) -> str:
    """``'; did you mean …?'`` where a name lies close, else nothing."""
    close = difflib.get_close_matches(str(word), list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def count(name: str, value: Any, *, least: int = 1) -> int:
    """A whole number that is at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}; given {value!r}")
    return int(value)


def positive(name: str, value: Any, *, zero: bool = False) -> float:
    """A finite positive number (or zero, where ``zero`` is allowed)."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number; given {value!r}") from None
    if not np.isfinite(number) or number < 0 or (number == 0 and not zero):
        sign = "finite and >= 0" if zero else "finite and > 0"
        raise ValueError(f"{name} must be {sign}; given {value!r}")
    return number


def share(name: str, value: Any) -> float:
    """A number in (0, 1)."""
    if not 0.0 < positive(name, value) < 1.0:
        raise ValueError(f"{name} must lie in (0, 1); given {value!r}")
    return float(value)
