"""Run files of trainings: HDF5, whole or absent; a resumed run equals the straight one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mfpde.passes.ranks import Ranks
from mfpde.problem import Problem
from mfpde.resnet.engines import Engine
from mfpde.resnet.observables import Observables
from mfpde.resnet.optimizers import OPTIMIZERS
from mfpde.resnet.plan import Plan
from mfpde.resnet.run import Records, Run, State
from mfpde.runs import run_file, stored_problem
from mfpde.runs.atomic import PathLike
from mfpde.runs.run_file import Record
from mfpde.runs.status import Status

FORMAT = "mfpde training"
SERIES = ("s", "loss", "saved_s", "saved")
TIMES = ("s", "saved_s")  # the same for all networks


def record(run: Run, dtype: str) -> Record:
    """A run as it stands, with all that goes on from it but the observables' code."""
    optimizer, unload = run.plan.optimizer, run.engine.unload
    problem, arrays = stored_problem.write(run.problem)
    slots = {f"slots/{k}": unload(slot) for k, slot in enumerate(run.state.slots)}
    series = {"records/" + name: getattr(run.records, name) for name in SERIES}
    observed = {"observed/" + name: values for name, values in run.records.observed.items()}
    return Record(
        FORMAT,
        {**problem, "seeds": run.seeds, "engine": run.engine.name, "dtype": dtype},
        {
            "plan": {**asdict(run.plan), "optimizer": [optimizer.name, asdict(optimizer)]},
            "status": run.status.name,
            "n": run.state.n,
            "last": run.records.last,
            "versions": stored_problem.versions(),
        },
        {**arrays, "initial": run.initial},
        {"theta": unload(run.state.theta), **slots},
        {**series, **observed},
    )


def joined(parts: Sequence[Record]) -> Record:
    """The run of networks that were trained apart, as far as all of them are."""
    first = parts[0]
    if len(parts) == 1:
        return first
    seeds = [seed for part in parts for seed in part.fixed["seeds"]]
    initial = np.concatenate([part.fixed_arrays["initial"] for part in parts])
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in first.arrays}
    rows = {}
    for name, values in first.rows.items():
        together = zip(*(part.rows[name] for part in parts), strict=False)  # the shortest counts
        alike = name.removeprefix("records/") in TIMES
        rows[name] = values if alike else [np.concatenate(some) for some in together]
    return Record(
        FORMAT,
        {**first.fixed, "seeds": tuple(seeds)},
        first.config,
        {**first.fixed_arrays, "initial": initial},
        arrays,
        rows,
    )


class Stored:
    """What a run file holds, before an engine takes it over."""

    def __init__(self, path: PathLike, block: Any = None) -> None:
        """Read a file.

        Raises FileNotFoundError for a missing file, ValueError for one that is torn, damaged,
        foreign, at odds with itself, or whose block must be handed over.
        """
        found = run_file.load(path, FORMAT)
        with run_file.naming(Path(path)):
            self._read(found, block)
            self._check()

    def _read(self, found: Record, block: Any) -> None:
        fixed, config, arrays = found.fixed, found.config, found.arrays
        self.problem: Problem = stored_problem.read(fixed, arrays, block)
        self.plan = _plan(config["plan"])
        self.seeds = tuple(fixed["seeds"])
        self.engine, self.dtype = str(fixed["engine"]), str(fixed["dtype"])
        self.status = Status[config["status"]]
        self.n, self.last = int(config["n"]), int(config["last"])
        self.initial, self.theta = arrays["initial"], arrays["theta"]
        self.slots = [arrays[f"slots/{k}"] for k in range(self.plan.optimizer.slots)]
        self.series = {name: _rows(found.rows["records/" + name]) for name in SERIES}
        self.observed = {
            name.removeprefix("observed/"): _rows(values)
            for name, values in found.rows.items()
            if name.startswith("observed/")
        }

    def _check(self) -> None:
        """Raise ValueError for a run that could not have been written."""
        shape, series = self.initial.shape, self.series
        if len(shape) != 4 or shape[0] != len(self.seeds) or shape[3] != self.problem.block.size:
            raise ValueError(f"parameters of shape {shape} fit neither the block nor the seeds")
        if any(a.shape != shape or not np.isfinite(a).all() for a in (self.theta, *self.slots)):
            raise ValueError("the parameters are not finite, or of another shape than at the start")
        if not self.last <= self.n <= self.plan.count or not 0.0 < self.plan.h < np.inf:
            raise ValueError(f"step {self.n} of {self.plan.count} with step size {self.plan.h}")
        lengths = {len(v) for v in (series["s"], series["loss"], *self.observed.values())}
        if len(lengths) > 1 or len(series["saved_s"]) != len(series["saved"]):
            raise ValueError("its series are not of one length")

    def run(
        self,
        engine: Engine,
        plan: Plan,
        observables: Observables,
        which: slice = slice(None),
        ranks: Ranks | None = None,
    ) -> Run:
        """The run as it stood, on an engine of the same precision, or ``which`` of its networks.

        Raises ValueError where ``observables`` are not those the run began with.
        """
        if set(observables) != set(self.observed):
            raise ValueError(
                f"observe must name what the run observes, {sorted(self.observed)}, whose code is "
                f"not in the file; given {sorted(observables)}"
            )
        seeds, initial = self.seeds[which], self.initial[which]
        run = Run(self.problem, engine, plan, seeds, initial, observables, ranks)
        slots = tuple(engine.load(slot[which]) for slot in self.slots)
        run.state = run.good = State(engine.load(self.theta[which]), slots, self.n)
        series = {
            name: values if name in TIMES else [value[which] for value in values]
            for name, values in self.series.items()
        }
        observed = {name: [v[which] for v in values] for name, values in self.observed.items()}
        run.records = Records(**series, observed=observed, last=self.last)
        return run


def _plan(values: dict[str, Any]) -> Plan:
    name, fields = values.pop("optimizer")
    values["saves"] = tuple(values["saves"])
    return Plan(optimizer=OPTIMIZERS[name](**fields), **values)


def _rows(values: Any) -> list[Any]:
    """A series as the list it was: of numbers, or of arrays."""
    return [value if np.ndim(value) else float(value) for value in values]
