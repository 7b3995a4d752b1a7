"""Many runs of image networks, each recorded in a file of its own, in several processes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfpde.images.data import load_images
from mfpde.images.recipe import Recipe
from mfpde.images.training import train_images
from mfpde.runs.atomic import replacing
from mfpde.runs.pool import spawned


@dataclass(frozen=True)
class Run:
    """One training run: what, where its images are, and the folder of its record.

    ``source`` is what ``load_images`` takes, ``name`` what the data set is called; ``variant``
    names the recipe among those of one seed. ``threads``: of torch, set for the process that runs
    it (0: torch's default).
    """

    source: str
    name: str
    architecture: str
    variant: str
    seed: int
    recipe: Recipe
    folder: Path
    device: str = "auto"
    evaluate_every: int = 1
    threads: int = 0

    @property
    def record(self) -> Path:
        """The file that holds the finished run."""
        epochs = f"{self.recipe.epochs}epochs"
        parts = (self.name, self.architecture, epochs, self.variant, f"seed{self.seed}")
        return self.folder / (".".join(parts) + ".json")

    @property
    def identity(self) -> dict[str, Any]:
        """What must agree for a record to be of this run."""
        return {"data": self.name, "architecture": self.architecture, **asdict(self.recipe)}

    def finished(self) -> bool:
        """Whether the record is there; ValueError where it is of another recipe."""
        if not self.record.exists():
            return False
        known = json.loads(self.record.read_text())["identity"]
        differ = [f"{k} {known.get(k)!r}" for k, v in self.identity.items() if known.get(k) != v]
        if differ:
            raise ValueError(
                f"folder: {self.record} was made with {', '.join(differ)}; use another folder"
            )
        return True


def execute(run: Run) -> dict[str, Any]:
    """Train, from the last checkpoint where there is one, and write the record."""
    import torch

    if run.threads:
        torch.set_num_threads(run.threads)
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    run.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = run.record.with_suffix(".pt")
    data = load_images(run.source).named(run.name)
    history = train_images(
        run.architecture,
        data,
        run.recipe,
        seed=run.seed,
        device=run.device,
        checkpoint=checkpoint,
        evaluate_every=run.evaluate_every,
        progress=False,
    )
    labels = {"variant": run.variant, "seed": run.seed, "torch": torch.__version__}
    record = {"identity": run.identity, **labels, "history": asdict(history)}
    with replacing(run.record) as file:
        file.write(json.dumps(record).encode())
    checkpoint.unlink()
    return record


def execute_all(runs: Iterable[Run], jobs: int = 1) -> Iterator[dict[str, Any]]:
    """Records of the runs that were not finished, as they finish, ``jobs`` at a time.

    With ``jobs`` > 1 each runs in a spawned process; several share one card well.
    """
    todo = [run for run in runs if not run.finished()]
    if jobs == 1:
        yield from map(execute, todo)
        return
    with spawned(jobs, threads=None) as pool:
        for done in as_completed([pool.submit(execute, run) for run in todo]):
            yield done.result()


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Every record in a folder, by name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
