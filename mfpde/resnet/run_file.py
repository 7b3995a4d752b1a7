"""Run files of trainings: HDF5, whole or absent; a resumed run equals the straight one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.problem import Problem
from mfpde.resnet.engines import Engine
from mfpde.resnet.observables import Observables
from mfpde.resnet.optimizers import OPTIMIZERS
from mfpde.resnet.plan import Plan
from mfpde.resnet.run import Records, Run, State
from mfpde.runs import run_file
from mfpde.runs.atomic import replacing
from mfpde.runs.run_file import PathLike

FORMAT = "mfpde training"
SCHEMA = 1


def save(run: Run, path: PathLike, dtype: str) -> None:
    """Write a run as it stands, with all that goes on from it but the observables' code."""
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        optimizer = run.plan.optimizer
        plan = {**asdict(run.plan), "optimizer": [optimizer.name, asdict(optimizer)]}
        config = {
            **run_file.write_problem(run.problem, file),
            "plan": plan,
            "seeds": run.seeds,
            "engine": run.engine.name,
            "dtype": dtype,
            "versions": run_file.versions(),
        }
        file.attrs.update(format=FORMAT, schema=SCHEMA, status=run.status.name)
        file.attrs.update(n=run.state.n, last=run.records.last, config=json.dumps(config))
        file["initial"], file["theta"] = run.initial, run.engine.unload(run.state.theta)
        for index, slot in enumerate(run.state.slots):
            file[f"slots/{index}"] = run.engine.unload(slot)
        for name in ("s", "loss", "saved_s", "saved"):
            file["records/" + name] = np.array(getattr(run.records, name))
        for name, values in run.records.observed.items():
            file["observed/" + name] = np.array(values)


class Stored:
    """What a run file holds, before an engine takes it over."""

    def __init__(self, path: PathLike, block: Any = None) -> None:
        """Read a file.

        Raises FileNotFoundError for a missing file, ValueError for one that is torn, foreign, or
        whose block must be handed over.
        """
        import h5py

        source = Path(path)
        if not source.is_file():
            raise FileNotFoundError(f"path: no run file at {source}")
        try:
            with h5py.File(source, "r") as file:
                self._read(file, source, block)
        except (OSError, KeyError, RuntimeError) as error:
            raise ValueError(f"path: {source} is not a whole run file ({error})") from None

    def _read(self, file: Any, source: Path, block: Any) -> None:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(f"path: {source} is not a run file of mfpde.resnet.train")
        if file.attrs["schema"] != SCHEMA:
            raise ValueError(
                f"path: {source} has schema {file.attrs['schema']}; this version reads {SCHEMA}"
            )
        config = json.loads(file.attrs["config"])
        self.problem: Problem = run_file.read_problem(file, config, block)
        self.plan = _plan(config["plan"])
        self.seeds = tuple(config["seeds"])
        self.engine, self.dtype = str(config["engine"]), str(config["dtype"])
        self.n, self.last = int(file.attrs["n"]), int(file.attrs["last"])
        self.initial, self.theta = file["initial"][...], file["theta"][...]
        self.slots = [file[f"slots/{k}"][...] for k in range(self.plan.optimizer.slots)]
        self.series = {name: _rows(file["records/" + name]) for name in file["records"]}
        self.observed = {name: _rows(values) for name, values in file.get("observed", {}).items()}

    def run(self, engine: Engine, plan: Plan, observables: Observables) -> Run:
        """The run as it stood, on an engine of the same precision.

        Raises ValueError where ``observables`` are not those the run began with.
        """
        if set(observables) != set(self.observed):
            raise ValueError(
                f"observables must be those of the run, {sorted(self.observed)}, whose code is "
                f"not in the file; given {sorted(observables)}"
            )
        run = Run(self.problem, engine, plan, self.seeds, self.initial, observables)
        slots = tuple(engine.load(slot) for slot in self.slots)
        run.state = run.good = State(engine.load(self.theta), slots, self.n)
        run.records = Records(**self.series, observed=self.observed, last=self.last)
        return run


def _plan(values: dict[str, Any]) -> Plan:
    name, fields = values.pop("optimizer")
    for key in ("rates", "saves"):
        values[key] = tuple(values[key])
    return Plan(optimizer=OPTIMIZERS[name](**fields), **values)


def _rows(values: Any) -> list[Any]:
    """A series as the list it was."""
    array: NDArray[Any] = values[...]
    return list(array) if array.ndim > 1 else [float(v) for v in array]
