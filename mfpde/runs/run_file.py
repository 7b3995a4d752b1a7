"""Run files: HDF5, one schema version, written beside the target and renamed over it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfpde import losses
from mfpde.blocks import Block, from_spec, spec_of
from mfpde.measures import MEASURES
from mfpde.problem import Problem
from mfpde.runs.atomic import replacing
from mfpde.runs.options import Options
from mfpde.runs.solution import SERIES, Control, Errors, Solution
from mfpde.runs.status import Status
from mfpde.runs.step import Solving

if TYPE_CHECKING:
    import h5py

# What a run's control holds beside s and arrays.
_SCALARS = [f.name for f in fields(Control) if f.name not in ("s", "state", "watch")]

PathLike = str | os.PathLike[str]

SCHEMA = 4
FORMAT = "mfpde run"


def save(solution: Solution, path: PathLike) -> None:
    """Write ``solution``; the previous file stays whole until the new one is on the disk.

    Raises FileNotFoundError where the folder does not exist.
    """
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        _write(solution, file)


def _write(solution: Solution, file: h5py.File) -> None:
    problem, control, rho = solution.problem, solution.control, solution.final
    measure, arrays = rho.spec()
    config = {
        **write_problem(problem, file),
        "measure": {"kind": rho.kind, **measure},
        "options": asdict(solution.options),
        "control": {name: getattr(control, name) for name in _SCALARS},
        "note": solution.note,
        "stats": solution.stats,
        "versions": versions(),
    }
    file.attrs.update(format=FORMAT, schema=SCHEMA, status=solution.status.name)
    file.attrs["s"] = control.s
    file.attrs["config"] = json.dumps(config)
    file["measure/state"] = control.state
    for name, array in arrays.items():
        file["measure/fixed/" + name] = array
    file["control/watch"] = control.watch
    for name in SERIES:
        file["series/" + name] = getattr(solution, name)
    if solution.errors is not None:
        for name, values in solution.errors._asdict().items():
            file["errors/" + name] = values
    file["states/s"] = solution.saved_s
    file["states/values"] = np.array(solution.states)


def write_problem(problem: Problem, file: h5py.File) -> dict[str, Any]:
    """Write a problem's arrays, and return the plain values that belong to them."""
    for name in ("x", "y", "embed", "readout"):
        file["problem/" + name] = getattr(problem, name)
    if problem.weights is not None:
        file["problem/weights"] = problem.weights
    return {
        "block": spec_of(problem.block),
        "block_repr": repr(problem.block),
        "loss": losses.spec_of(problem.loss),
        "penalty": asdict(problem.penalty),
        "temperature": problem.temperature,
        "memory": problem.memory,
    }


def read_problem(file: h5py.File, config: dict[str, Any], block: Any) -> Problem:
    """The problem of ``write_problem``; a block the package does not know is handed over."""
    return Problem(
        *(file["problem/" + name][...] for name in ("x", "y")),
        block=_block(config, block),
        embed=file["problem/embed"][...],
        readout=file["problem/readout"][...],
        loss=config["loss"],
        weights=file["problem/weights"][...] if "problem/weights" in file else None,
        weight_decay=config["penalty"]["quadratic"],
        quartic_decay=config["penalty"]["quartic"],
        temperature=config["temperature"],
        memory=config.get("memory"),
    )


def load(path: PathLike, *, block: Any = None) -> Solution:
    """Read a run file.

    Raises FileNotFoundError for a missing file, ValueError for one that is torn, not a run file,
    of a newer schema, or whose block must be handed over.
    """
    import h5py

    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"path: no run file at {source}")
    try:
        with h5py.File(source, "r") as file:
            return _read(file, source, block)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"path: {source} is not a whole run file ({error})") from None


def _read(file: h5py.File, source: Path, block: Any) -> Solution:
    if file.attrs.get("format") != FORMAT:
        raise ValueError(f"path: {source} is an HDF5 file, but not a run file of mfpde")
    if file.attrs["schema"] != SCHEMA:
        raise ValueError(
            f"path: {source} has schema {file.attrs['schema']}; this version reads {SCHEMA}"
        )
    config = json.loads(file.attrs["config"])
    problem = read_problem(file, config, block)
    state = file["measure/state"][...]
    fixed = {name: array[...] for name, array in file.get("measure/fixed", {}).items()}
    rho = MEASURES[config["measure"].pop("kind")].from_spec(config["measure"], fixed, state)
    chosen = {**config["options"], "times": tuple(config["options"]["times"])}
    arrays = {"state": state, "watch": file["control/watch"][...]}
    config["control"]["solving"] = Solving(*config["control"]["solving"])
    control = Control(float(file.attrs["s"]), **arrays, **config["control"])
    solution = Solution(problem, rho, Options(**chosen), control, config["note"])
    for row in zip(*(file["series/" + name][...] for name in SERIES), strict=True):
        solution.record(*row)
    for s, state in zip(file["states/s"][...], file["states/values"][...], strict=True):
        solution.save_state(s, state)
    if "errors" in file:
        solution.errors = Errors(*(file["errors/" + name][...] for name in Errors._fields))
    solution.close(Status[file.attrs["status"]], config["stats"])
    return solution


def _block(config: dict[str, Any], given: Any) -> Block:
    spec = config["block"]
    if spec is None:
        if isinstance(given, Block):
            return given
        raise ValueError(
            f"block: the run used a block of the user's own, {config['block_repr']}; "
            "hand it over as block=..."
        )
    return from_spec(spec)


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    from importlib.metadata import version

    packages = ("numpy", "scipy", "numba", "h5py")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "mfpde": _own_version(),
    }


def _own_version() -> str:
    import mfpde

    return mfpde.__version__
