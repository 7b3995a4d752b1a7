"""Input checks shared by every public function: one clear error per mistake.

Each kind of argument has one function here. ``typed`` applies them to a whole signature by its
annotations, so that a wrong object is refused before any of it is used.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

F = TypeVar("F", bound=Callable[..., Any])

LARGEST = 2**63 - 1  # whole numbers beyond it do not fit into the machine's
PRECISIONS = ("float32", "float64")


# -- arrays ---------------------------------------------------------------------------------------


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
    found = numeric(name, value)
    if shape is not None:
        _check_shape(name, found.shape, shape)
    with np.errstate(over="ignore"):  # what does not fit into float32 is reported below
        out = np.ascontiguousarray(found, dtype=dtype).reshape(found.shape)
    return _all_finite(name, out)


def _all_finite(name: str, value: NDArray[Any]) -> NDArray[Any]:
    bad = value.size - int(np.count_nonzero(np.isfinite(value)))
    if bad:
        raise ValueError(f"{name} must be finite; {bad} of its {value.size} entries are NaN or inf")
    return value


def numeric(name: str, value: Any) -> NDArray[Any]:
    """The array of a value of real numbers, of any shape and precision.

    Raises TypeError for what NumPy would turn into other numbers without a word: masked entries,
    complex numbers, dates, records, text and objects.
    """
    if np.ma.is_masked(value):
        raise TypeError(f"{name} must not have masked entries: fill or leave them out first")
    try:
        found = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name} must be an array of numbers; {error}") from None
    if found.dtype.kind in "biuf":
        return found
    kinds = {"c": "complex", "m": "time spans", "M": "dates", "V": "records", "O": "objects"}
    what = kinds.get(found.dtype.kind, "text")
    raise TypeError(f"{name} must be an array of numbers; given {what}, {brief(value)}")


def _check_shape(name: str, given: tuple[int, ...], shape: Sequence[int | str | None]) -> None:
    pairs = zip(given, shape, strict=False)
    fits = len(given) == len(shape) and all(
        g == s for g, s in pairs if s is not None and not isinstance(s, str)
    )
    if not fits:
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        wanted += "," * (len(shape) == 1)
        raise ValueError(f"{name} must have shape ({wanted}); given {given}")


def nonempty(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """The array, unless it has no entries."""
    if not value.size:
        raise ValueError(f"{name} must not be empty; given shape {value.shape}")
    return value


# -- single values --------------------------------------------------------------------------------


def number(name: str, value: Any) -> float:
    """A real number, possibly infinite; neither True nor False, text nor NaN is one."""
    if not _is_number(value):
        raise TypeError(f"{name} must be a number; given {brief(value)}")
    try:
        found = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a number below 1.8e308; given {brief(value)}") from None
    if np.isnan(found):
        raise ValueError(f"{name} must be a number; given nan")
    return found


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and value.dtype.kind in "iuf"
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def finite(name: str, value: Any) -> float:
    """A finite real number."""
    found = number(name, value)
    if np.isinf(found):
        raise ValueError(f"{name} must be finite; given {value!r}")
    return found


def positive(name: str, value: Any, *, zero: bool = False) -> float:
    """A finite positive number (or zero, where ``zero`` is allowed)."""
    found = number(name, value) if not _is_nan(value) else np.nan
    if not np.isfinite(found) or found < 0 or (found == 0 and not zero):
        sign = "finite and >= 0" if zero else "finite and > 0"
        raise ValueError(f"{name} must be {sign}; given {value!r}")
    return found


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def share(name: str, value: Any) -> float:
    """A number in (0, 1)."""
    if not 0.0 < positive(name, value) < 1.0:
        raise ValueError(f"{name} must lie in (0, 1); given {value!r}")
    return float(value)


def whole(name: str, value: Any) -> int:
    """A whole number, of either sign."""
    if not isinstance(value, Integral) or isinstance(value, bool) or abs(int(value)) > LARGEST:
        raise ValueError(f"{name} must be a whole number; given {brief(value)}")
    return int(value)


def count(name: str, value: Any, *, least: int = 1, most: int = LARGEST) -> int:
    """A whole number between ``least`` and ``most``."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= int(value) <= most:
        top = "" if most == LARGEST else f" and <= {most}"
        raise ValueError(f"{name} must be a whole number >= {least}{top}; given {brief(value)}")
    return int(value)


def seed(name: str, value: Any) -> int:
    """A seed: a whole number >= 0. Nothing is random without one."""
    return count(name, value, least=0)


def flag(name: str, value: Any) -> bool:
    """True or False, not what Python would take for them (the text "false" is true)."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; given {brief(value)}")
    return bool(value)


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """``value`` if it is one of the allowed names, or an error that lists them."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    raise ValueError(
        f"{name} must be one of {', '.join(map(repr, names))}; given {brief(value)}"
        + nearest(value, names)
    )


def nearest(word: Any, names: Iterable[str]) -> str:
    """``'; did you mean …?'`` where a name lies close, else nothing."""
    close = difflib.get_close_matches(str(word)[:100], list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def instance(name: str, value: Any, *kinds: type) -> Any:
    """``value`` if it is an object of one of the classes, or an error that names them."""
    if isinstance(value, kinds):
        return value
    wanted = _listed(_article(kind.__name__) for kind in kinds)
    raise TypeError(f"{name} must be {wanted}; given {brief(value)}")


def precision(name: str, value: Any) -> np.dtype[Any]:
    """The dtype float32 or float64."""
    try:
        found = np.dtype(value).name
    except (TypeError, ValueError, RecursionError):
        found = value
    return np.dtype(choice(name, found, PRECISIONS))


def progress(name: str, value: Any) -> bool | str:
    """True, False or "auto"."""
    if value is True or value is False or (isinstance(value, str) and value == "auto"):
        return value
    raise ValueError(f"{name} must be True, False or 'auto'; given {brief(value)}")


def brief(value: Any) -> str:
    """What was given: short values as they are, anything else by its type."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if value is None or isinstance(value, str | bytes | bool | float | complex | np.generic):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, int):
        small = abs(value) <= LARGEST
        return repr(value) if small else f"a whole number of {value.bit_length()} bits"
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


# -- results and memory ---------------------------------------------------------------------------


def overflow(what: str) -> Callable[[F], F]:
    """A verb whose numbers must be finite: else a ValueError says that ``what`` overflowed."""

    def guarded(function: F) -> F:
        @functools.wraps(function)
        def verb(*args: Any, **kwargs: Any) -> Any:
            with np.errstate(over="ignore", invalid="ignore"):
                found = function(*args, **kwargs)
            result(what, np.asarray(found))
            return found

        return verb  # type: ignore[return-value]

    return guarded


def result(what: str, value: NDArray[Any]) -> NDArray[Any]:
    """The array, or a ValueError that says what overflowed."""
    if not np.all(np.isfinite(value)):
        raise ValueError(f"{what} overflowed: scale the data, or the parameters, down")
    return value


def memory(name: str, needed: float, remedy: str) -> None:
    """Raise ValueError where ``needed`` bytes exceed what this machine has; nothing is allocated.

    ``name`` says which argument asks for how much, ``remedy`` what to do instead.
    """
    limit = memory_limit()
    if needed > limit:
        raise ValueError(
            f"{name} would take {_size(needed)} of memory; this machine has {_size(limit)}: "
            f"{remedy}"
        )


def memory_for(name: str, given: float | None) -> float:
    """Bytes that may be used: ``given``, or half of what this machine has.

    Raises ValueError where ``given`` is more than there is.
    """
    if given is None:
        return 0.5 * memory_limit()
    memory(f"{name} = {given:g}", given, "give less")
    return given


@functools.cache
def memory_limit() -> float:
    """Bytes of this machine, or of the control group that the process lives in."""
    try:
        whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        whole = float(2**36)
    group = Path("/sys/fs/cgroup/memory.max")
    text = group.read_text().strip() if group.is_file() else ""
    return min(whole, float(text)) if text.isdigit() else whole


def _size(size: float) -> str:
    units = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
    power = min(int(np.log10(max(size, 1.0)) // 3), len(units) - 1)
    return f"{size / 1000**power:.3g} {units[power]}"


# -- whole signatures -----------------------------------------------------------------------------

# Numbers that may be infinite: no end, no price.
UNBOUNDED = ("s_end", "s_round", "beta")

# Arguments that mean one thing everywhere are checked by their name.
MEANINGS: dict[str, Callable[[str, Any], Any]] = {
    "seed": seed,
    "progress": progress,
    "max_steps": count,
    "rtol": positive,
    "tol": positive,
}

# What an annotation allows, as a check that raises; anything else is a class or is not checked.
_KINDS: dict[Any, Callable[[str, Any], Any]] = {
    int: whole,
    float: lambda name, value: (number if name in UNBOUNDED else finite)(name, value),
    bool: flag,
    DTypeLike: precision,
    ArrayLike: lambda name, value: nonempty(name, _all_finite(name, numeric(name, value))),
}


def typed(target: F) -> F:
    """Check every argument of a function, or of a class' constructor, against its annotation.

    Numbers, whole numbers, flags, text, arrays, functions and objects of the package are told
    apart, and ``MEANINGS`` looks at the values; ranges and shapes are left to the function.
    Raises TypeError or ValueError that names the argument, what was given and what is allowed.
    """
    if isinstance(target, type):
        kind: Any = target
        kind.__init__ = typed(kind.__init__)
        return target
    signature = inspect.signature(target)

    @functools.cache
    def tests() -> dict[str, Callable[[str, Any], Any]]:
        return _tests(target, signature)

    @functools.wraps(target)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            hint = _unbound(signature, args, kwargs)
            raise TypeError(f"{target.__qualname__}: {error}{hint}") from None
        for name, value in given.items():
            if name in tests():
                tests()[name](name, value)
        return target(*args, **kwargs)

    return checked  # type: ignore[return-value]


def _unbound(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """What would have been right, for arguments that do not fit."""
    named = [n for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD]
    unknown = [name for name in kwargs if name not in named]
    if unknown:
        known = [name for name in named if name != "self"]
        return nearest(unknown[0], known) or f"; it takes {', '.join(known)}"
    placed = [
        n for n in named if signature.parameters[n].kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    if len(args) > len(placed) < len(named):
        by_name = named[len(placed) :]
        more = ", ..." * (len(by_name) > 3)
        return "; these go by name: " + ", ".join(f"{n}=" for n in by_name[:3]) + more
    return ""


def _tests(
    target: Callable[..., Any], signature: inspect.Signature
) -> dict[str, Callable[[str, Any], Any]]:
    space = {**vars(sys.modules["builtins"]), **vars(sys.modules[target.__module__])}
    found: dict[str, Callable[[str, Any], Any]] = {}
    for name, parameter in signature.parameters.items():
        if parameter.annotation is parameter.empty or parameter.kind is parameter.VAR_KEYWORD:
            continue
        allowed = alternatives(parameter.annotation, space)
        test = functools.partial(_fits, allowed)
        many = parameter.kind is parameter.VAR_POSITIONAL
        found[name] = functools.partial(_each, test) if many else test
    return found


def _each(test: Callable[[str, Any], Any], name: str, values: tuple[Any, ...]) -> None:
    for k, value in enumerate(values):
        test(f"{name}[{k}]", value)


def alternatives(annotation: Any, space: Mapping[str, Any]) -> list[Any]:
    """The types of an annotation, unions taken apart but for aliases such as ``ArrayLike``."""
    if isinstance(annotation, str):
        return _parsed(ast.parse(annotation, mode="eval").body, space)
    if annotation in (None, types.NoneType):
        return [None]
    if annotation not in _KINDS and get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in alternatives(part, space)]
    return [ArrayLike if get_origin(annotation) is np.ndarray else annotation]


def _parsed(node: ast.expr, space: Mapping[str, Any]) -> list[Any]:
    if isinstance(node, ast.BinOp):
        return _parsed(node.left, space) + _parsed(node.right, space)
    return alternatives(eval(ast.unparse(node), dict(space)), space)


def _fits(allowed: list[Any], name: str, value: Any) -> None:
    if value is None and None in allowed:
        return
    kinds = [kind for kind in allowed if kind is not None]
    if name in MEANINGS:
        MEANINGS[name](name, value)
    elif len(kinds) == 1 and kinds[0] in _KINDS:
        _KINDS[kinds[0]](name, value)
    elif not any(_matches(kind, value) for kind in kinds):
        if ArrayLike in kinds and not isinstance(value, str):
            _KINDS[ArrayLike](name, value)
        wanted = _listed(word for kind in allowed for word in _wanted(kind))
        raise TypeError(f"{name} must be {wanted}; given {brief(value)}")


def _matches(kind: Any, value: Any) -> bool:
    if kind in (Any, object):
        return True
    if kind in _KINDS:
        try:
            _KINDS[kind]("", value)
        except (TypeError, ValueError):
            return False
        return True
    plain = get_origin(kind) or kind
    if plain is Sequence:  # arrays are sequences here, text is not
        listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return listed or (isinstance(value, np.ndarray) and value.ndim > 0)
    if plain is Callable:
        return callable(value)
    if not isinstance(plain, type) or _opaque(plain):
        return True
    if not getattr(plain, "_is_protocol", False):
        return isinstance(value, plain)
    if (plain, type(value)) in _answered:
        return True
    if isinstance(value, plain):
        _answered.add((plain, type(value)))
        return True
    return False


# Classes whose objects a protocol was found in: to look for its members takes longer than to check
# all other arguments of a verb.
_answered: set[tuple[type, type]] = set()


def _opaque(kind: type) -> bool:
    """Protocols that cannot be asked."""
    return getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False)


_WORDS: dict[Any, str] = {
    None: "None",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    ArrayLike: "an array of numbers",
    DTypeLike: "a dtype",
    Sequence: "a list",
    Mapping: "a dict",
}


def _wanted(kind: Any) -> list[str]:
    """The kind in words; an abstract class stands for those made from it."""
    if kind in _WORDS:
        return [_WORDS[kind]]
    plain = get_origin(kind) or kind
    if plain in _WORDS:
        return [_WORDS[plain]]
    if plain is Callable:
        return ["a function"]
    if inspect.isabstract(plain) and plain.__module__.startswith("mfpde.measures"):
        return [word for part in plain.__subclasses__() for word in _wanted(part)]
    return [_article(getattr(plain, "__name__", str(plain)))]


def _listed(words: Iterable[str]) -> str:
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)} or {last}" if first else last


def _article(word: str) -> str:
    sounded = word[0] in "AEIOaeio" or word in ("SHL",)
    return f"{'an' if sounded else 'a'} {word}"
