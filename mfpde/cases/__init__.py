"""Case files: runs described in TOML, checked key by key."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mfpde import checks
from mfpde.cases import parts, plugins
from mfpde.cases.keys import check, table
from mfpde.entropic.solve import stationary
from mfpde.flows.solve import solve
from mfpde.laws import Law
from mfpde.limits import limit
from mfpde.problem import Problem

__all__ = ["Case", "build", "read", "verbs"]

SECTIONS = ("data", "block", "problem", "depth", "law", "measure", "observe")
FROM_LAW = ("limit", "train")  # verbs that start at the law itself


def verbs() -> dict[str, Callable[..., Any]]:
    """What a case may ask for, each with a section of its own."""
    from mfpde.resnet import train

    return {"solve": solve, "stationary": stationary, "limit": limit, "train": train}


@dataclass(frozen=True)
class Case:
    """A problem, the law of its parameters, and the keyword arguments of each verb."""

    problem: Problem
    law: Law
    tables: Mapping[str, Any]
    name: str = "case"
    observe: Mapping[str, Any] | None = None  # data (x, y) by name

    @cached_property
    def rho0(self) -> Any:
        """The initial measure of [depth] and [measure]."""
        if "measure" not in self.tables:
            raise ValueError(f"{self.name}: the section [measure] is missing")
        with _naming(self.name):
            return parts.measure(self.tables, self.law, self.problem.block.size)

    @property
    def verbs(self) -> list[str]:
        """The verbs that the file has a section for."""
        return [name for name in verbs() if name in self.tables]

    def arguments(self, verb: str) -> dict[str, Any]:
        """The keyword arguments of [verb].

        Raises ValueError for a missing section, or keys that the verb does not know or needs.
        """
        if verb not in self.tables:
            raise ValueError(f"{self.name}: the section [{verb}] is missing")
        fields = table(f"[{verb}]", self.tables[verb])
        given = ("problem", "law") if verb in FROM_LAW else ("problem", "rho0")
        check(f"[{verb}]", verbs()[verb], fields, (*given, "checkpoint"))
        return fields


def read(path: str | os.PathLike[str], changes: Sequence[str] = ()) -> Case:
    """The case in a TOML file; relative data paths are taken from the file's folder.

    ``changes`` replace single keys: ``"solve.s_end=50"``, ``"law.0.std=2"``; docs/cases/README.md
    lists every key.

    Raises FileNotFoundError, or ValueError that names the file, the section and the key.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"case: no file at {source}")
    try:
        found = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{source.name} is not valid TOML ({error})") from None
    with _naming(source.name):
        for change in changes:
            override(found, change)
        return replace(build(found, source.parent), name=source.name)


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Errors within name the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def build(tables: Mapping[str, Any], folder: Path = Path()) -> Case:
    """The case of a parsed TOML file. The measure is made when it is asked for.

    Modules that it names by ``import`` are imported, from ``folder`` first: that runs their code.
    """
    tables = dict(tables)
    plugins.load(tables.pop("import", []), folder)
    known = (*SECTIONS, *verbs())
    for section in tables:
        if section not in known:
            raise ValueError(
                f"unknown section [{section}]; there are {', '.join(known)}"
                + checks.nearest(section, known)
            )
    for section in ("data", "block", "law"):
        if section not in tables:
            raise ValueError(f"the section [{section}] is missing")
    observed = parts.observed(tables, folder)
    problem, law = parts.problem(tables, folder), parts.law(tables["law"], folder)
    case = Case(problem, law, tables, observe=observed)
    for verb in case.verbs:
        case.arguments(verb)
    return case


def override(tables: dict[str, Any], change: str) -> None:
    """Put one ``section.key=value`` into the tables; a value that is no TOML is text."""
    path, equals, text = change.partition("=")
    *way, last = path.strip().split(".")
    if not equals or not way:
        raise ValueError(f"--set takes section.key=value; given {change!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    place: Any = tables
    for step in way:
        if isinstance(place, list):
            place = place[int(step)] if step.isdigit() and int(step) < len(place) else None
        else:
            place = place.setdefault(step, {})
        if not isinstance(place, dict | list):
            raise ValueError(f"--set {change}: there is no table {path!r}")
    if not isinstance(place, dict):
        raise ValueError(f"--set {change}: {'.'.join(way)} is a list; name its number, from 0")
    place[last] = value
