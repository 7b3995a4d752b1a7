"""Sections of a case file as keyword arguments: known keys, needed keys, errors that name both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mfpde import checks

# What a case file cannot hold: objects, and how a run is watched.
ELSEWHERE = (
    "axes", "callback", "comm", "observe", "progress", "raise_on_failure", "start", "x_new",
)  # fmt: skip


def keys_of(function: Callable[..., Any], given: tuple[str, ...] = ()) -> dict[str, Any]:
    """The parameters of ``function`` that a section may set, by name."""
    found = inspect.signature(function).parameters
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {name: p for name, p in found.items() if p.kind in kinds}
    return {name: p for name, p in names.items() if name not in (*given, *ELSEWHERE)}


def call(where: str, function: Callable[..., Any], fields: Mapping[str, Any], **given: Any) -> Any:
    """``function(**given, **fields)``; every error names the section.

    Raises ValueError for an unknown or missing key, and for what the function refuses.
    """
    check(where, function, fields, tuple(given))
    try:
        return function(**given, **fields)
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise ValueError(f"{where}: {error}") from None


def check(
    where: str, function: Callable[..., Any], fields: Mapping[str, Any], given: tuple[str, ...]
) -> None:
    """Raise ValueError for a key that ``function`` does not know, or one that is missing."""
    table(where, fields)
    known = keys_of(function, given)
    for key in fields:
        if key not in known:
            if key == "import":
                raise ValueError(f"{where}: 'import' stands above the first section of the file")
            raise ValueError(
                f"{where}: unknown key {key!r}; it may hold {', '.join(known)}"
                + checks.nearest(key, known)
            )
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in fields:
            raise ValueError(f"{where} needs the key {key!r}")


def table(where: str, value: Any) -> dict[str, Any]:
    """A copy of a table of the file."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a table; given {checks.brief(value)}")
    return dict(value)


def kind_of(where: str, fields: dict[str, Any], kinds: Mapping[str, Any], default: str = "") -> str:
    """Take the key ``kind`` out of ``fields``: one of the registry's names."""
    if "kind" not in fields and default:
        return default
    if "kind" not in fields:
        raise ValueError(f"{where} needs the key 'kind': one of {', '.join(kinds)}")
    return checks.choice(f"{where}: kind", fields.pop("kind"), kinds)
