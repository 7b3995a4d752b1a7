"""Stationary states in files: sealed records like those of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mfpde.measures.grid import GridMeasure
from mfpde.runs import run_file, stored_problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.run_file import Record
from mfpde.runs.status import Status

FORMAT = "mfpde stationary"
NUMBERS = ("fit", "J", "energy", "residual", "iterations")


def save(found: Any, path: PathLike) -> None:
    """Write a stationary state. Raises OSError where the file cannot be written."""
    problem, arrays = stored_problem.write(found.problem)
    measure, fixed = found.final.spec()
    config = {
        "status": found.status.name,
        "versions": stored_problem.versions(),
        **{name: getattr(found, name) for name in NUMBERS},
    }
    arrays |= {"measure/fixed/" + name: array for name, array in fixed.items()}
    arrays |= {"observed/" + name: array for name, array in found.observed.items()}
    arrays |= {"measure/state": found.final.masses, "kl": found.kl}
    arrays["history"] = np.array(found.history, dtype=np.float64)
    run_file.save(Record(FORMAT, {**problem, "measure": measure}, config, {}, arrays), path)


def load(kind: Any, iterate: Any, path: PathLike, block: Any) -> Any:
    """Read a state, an object of ``kind`` with a history of ``iterate``.

    Raises FileNotFoundError for a missing file, ValueError for one that is torn, damaged or no
    stationary state.
    """
    found = run_file.load(path, FORMAT)
    with run_file.naming(Path(path)):
        arrays, config = found.arrays, found.config
        rho = GridMeasure.from_spec(
            found.fixed["measure"], _under("measure/fixed/", arrays), arrays["measure/state"]
        )
        rows = [(*row[:3], int(row[3]), int(row[4])) for row in arrays["history"].tolist()]
        return kind(
            problem=stored_problem.read(found.fixed, arrays, block),
            final=rho,
            status=Status[config["status"]],
            kl=arrays["kl"],
            history=tuple(iterate(*row) for row in rows),
            observed=_under("observed/", arrays),
            **{name: config[name] for name in NUMBERS},
        )


def _under(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
