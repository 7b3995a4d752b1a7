"""The training loop of image networks: batches on the device, checkpoints, what is recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mfpde import checks
from mfpde.images.augment import Augmentation, normalise
from mfpde.images.blocks import Residual
from mfpde.images.data import ImageData
from mfpde.images.mean_field import MeanFieldTraining
from mfpde.images.models import build
from mfpde.images.recipe import Recipe
from mfpde.resnet.engines.tensors import device_named
from mfpde.runs.atomic import PathLike, replacing
from mfpde.runs.progress import track

# Children of the seed: initial weights, and one stream of batches for every epoch.
WEIGHTS, BATCHES = 0, 1


@dataclass
class History:
    """What one run recorded, a value per epoch, and ``t`` also before the first.

    ``loss``: mean training loss; ``accuracy``: share of the test set, nan where not evaluated;
    ``exchanges``: pairs of blocks that changed order; ``seconds``: of training alone, by the clock;
    ``t``: depths of every stage's blocks.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    exchanges: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    t: list[list[list[float]]] = field(default_factory=list)


class Trainer:
    """One network, its optimiser and its data on one device.

    The same ``seed`` gives the same initial weights, batches and augmentation whatever
    ``recipe.place_rate``, ``rule`` and ``reorder`` are: runs are paired. Plain training is this
    code with t frozen.
    """

    def __init__(
        self, architecture: str, data: ImageData, recipe: Recipe, *, seed: int, device: str = "auto"
    ) -> None:
        self.architecture, self.recipe, self.seed = architecture, recipe, seed
        self.device = device_named(device)
        self.name, self.classes = data.name, data.classes
        self.model = _fresh(architecture, data, seed)
        self.mean_field = MeanFieldTraining(
            self.model,
            self.model.reorderable,
            rate=recipe.place_rate,
            rule=recipe.rule,
            reorder=recipe.reorder,
        )
        self.model.to(self.device, memory_format=self.layout)
        self.optimizer = torch.optim.SGD(
            self.mean_field.parameter_groups(weight_decay=recipe.weight_decay),
            lr=recipe.rate,
            momentum=recipe.momentum,
        )
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._augment = Augmentation(recipe.padding, recipe.flip)
        self._hold(data)
        if recipe.compiled:
            compile_blocks(self.model, recipe.compiled)
        self.history = History(t=[self.mean_field.t])

    @property
    def layout(self) -> torch.memory_format:
        """How images and weights lie in memory."""
        last = self.recipe.channels_last
        return torch.channels_last if last else torch.contiguous_format

    def _hold(self, data: ImageData) -> None:
        def to(array: Any, dtype: torch.dtype | None = None) -> Tensor:
            return torch.from_numpy(np.array(array)).to(self.device, dtype)

        self.mean, self.std = (to(moment, torch.float32) for moment in data.moments())
        self.x, self.y = to(data.x_train), to(data.y_train)
        self.x_test, self.y_test = to(data.x_test), to(data.y_test)
        self.batch = min(self.recipe.batch_size, len(self.x))

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history.loss)

    def autocast(self) -> torch.autocast:
        """The recipe's precision."""
        on = self.recipe.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled, augmented batches; the last, smaller one is left out, as batch norm wants."""
        generator = torch.Generator(self.device).manual_seed(_stream(self.seed, BATCHES, epoch))
        order = torch.randperm(len(self.x), device=self.device, generator=generator)
        for rows in order[: len(order) // self.batch * self.batch].split(self.batch):
            images = normalise(self.x[rows], self.mean, self.std)
            images = self._augment(images, generator)
            yield images.contiguous(memory_format=self.layout), self.y[rows]

    def train_epoch(self) -> None:
        """One pass over the training images, recorded in ``history``."""
        self.model.train()
        steps = len(self.x) // self.batch
        total = torch.zeros((), device=self.device)
        before, start = self.mean_field.exchanges, time.perf_counter()
        for step, (images, labels) in enumerate(self.batches(self.epoch)):
            self._set_rates(self.epoch + step / steps)
            total += self._step(images, labels)
        self.mean_field.after_epoch()
        loss = float(total) / steps
        seconds = time.perf_counter() - start
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the training loss became non-finite in epoch {self.epoch + 1}: use a smaller "
                f"rate than {self.recipe.rate:g} or some epochs of warmup"
            )
        history = self.history
        history.loss.append(loss)
        history.seconds.append(seconds)
        history.exchanges.append(self.mean_field.exchanges - before)
        history.t.append(self.mean_field.t)

    def _set_rates(self, epoch: float) -> None:
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self.recipe.factor(epoch)

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            loss = functional.cross_entropy(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        self.mean_field.after_step()
        return loss.detach()

    @torch.no_grad()
    def accuracy(self) -> float:
        """Share of the test images that the network labels correctly."""
        self.model.eval()
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        for x, y in zip(self.x_test.split(1000), self.y_test.split(1000), strict=True):
            images = normalise(x, self.mean, self.std).contiguous(memory_format=self.layout)
            with self.autocast():
                right += (self.model(images).argmax(1) == y).sum()
        return float(right) / len(self.y_test)

    def save(self, path: PathLike) -> None:
        """Write everything that the next epoch depends on; the old file stays whole till then."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "exchanges": self.mean_field.exchanges,
            "history": asdict(self.history),
            "identity": self.identity,
        }
        with replacing(path) as file:
            torch.save(state, file)

    def load(self, path: PathLike) -> None:
        """Continue from ``save``, bit for bit on a CPU.

        Raises ValueError where the checkpoint is of another network, data set, seed or recipe.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        differ = [key for key, value in self.identity.items() if state["identity"][key] != value]
        if differ:
            known = state["identity"]
            found = "; ".join(f"{key} {known[key]!r}, not {self.identity[key]!r}" for key in differ)
            raise ValueError(f"checkpoint: {path} is of another run: {found}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.mean_field.exchanges = state["exchanges"]
        self.history = History(**state["history"])

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on."""
        run = {"architecture": self.architecture, "data": self.name, "seed": self.seed}
        return {**run, **asdict(self.recipe)}


def train_images(
    architecture: str,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "auto",
    checkpoint: PathLike | None = None,
    evaluate_every: int = 1,
    progress: bool | str = "auto",
) -> History:
    """Train a network of ``models.MODELS`` and record loss, test accuracy, exchanges and t.

    ``checkpoint``: a file written after every epoch; where it exists, the run continues from it.
    The test set is read every ``evaluate_every`` epochs and after the last, and decides nothing.

    Raises FloatingPointError when the loss becomes non-finite (the checkpoint keeps the last good
    epoch), ValueError for bad names, sizes, or a checkpoint of another run.
    """
    checks.count("seed", seed, least=0)
    checks.count("evaluate_every", evaluate_every)
    trainer = Trainer(architecture, data, recipe, seed=seed, device=device)
    if checkpoint is not None and Path(checkpoint).exists():
        trainer.load(checkpoint)
    for epoch in track(range(trainer.epoch, recipe.epochs), f"{architecture} {seed}", progress):
        trainer.train_epoch()
        due = epoch + 1 == recipe.epochs or (epoch + 1) % evaluate_every == 0
        trainer.history.accuracy.append(trainer.accuracy() if due else float("nan"))
        if checkpoint is not None:
            trainer.save(checkpoint)
    return trainer.history


def compile_blocks(model: torch.nn.Module, backend: str = "inductor") -> None:
    """Compile each residual block in place, with ``torch.compile``.

    Blocks of one shape share their code, and a new order of blocks recompiles nothing, which
    compiling the whole network would. The shapes of a network, in training and in evaluation, are
    more than torch compiles of one function by default: its limit is raised.
    """
    from torch._dynamo import config

    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, limit, max(getattr(config, limit), 64))
    for module in model.modules():
        if isinstance(module, Residual):
            module.compile(backend=backend)


def _fresh(architecture: str, data: ImageData, seed: int) -> Any:
    """A network whose weights depend on the seed alone; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_stream(seed, WEIGHTS))
        return build(architecture, classes=data.classes, channels=data.channels)


def _stream(seed: int, *key: int) -> int:
    words = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
