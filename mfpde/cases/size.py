"""How large a case is, told before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mfpde import checks
from mfpde.cases import Case, parts
from mfpde.cases.keys import table


def describe(case: Case) -> Iterator[str]:
    """Lines on data, measure, memory and work of a case; nothing runs.

    Raises ValueError where the memory does not suffice, or a section is wrong.
    """
    problem = case.problem
    outputs = problem.size * problem.outputs
    yield f"{problem}"
    yield f"N·k = {outputs}: a tangent kernel takes {_megabytes(8.0 * outputs**2)}"
    if "measure" in case.tables:
        levels, points = _shape(case.tables, problem.block.size)
        state = 8.0 * levels * points * problem.block.size
        checks.memory("[measure]", 6.0 * state, "take fewer particles or cells, or fewer steps")
        yield f"{case.rho0}"
        yield f"state {_megabytes(state)}; about six of them are held"
        work = float(levels) * points * problem.size * problem.block.dim
        yield f"work: {work:.3g} = nodes × points × data × d for each gradient"
    for verb in case.verbs:
        yield f"mfpde {verb}: {case.arguments(verb)}"


def _shape(tables: Mapping[str, Any], dim: int) -> tuple[int, int]:
    """Depth nodes and particles (or cells) that [measure] asks for."""
    fields = table("[measure]", tables["measure"])
    levels = len(parts.depth(tables).nodes) if parts.needs_depth(tables) else 1
    if "cells" in fields:
        cells = np.asarray(checks.array("[measure]: cells", fields["cells"]), float)
        points = np.prod(np.broadcast_to(cells, (dim,)) if cells.size == 1 else cells)
    else:
        points = np.prod(checks.array("[measure]: count", fields.get("count", 1)))
    return levels * int(fields.get("depth_cells", 1)), int(min(points, 2.0**62))


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.3g} MB"
