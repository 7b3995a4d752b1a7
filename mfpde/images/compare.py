"""Paired runs: what one way of training gains over another, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.nn import functional

from mfpde import checks
from mfpde.images.data import ImageData
from mfpde.images.models import build
from mfpde.images.recipe import Recipe
from mfpde.images.training import Trainer


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
