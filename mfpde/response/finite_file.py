"""Predictions of finite networks in files: sealed records like those of runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path as File
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import paths
from mfpde.response.expansion import Fluctuations
from mfpde.runs import run_file, stored_measure, stored_problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.run_file import Record

Arrays = dict[str, NDArray[Any]]

FORMAT = "mfpde finite size"
PLAIN = ("s", "limit", "limit_error", "of_one", "second", "bend", "spread")
VALUES = ("errors", "cost", "seconds", "seed", "interrupted")
PARTS = ("lift", "core", "few")
PATHS = {kind.__name__: kind for kind in (paths.Exponential, paths.Smooth, paths.Shared)}


def save(found: Any, path: PathLike) -> None:
    """Write a prediction, influence functions included.

    Raises FileNotFoundError where the folder does not exist, ValueError for a coupling by paths
    that are not the package's own.
    """
    problem, arrays = stored_problem.write(found.problem)
    config = {name: getattr(found, name) for name in VALUES}
    config["coupling"] = _told(found.coupling)
    config["fluctuations"] = [each.error for each in found.fluctuations]
    config["versions"] = stored_problem.versions()
    arrays.update({name: getattr(found, name) for name in PLAIN})
    arrays["of_depth"] = np.stack(found.of_depth)
    for t, each in enumerate(found.fluctuations):
        arrays.update({f"fluctuations/{t}/{name}": getattr(each, name) for name in PARTS})
    if found.influence is not None:
        config["depth"], start = stored_measure.write(found.rho0, "rho0")
        arrays |= start
        for t, pair in enumerate(zip(found.combinations, found.influence, strict=True)):
            arrays[f"combinations/{t}"], arrays[f"influence/{t}"] = pair
    run_file.save(Record(FORMAT, problem, config, {}, arrays), path)


def _told(coupling: Any) -> Any:
    if isinstance(coupling, str):
        return coupling
    if PATHS.get(type(coupling).__name__) is not type(coupling):
        raise ValueError(f"coupling={coupling!r} is no law of mfpde.paths: it cannot be written")
    return {"kind": type(coupling).__name__, **asdict(coupling)}


def load(kind: Any, path: PathLike, block: Any) -> Any:
    """Read a prediction, an object of ``kind``; a block that is not known here is handed over.

    Raises FileNotFoundError for a missing file, ValueError for one that is torn, damaged, or no
    prediction.
    """
    found = run_file.load(path, FORMAT)
    with run_file.naming(File(path)):
        return _read(kind, found, block)


def _read(kind: Any, found: Record, block: Any) -> Any:
    config, arrays = found.config, found.arrays
    coupling = config["coupling"]
    if not isinstance(coupling, str):
        options = dict(coupling)
        coupling = PATHS[options.pop("kind")](**options)
    count, whole = len(arrays["s"]), "rho0/theta" in arrays
    return kind(
        problem=stored_problem.read(found.fixed, arrays, block),
        coupling=coupling,
        of_depth=tuple(arrays["of_depth"]),
        fluctuations=tuple(
            Fluctuations(
                **{name: arrays[f"fluctuations/{t}/{name}"] for name in PARTS}, error=error
            )
            for t, error in enumerate(config["fluctuations"])
        ),
        combinations=_each(arrays, "combinations", count) if whole else None,
        influence=_each(arrays, "influence", count) if whole else None,
        rho0=stored_measure.read(config["depth"], arrays, "rho0") if whole else None,
        **{name: arrays[name] for name in PLAIN},
        **{name: config[name] for name in VALUES},
    )


def _each(arrays: Arrays, name: str, count: int) -> tuple[NDArray[Any], ...]:
    return tuple(arrays[f"{name}/{t}"] for t in range(count))
