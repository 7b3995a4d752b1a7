"""Runs of a search in a file, each as soon as it is done: what a later search begins with.

A search does the same runs in the same order whatever stopped it before, so that it goes on
bit for bit where these end. The file is one of ``mfpde.runs.run_file``: whole at any moment.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.limits.lazy import Alone
from mfpde.limits.run import Run
from mfpde.limits.sizes import Points, Scramble, Spec, Tensor
from mfpde.limits.watch import Watch
from mfpde.measures import quadrature
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.runs import run_file, stored_problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.checkpoint import Checkpoint
from mfpde.runs.run_file import Record

Array = NDArray[np.float64]

FORMAT = "mfpde limit search"
LOOKS = np.linspace(0.0, 1.0, 17)
ARRAYS = ("outputs", "penalty", "loss", "grid")


class Memory:
    """The runs of ``path``, of an earlier search where ``resume`` says so, and new ones.

    Raises FileNotFoundError for a missing file, ValueError for one that is damaged or of another
    search, OSError where none can be written. Of several processes the ``first`` one writes.
    """

    def __init__(
        self, path: PathLike, resume: bool, about: dict[str, Any], *, first: bool = True
    ) -> None:
        self.runs: dict[Spec, Run] = {}
        about = json.loads(json.dumps(about))  # as a file has it, tuples being lists
        self._record = Record(FORMAT, about, {"runs": []})
        if resume:
            self._read(Path(path), about)
        self._file = Checkpoint(path if first else None, 0.0)

    def keep(self, spec: Spec, run: Run) -> bool:
        """Write a run; False where the system refuses."""
        self.runs[spec] = run
        self._note(spec, run)
        return self._file.write(lambda: self._record)

    def _note(self, spec: Spec, run: Run) -> None:
        number = len(self._record.config["runs"])
        told = {"spec": list(spec[1:]), "points": vars(spec.points), "quick": run.quick}
        told |= {"tensor": isinstance(spec.points, Tensor), "gradients": run.gradients}
        self._record.config["runs"].append(told | {"watched": list(run.watched)})
        arrays = {name: getattr(run, name) for name in ARRAYS}
        arrays |= {"theta": run.final.theta, "weights": run.final.weights}
        arrays |= {f"watched/{name}": value for name, value in run.watched.items()}
        if run.alone is not None:
            arrays |= {f"alone/{name}": a for name, a in run.alone.arrays().items()}
        self._record.rows.update({f"runs/{number}/{name}": [a] for name, a in arrays.items()})

    def _read(self, path: Path, about: dict[str, Any]) -> None:
        found = run_file.load(path, FORMAT)
        for name, value in about.items():
            if found.fixed.get(name) != value:
                raise ValueError(
                    f"checkpoint: {path} is of a search with another {name}; leave resume out to "
                    "begin anew"
                )
        with run_file.naming(path):
            for number, told in enumerate(found.config["runs"]):
                spec = Spec(_points(told), *told["spec"])
                self.runs[spec] = _run(found, number, told, spec)
                self._note(spec, self.runs[spec])


def _points(told: dict[str, Any]) -> Points:
    given = told["points"]
    if not told["tensor"]:
        return Scramble(**given)
    pieces = tuple((int(sheets), int(count)) for sheets, count in given["pieces"])
    return Tensor(tuple(given["orders"]), tuple(given["rules"]), pieces)


def _run(found: Record, number: int, told: dict[str, Any], spec: Spec) -> Run:
    def array(name: str) -> Array:
        return np.asarray(found.rows[f"runs/{number}/{name}"][0])

    final = ParticleMeasure(array("theta"), Depth(spec.depth_steps, "rk4"))
    final.weights = array("weights")  # to the last bit, which the constructor may round
    outputs, penalty, loss, grid = (array(name) for name in ARRAYS)
    watched = {name: array(f"watched/{name}") for name in told["watched"]}
    own = f"runs/{number}/"
    names = [name.removeprefix(own) for name in found.rows if name.startswith(own)]
    alone = {n.removeprefix("alone/"): array(n) for n in names if n.startswith("alone/")}
    gradients, quick = int(told["gradients"]), bool(told["quick"])
    return Run(outputs, penalty, watched, loss, final, grid, gradients, Alone.of(alone), quick)


def about(
    problem: Problem, law: Law | DepthLaw, s: Array, moved_by: Any, seed: int, watch: Watch
) -> dict[str, Any]:
    """What tells one search from another; rtol and budgets may differ."""
    values, arrays = stored_problem.write(problem)
    seen = {name: _digest(data.x, data.y) for name, data in watch.data.items()}
    return {
        "problem": [values, {name: _digest(array) for name, array in arrays.items()}],
        "law": _digest(*(_sample(at_depth(law, float(t))) for t in LOOKS)),
        "s_end, times or loss_below": _digest(s),
        "method or optimizer": moved_by,
        "seed": seed,
        "observe": [watch.names(), seen],
        "versions": stored_problem.versions(),
    }


def _sample(law: Law) -> Array:
    return quadrature.points(law, 64, "iid", np.random.SeedSequence(20240603))[0]


def _digest(*arrays: NDArray[Any]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(str((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]
