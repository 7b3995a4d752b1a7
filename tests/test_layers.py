"""Rooms form layers: every import, lazy ones too, points down, and none closes a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mfpde"

# From the ground up; a room may import from its own floor's files and from all rooms below.
FLOORS = [
    ["kernels", "checks", "tables"],
    ["archives"],
    ["activations", "losses", "optimizers", "penalty", "laws", "paths", "depth", "data"],
    ["blocks"],
    ["problem", "measures"],
    ["volumes"],
    ["passes"],
    ["evaluate", "plots"],
    ["runs"],
    ["flows", "transport"],
    ["entropic", "limits", "response", "sweep"],
    ["resnet"],
    ["images"],
    ["theory"],
    ["cases", "warm"],
    ["cli"],
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    """Dotted names below the package, without its own."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name and name != "__main__":
            found[name] = path
    return found


MODULES = modules()


def arrows(name: str) -> set[str]:
    """Modules of the package that a module imports anywhere in its code."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    inner = {one.removeprefix("mfpde.") for one in found if one.startswith("mfpde.")}
    return {one for one in inner if one in MODULES} - {name}


def room(name: str) -> str:
    return name.split(".")[0]


def test_every_room_has_its_floor():
    assert {room(name) for name in MODULES} == set(FLOOR)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name):
    up = {
        other
        for other in arrows(name)
        if room(other) != room(name) and FLOOR[room(other)] >= FLOOR[room(name)]
    }
    assert not up


def test_no_circle():
    """Between files, the faces of rooms (their ``__init__``) left out."""
    files = {name for name, path in MODULES.items() if path.stem != "__init__"}
    graph = {name: arrows(name) & files for name in files}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError
