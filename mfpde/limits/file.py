"""Limits in files: sealed records like those of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import optimizers
from mfpde.limits import lazy
from mfpde.limits.gaps import Gap, Yardstick
from mfpde.limits.lazy import Alone
from mfpde.limits.parts import Pair, Part
from mfpde.limits.run import Run, Terms
from mfpde.limits.scrambled import Explained, Spread
from mfpde.limits.sizes import Scrambles, Sizes, Tensor
from mfpde.problem import Problem
from mfpde.runs import run_file, stored_measure, stored_problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.run_file import Record
from mfpde.runs.status import Status

Arrays = dict[str, NDArray[Any]]

FORMAT = "mfpde limit"


def save(found: Any, path: PathLike) -> None:
    """Write a limit with the runs behind its bars, so that ``predict`` has them after loading.

    Raises FileNotFoundError where the folder does not exist.
    """
    runs: list[Run] = []
    problem, arrays = stored_problem.write(found.problem)
    config = {
        "rtol": found.rtol,
        "optimizer": None if found.optimizer is None else optimizers.spec_of(found.optimizer),
        "points": {"kind": found.sizes.rule, **vars(found.sizes.points)},
        "sizes": found.sizes[1:],
        "yardstick": [found.yardstick.outputs, found.yardstick.loss],
        "work": found.work,
        "seconds": found.seconds,
        "terms": _terms(found.terms, runs),
        "parts": {name: _part(part, runs) for name, part in found.parts.items()},
        "versions": stored_problem.versions(),
        "status": found.status.name,
        "depths": [],
        "quick": [run.quick for run in runs],
        "gradients": [run.gradients for run in runs],
    }
    arrays.update({name: getattr(found, name) for name in ("s", "loss", "outputs")})
    for name, part in found.parts.items():
        arrays[f"parts/{name}/loss"], arrays[f"parts/{name}/outputs"] = vars(part.gap).values()
    for name, values in found.observed.items():
        arrays[f"observed/{name}"] = values
        arrays[f"observed_error/{name}"] = found.observed_error[name]
    width = found.parts["width"]
    if isinstance(width, Spread) and width.alone:
        told = width.alone.flow.table(runs[0].final.depth) | {"factor": width.alone.factor}
        arrays.update({f"alone/{name}": value for name, value in told.items()})
    for number, run in enumerate(runs):
        own = {name: getattr(run, name) for name in ("outputs", "penalty", "loss", "grid")}
        depth, final = stored_measure.write(run.final, f"runs/{number}")
        config["depths"].append(depth)
        if run.alone:
            own |= {f"alone/{name}": value for name, value in run.alone.arrays().items()}
        arrays.update({f"runs/{number}/{name}": np.asarray(value) for name, value in own.items()})
        arrays |= final
    run_file.save(Record(FORMAT, problem, config, {}, arrays), path)


def _number(run: Run, runs: list[Run]) -> int:
    """The place of a run in the file; each is written once."""
    for number, known in enumerate(runs):
        if known is run:
            return number
    runs.append(run)
    return len(runs) - 1


def _terms(terms: Terms, runs: list[Run]) -> list[tuple[float, int]]:
    return [(c, _number(run, runs)) for c, run in terms]


def _part(part: Part | Spread, runs: list[Run]) -> dict[str, Any]:
    if isinstance(part, Spread):
        both = {"fine": part.fine, "coarse": part.coarse}
        return {name: [_terms(one, runs) for one in each] for name, each in both.items()}
    pairs = [(_number(p.fine, runs), _number(p.coarse, runs), p.factor) for p in part.pairs]
    return {"pairs": pairs}


def load(kind: Any, path: PathLike, block: Any) -> Any:
    """Read a limit, an object of ``kind``; a block that the package does not know is handed over.

    Raises FileNotFoundError for a missing file, ValueError for one that is torn, damaged, or no
    limit.
    """
    found = run_file.load(path, FORMAT)
    with run_file.naming(Path(path)):
        return _read(kind, found, block)


def _read(kind: Any, found: Record, block: Any) -> Any:
    config, arrays = found.config, found.arrays
    problem = stored_problem.read(found.fixed, arrays, block)
    about = zip(config["depths"], config["gradients"], config["quick"], strict=True)
    runs = [_run(arrays, number, *one) for number, one in enumerate(about)]

    def terms(told: list[tuple[float, int]]) -> Terms:
        return tuple((c, runs[i]) for c, i in told)

    parts: dict[str, Part | Spread] = {}
    for name, told in config["parts"].items():
        gap = Gap(arrays[f"parts/{name}/loss"], arrays[f"parts/{name}/outputs"])
        if "pairs" in told:
            pairs = [Pair(runs[int(a)], runs[int(b)], factor) for a, b, factor in told["pairs"]]
            parts[name] = Part(gap, tuple(pairs))
        else:
            fine, coarse = (tuple(map(terms, told[key])) for key in ("fine", "coarse"))
            parts[name] = Spread(gap, fine, coarse, _explained(problem, arrays, fine))
    return kind(
        problem,
        s=arrays["s"],
        loss=arrays["loss"],
        outputs=arrays["outputs"],
        rtol=config["rtol"],
        sizes=Sizes(_points(config["points"]), *config["sizes"]),
        status=Status[config["status"]],
        work=config["work"],
        seconds=config["seconds"],
        terms=terms(config["terms"]),
        parts=parts,
        yardstick=Yardstick(*config["yardstick"]),
        observed=_named(arrays, "observed/"),
        observed_error=_named(arrays, "observed_error/"),
        optimizer=None if config["optimizer"] is None else optimizers.named(config["optimizer"]),
    )


def _explained(problem: Problem, arrays: Arrays, scrambles: tuple[Terms, ...]) -> Explained | None:
    told = _named(arrays, "alone/")
    if not told:
        return None
    depth = scrambles[0][0][1].final.depth
    return Explained(lazy.of_table(problem, arrays["s"], depth, told), told["factor"])


def _named(arrays: Arrays, prefix: str) -> Arrays:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _points(told: dict[str, Any]) -> Tensor | Scrambles:
    if told["kind"] == "sobol":
        return Scrambles(told["count"], told["scrambles"], told["hurry"])
    pieces = tuple((int(sheets), int(count)) for sheets, count in told["pieces"])
    return Tensor(tuple(told["orders"]), tuple(told["rules"]), pieces)


def _run(arrays: Arrays, number: int, depth: list[Any], gradients: int, quick: bool) -> Run:
    name = f"runs/{number}"
    outputs, penalty, loss, grid = (
        arrays[f"{name}/{each}"] for each in ("outputs", "penalty", "loss", "grid")
    )
    final = stored_measure.read(depth, arrays, name)
    alone = Alone.of(_named(arrays, f"{name}/alone/"))
    return Run(outputs, penalty, {}, loss, final, grid, gradients, alone, quick)
