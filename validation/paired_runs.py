"""Paired runs of image networks: what one way of training gains over another, and its cost."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import study
import torch
from numpy.typing import ArrayLike
from study import Claim
from torch.nn import functional

from mfpde import checks
from mfpde.images import (
    MODELS,
    ImageData,
    Recipe,
    Run,
    Trainer,
    build,
    execute_all,
    read_records,
)


@dataclass(frozen=True)
class Gain:
    """Mean difference over ``pairs`` seeds and its 95 % intervals, infinite for one pair.

    ``interval``: Student's t for paired differences; ``bootstrap``: percentiles over resampled
    pairs, which is too narrow for few of them.
    """

    pairs: int
    mean: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]

    @property
    def found(self) -> str:
        """What the t interval shows."""
        low, high = self.interval
        return "gain" if low > 0 else "loss" if high < 0 else "not resolved"


def paired_gain(
    variant: ArrayLike, plain: ArrayLike, *, resamples: int = 10_000, seed: int = 0
) -> Gain:
    """Gain of ``variant`` over ``plain``, (n,) each, paired by position.

    Raises ValueError for lengths that differ or are 0.
    """
    high = checks.array("variant", variant, ("n",))
    low = checks.array("plain", plain, (len(high),))
    differences, count = high - low, checks.count("pairs", len(high))
    mean, nowhere = float(differences.mean()), (-np.inf, np.inf)
    if count == 1:
        return Gain(count, mean, nowhere, nowhere)
    from scipy.stats import t

    half = float(t.ppf(0.975, count - 1) * differences.std(ddof=1) / np.sqrt(count))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    means = differences[rng.integers(count, size=(resamples, count))].mean(axis=1)
    ends = np.quantile(means, [0.025, 0.975])
    return Gain(count, mean, (mean - half, mean + half), (float(ends[0]), float(ends[1])))


@dataclass(frozen=True)
class Row:
    """A variant beside plain training, in percent: mean accuracies, gain, exchanges per epoch."""

    data: str
    architecture: str
    epochs: int
    variant: str
    plain: float
    accuracy: float
    gain: Gain
    exchanges: float


def summarise(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """A row for each data set, architecture, length and variant that has pairs with "plain".

    ``records`` as ``read_records`` returns them; accuracy is that of the last epoch.
    """
    found: dict[tuple[str, str, int], dict[str, dict[int, Any]]] = {}
    for one in records:
        known = one["identity"]
        key = (known["data"], known["architecture"], known["epochs"])
        found.setdefault(key, {}).setdefault(one["variant"], {})[one["seed"]] = one["history"]
    return [
        _row(key, variant, runs[variant], runs["plain"])
        for key, runs in found.items()
        for variant in runs
        if variant != "plain" and runs[variant].keys() & runs.get("plain", {}).keys()
    ]


def _row(
    key: tuple[str, str, int], variant: str, runs: Mapping[int, Any], plain: Mapping[int, Any]
) -> Row:
    seeds = sorted(runs.keys() & plain.keys())
    ours, theirs = (
        np.array([100 * one[seed]["accuracy"][-1] for seed in seeds]) for one in (runs, plain)
    )
    moved = float(np.mean([runs[seed]["exchanges"] for seed in seeds]))
    gain = paired_gain(ours, theirs)
    return Row(*key, variant, float(theirs.mean()), float(ours.mean()), gain, moved)


PUBLISHED = "+.25 to +.55"
NETWORKS = [name for name in MODELS if name.startswith("resne")]


def train_all(
    chosen: argparse.Namespace, data: ImageData, ways: dict[str, Recipe]
) -> list[dict[str, Any]]:
    """Train every run that is not yet in ``chosen.out``; all records there."""
    folder = chosen.out / "runs"
    how = {name: getattr(chosen, name) for name in ("device", "evaluate_every", "threads")}
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "images.npz"
        data.save(source)
        runs = [
            Run(str(source), data.name, chosen.architecture, name, seed, way, folder, **how)
            for seed, (name, way) in product(seeds, ways.items())
        ]
        for one in execute_all(runs, chosen.jobs):
            share, moved = one["history"]["accuracy"][-1], sum(one["history"]["exchanges"])
            study.say(
                f"seed {one['seed']} {one['variant']}: {100 * share:.2f} %, {moved} exchanges"
            )
    return read_records(folder)


def write(out: Path, records: list[dict[str, Any]], rows: list[Row]) -> None:
    """The tables that the figure draws from."""
    epochs, places = [], []
    for one in records:
        known, past = one["identity"], one["history"]
        run = (known["data"], known["architecture"], known["epochs"], one["variant"], one["seed"])
        series = zip(past["loss"], past["accuracy"], past["exchanges"], strict=True)
        epochs += [(*run, epoch, *values) for epoch, values in enumerate(series, 1)]
        places += [
            (*run, epoch, stage, block, t)
            for epoch, stages in enumerate(past["t"])
            for stage, blocks in enumerate(stages)
            for block, t in enumerate(blocks)
        ]
    run = ("data", "architecture", "epochs", "variant")
    study.write_csv(
        out / "epochs.csv", (*run, "seed", "epoch", "loss", "accuracy", "exchanges"), epochs
    )
    study.write_csv(out / "places.csv", (*run, "seed", "epoch", "stage", "block", "t"), places)
    means = ("plain", "accuracy", "pairs", "gain", "t_low", "t_high", "boot_low", "boot_high")
    values = [
        (
            *(one.data, one.architecture, one.epochs, one.variant, one.plain, one.accuracy),
            *(one.gain.pairs, one.gain.mean, *one.gain.interval, *one.gain.bootstrap),
            one.exchanges,
        )
        for one in rows
    ]
    study.write_csv(out / "summary.csv", (*run, *means, "exchanges"), values)


def show(rows: list[Row]) -> None:
    """Published gains beside measured ones, and which rows are missing."""
    header = ("data", "network", "epochs", "variant", "pairs", "plain %", "variant %", "gain")
    more = ("95 % (t)", "95 % (bootstrap)", "published", "exchanges/epoch", "found")
    lines = []
    for one in rows:
        both = (one.gain.interval, one.gain.bootstrap)
        spans = (f"[{low:+.2f}, {high:+.2f}]" for low, high in both)
        means = (f"{one.plain:.2f}", f"{one.accuracy:.2f}", f"{one.gain.mean:+.2f}")
        run = (one.data, one.architecture, one.epochs, one.variant, one.gain.pairs)
        lines.append((*run, *means, *spans, PUBLISHED, one.exchanges, one.gain.found))
    print()
    study.table((*header, *more), lines)
    measured = {(one.data, one.architecture) for one in rows}
    for data in ("cifar10", "cifar100"):
        missing = [name for name in NETWORKS if (data, name) not in measured]
        if missing:
            print(f"missing, whole {data}: {', '.join(missing)}")


def gain_claims(rows: Iterable[Row]) -> list[Claim]:
    """The published gain, against each row's interval."""
    held = {"gain": True, "loss": False, "not resolved": None}
    return [
        Claim(
            f"{one.data}, {one.architecture}, {one.variant}: better than plain training "
            f"(published {PUBLISHED} points).",
            f"{one.gain.mean:+.2f} [{one.gain.interval[0]:+.2f}, {one.gain.interval[1]:+.2f}] "
            f"points over {one.gain.pairs} pairs: {one.gain.found}.",
            held[one.gain.found],
        )
        for one in rows
    ]


def first_loss(trainer: Trainer) -> float:
    """Training loss on the first batch, before any step."""
    images, labels = next(trainer.batches(0))
    with torch.no_grad():
        return float(functional.cross_entropy(trainer.model(images), labels))


def cost_ratios(
    architecture: str,
    data: ImageData,
    recipes: Mapping[str, Recipe],
    *,
    device: str = "auto",
    steps: int = 8,
    rounds: int = 9,
) -> dict[str, float]:
    """Training time of each recipe over that of the bare network, which has no places at all.

    Contenders alternate, ``steps`` batches at a time, after one round to warm up; the median of
    ``rounds`` ratios. Processor time on a CPU, elapsed time on a GPU.
    """
    size = next(iter(recipes.values())).batch_size
    data = data.first(train=min(len(data.x_train), steps * size))
    trainers = {
        name: Trainer(architecture, data, recipe, seed=0, device=device)
        for name, recipe in recipes.items()
    }
    bare = _bare(next(iter(trainers.values())))
    contenders = {**{name: one.train_epoch for name, one in trainers.items()}, "": bare}
    on_cpu = next(iter(trainers.values())).device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, epoch in contenders.items():
            start = clock()
            epoch()
            times[name].append(clock() - start)
    reference = np.array(times.pop("")[1:])
    return {name: float(np.median(np.array(t[1:]) / reference)) for name, t in times.items()}


def _bare(like: Trainer) -> Callable[[], None]:
    """An epoch of plain training, written out: no wrapper, no places."""
    recipe = like.recipe
    model = build(like.architecture, classes=like.classes, channels=like.x.shape[1])
    model.to(like.device, memory_format=like.layout).train()
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.rate, recipe.momentum, weight_decay=recipe.weight_decay
    )

    def epoch() -> None:
        total = torch.zeros((), device=like.device)
        for images, labels in like.batches(0):
            optimizer.zero_grad(set_to_none=True)
            with like.autocast():
                loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        float(total)  # waits for the device, as the contenders do

    return epoch
