"""Limits in files: HDF5, written beside the target and renamed over it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfpde.depth import Depth
from mfpde.limits.gaps import Gap, Yardstick
from mfpde.limits.parts import Pair, Part
from mfpde.limits.result import Limit
from mfpde.limits.scrambled import Spread, average
from mfpde.limits.sizes import Scrambles, Sizes, Tensor
from mfpde.limits.study import Run
from mfpde.measures.particles import ParticleMeasure
from mfpde.runs import run_file
from mfpde.runs.atomic import replacing
from mfpde.runs.status import Status

if TYPE_CHECKING:
    import h5py

PathLike = str | os.PathLike[str]

FORMAT, SCHEMA = "mfpde limit", 1


def save(found: Limit, path: PathLike) -> None:
    """Write a limit with the runs behind its bars, so that ``predict`` has them after loading.

    Raises FileNotFoundError where the folder does not exist.
    """
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        runs: list[Run] = []
        points = found.sizes.points
        config = {
            **run_file.write_problem(found.problem, file),
            "rtol": found.rtol,
            "points": {"kind": found.sizes.rule, **vars(points)},
            "sizes": found.sizes[1:],
            "yardstick": [found.yardstick.outputs, found.yardstick.loss],
            "work": found.work,
            "seconds": found.seconds,
            "runs": [_number(run, runs) for run in found.runs],
            "parts": {name: _part(part, runs) for name, part in found.parts.items()},
            "versions": run_file.versions(),
        }
        file.attrs.update(format=FORMAT, schema=SCHEMA, status=found.status.name)
        file.attrs["config"] = json.dumps(config)
        for name in ("s", "loss", "outputs"):
            file[name] = getattr(found, name)
        for name, part in found.parts.items():
            file[f"parts/{name}/loss"], file[f"parts/{name}/outputs"] = vars(part.gap).values()
        for number, run in enumerate(runs):
            _write(run, file.create_group(f"runs/{number}"))


def _number(run: Run, runs: list[Run]) -> int:
    """The place of a run in the file; each is written once."""
    for number, known in enumerate(runs):
        if known is run:
            return number
    runs.append(run)
    return len(runs) - 1


def _part(part: Part | Spread, runs: list[Run]) -> dict[str, Any]:
    if isinstance(part, Spread):
        means = {"fine": part.fine, "coarse": part.coarse}
        return {name: [_number(run, runs) for run in mean.runs] for name, mean in means.items()}
    pairs = [(_number(p.fine, runs), _number(p.coarse, runs), p.factor) for p in part.pairs]
    return {"pairs": pairs}


def _write(run: Run, group: h5py.Group) -> None:
    for name in ("outputs", "penalty", "loss", "grid"):
        group[name] = getattr(run, name)
    group["theta"], group["weights"] = run.final.theta, run.final.weights
    group.attrs["depth_steps"] = run.final.depth.steps


def load(path: PathLike, *, block: Any = None) -> Limit:
    """Read a limit; a block that the package does not know is handed over.

    Raises FileNotFoundError for a missing file, ValueError for one that is torn, or no limit.
    """
    import h5py

    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"path: no file at {source}")
    try:
        with h5py.File(source, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("schema") != SCHEMA:
                raise ValueError(f"path: {source} is not a limit of this version of mfpde")
            return _read(file, block)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"path: {source} is not a whole file ({error})") from None


def _read(file: h5py.File, block: Any) -> Limit:
    config = json.loads(file.attrs["config"])
    problem = run_file.read_problem(file, config, block)
    runs = [_read_run(file[f"runs/{number}"]) for number in range(len(file["runs"]))]
    parts: dict[str, Part | Spread] = {}
    for name, told in config["parts"].items():
        gap = Gap(file[f"parts/{name}/loss"][...], file[f"parts/{name}/outputs"][...])
        if "pairs" in told:
            pairs = [Pair(runs[int(a)], runs[int(b)], factor) for a, b, factor in told["pairs"]]
            parts[name] = Part(gap, tuple(pairs))
        else:
            means = [average(problem, [runs[i] for i in told[key]]) for key in ("fine", "coarse")]
            parts[name] = Spread(gap, *means)
    return Limit(
        problem,
        s=file["s"][...],
        loss=file["loss"][...],
        outputs=file["outputs"][...],
        rtol=config["rtol"],
        sizes=Sizes(_points(config["points"]), *config["sizes"]),
        status=Status[file.attrs["status"]],
        work=config["work"],
        seconds=config["seconds"],
        runs=tuple(runs[i] for i in config["runs"]),
        parts=parts,
        yardstick=Yardstick(*config["yardstick"]),
    )


def _points(told: dict[str, Any]) -> Tensor | Scrambles:
    if told["kind"] == "sobol":
        return Scrambles(told["count"], told["scrambles"])
    return Tensor(tuple(told["orders"]), tuple(told["rules"]))


def _read_run(group: h5py.Group) -> Run:
    outputs, penalty, loss, grid, theta, weights = (
        group[name][...] for name in ("outputs", "penalty", "loss", "grid", "theta", "weights")
    )
    depth = Depth(int(group.attrs["depth_steps"]), "rk4")
    return Run(outputs, penalty, loss, ParticleMeasure(theta, depth, weights), grid)
