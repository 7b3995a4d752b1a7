"""Modules of a user's own, imported so that what they register is known by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfpde import checks


def load(names: Any, folder: Path) -> None:
    """Import modules that register blocks, activations or losses, looked for in ``folder`` first.

    This runs their code. Raises ValueError, which names the module, where one cannot be imported.
    """
    for name in [names] if isinstance(names, str) else _listed(names):
        if str(name).endswith(".py"):
            raise ValueError(f"import names a module, not its file: leave out .py of {name!r}")
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(
                f"import must name a module, such as 'my_blocks'; given {checks.brief(name)}"
            )
        _import(name, folder)


def _listed(names: Any) -> Sequence[Any]:
    if not isinstance(names, list | tuple):
        raise ValueError(f"import must be the name of a module or a list of such; given {names!r}")
    return names


def _import(name: str, folder: Path) -> None:
    with _first_on_path(folder):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise ValueError(f"import {name}: {error}") from error
            where = "the current folder" if folder == Path() else str(folder)
            raise ValueError(
                f"import: there is no module {name!r} in {where}, nor on Python's path"
            ) from None
        except Exception as error:
            raise ValueError(f"import {name}: {type(error).__name__}: {error}") from error


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
