"""What the verbs write: read whatever kind it is, told in lines, and as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.entropic.result import Iterate, Stationary
from mfpde.limits import Limit
from mfpde.limits.result import SERIES as OF_LIMIT
from mfpde.response import FiniteSize, Sensitivity
from mfpde.response.finite_result import SERIES as OF_NETWORKS
from mfpde.runs import run_file
from mfpde.runs.atomic import PathLike, replacing
from mfpde.runs.control import SERIES
from mfpde.runs.solution import Solution

Array = NDArray[Any]


def _networks(path: PathLike) -> Any:
    from mfpde import resnet

    return resnet.load(path)


# Formats of files and what reads them.
KINDS: dict[str, Callable[[PathLike], Any]] = {
    "mfpde run": Solution.load,
    "mfpde stationary": Stationary.load,
    "mfpde limit": Limit.load,
    "mfpde finite size": FiniteSize.load,
    "mfpde sensitivity": Sensitivity.load,
    "mfpde training": _networks,
    "mfpde networks": _networks,
}


def load(path: PathLike) -> Any:
    """The result in a file of any verb.

    Raises FileNotFoundError for a missing file, ValueError for one that is torn or foreign.
    """
    kind = run_file.format_of(path)
    if kind not in KINDS:
        raise ValueError(f"path: {path} is a file of {kind}; known are {', '.join(KINDS)}")
    return KINDS[kind](path)


def describe(found: Any) -> Iterator[str]:
    """Lines on what a result holds."""
    yield f"{found!r}\n{found.message}"
    if hasattr(found, "problem"):
        yield f"{found.problem}"
    if isinstance(found, Solution | Stationary | Limit):
        yield f"{found.final}"
    if isinstance(found, Solution):
        times = found.saved_s
        told = [f"{s:.6g}" for s in (times if len(times) <= 12 else [*times[:5], *times[-5:]])]
        told[5:5] = ["..."] if len(times) > 12 else []
        yield f"saved states at s = {', '.join(told)}"
        seconds = found.stats.get("seconds", {})
        counts = {key: value for key, value in found.stats.items() if key != "seconds"}
        yield "counts   " + ", ".join(f"{key} {value}" for key, value in counts.items())
        yield "seconds  " + ", ".join(f"{key} {value:.3g}" for key, value in seconds.items())
    if seen := getattr(found, "observed", {}):
        yield "observed " + ", ".join(seen)


def write_table(found: Any, path: PathLike) -> None:
    """The series of a result as CSV, one row for each time or iterate, numbers in full."""
    table = columns(found)
    rows = np.stack(list(table.values()), axis=1)
    with replacing(path) as file:
        file.write((",".join(table) + "\n").encode())
        np.savetxt(file, rows, fmt="%.17g", delimiter=",")


def columns(found: Any) -> dict[str, Array]:
    """The series of a result by name, all of one length; arrays are several columns."""
    if isinstance(found, Limit):
        return {name: getattr(found, name) for name in ("s", *OF_LIMIT)}
    if isinstance(found, FiniteSize):
        return {name: getattr(found, name) for name in ("s", *OF_NETWORKS)}
    if isinstance(found, Sensitivity):
        own = {"datum": np.arange(len(found.weights)), "weight": found.weights}
        return own | _flat("target", found.targets) | _flat("input", found.inputs)
    if isinstance(found, Stationary):
        own = dict(zip(Iterate._fields, np.array(found.history, dtype=np.float64).T, strict=True))
    elif isinstance(found, Solution):
        own = {name: getattr(found, name) for name in SERIES}
    else:
        return {"s": found.s, **_of_networks(found)}
    for name, values in found.observed.items():
        own |= _flat(name, values)
    return own


def _of_networks(found: Any) -> dict[str, Array]:
    """Series (S, n, ...) of S networks, each with the network's seed in its name."""
    out: dict[str, Array] = {}
    for name, values in {"loss": found.loss, **found.observed}.items():
        for seed, one in zip(found.seeds, values, strict=True):
            out |= _flat(f"{name}_seed{seed}", one)
    return out


def _flat(name: str, values: Array) -> dict[str, Array]:
    if values.ndim == 1:
        return {name: values}
    return {f"{name}_{k}": column for k, column in enumerate(values.reshape(len(values), -1).T)}
