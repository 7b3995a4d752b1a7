"""How an image network is trained, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mfpde import checks
from mfpde.images.mean_field import REORDER
from mfpde.images.stage import RULES

SCHEDULES = ("step", "cosine", "constant")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with momentum, its schedule, augmentation, and t's rate.

    The rate at a share q in [0, 1) of the run is ``rate`` times: "step" 1, then 1/10 from q = 1/2
    and 1/100 from q = 3/4 (He et al. 2016); "cosine" (1 + cos πq)/2; "constant" 1; over the first
    ``warmup`` epochs it rises linearly. ``place_rate``, the rate of n·t (0: plain training),
    follows the same schedule. ``precision``: "bfloat16" is autocast. ``compiled`` names a backend
    of torch.compile ("inductor"); blocks are compiled one by one, so that exchanges cost nothing.
    """

    epochs: int = 160
    batch_size: int = 128
    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "step"
    warmup: float = 0.0
    padding: int = 4
    flip: bool = True
    place_rate: float = 0.0
    rule: str = "gap"
    reorder: str = "step"
    precision: str = "float32"
    channels_last: bool = False
    compiled: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            checks.count(name, getattr(self, name))
        checks.count("padding", self.padding, least=0)
        checks.positive("rate", self.rate)
        for name in ("momentum", "weight_decay", "warmup", "place_rate"):
            checks.positive(name, getattr(self, name), zero=True)
        checks.choice("schedule", self.schedule, SCHEDULES)
        checks.choice("rule", self.rule, RULES)
        checks.choice("reorder", self.reorder, REORDER)
        checks.choice("precision", self.precision, PRECISIONS)

    def factor(self, epoch: float) -> float:
        """What the rates are multiplied by after ``epoch`` epochs (fractions count)."""
        share = epoch / self.epochs
        if self.schedule == "cosine":
            value = 0.5 * (1.0 + math.cos(math.pi * share))
        elif self.schedule == "step":
            value = 1.0 if share < 0.5 else 0.1 if share < 0.75 else 0.01
        else:
            value = 1.0
        return value * (min(1.0, epoch / self.warmup) if self.warmup else 1.0)
