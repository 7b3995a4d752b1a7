"""Training by reordering blocks: places in depth learn beside the weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from mfpde import checks
from mfpde.images.stage import MeanFieldStage

REORDER = ("step", "epoch")
_NAME = re.compile(r"(?P<path>[^\[\]]+)(\[(?P<first>\d+):\])?")


class MeanFieldTraining:
    """Lets the residual blocks of a model learn their places in depth, and change order.

    Each stage of ``model`` named in ``stages`` (a sequence of residual blocks, "layer1"; without
    its first block, "layer2[1:]") becomes a ``MeanFieldStage``, in place, and the model's function
    stays what it was, bit for bit. Then train as ever::

        training = MeanFieldTraining(model, ["layer1", "layer2[1:]"], rate=0.1)
        optimizer = torch.optim.SGD(training.parameter_groups(weight_decay=1e-4), lr=0.1)
        for x, y in batches:
            ...                      # zero_grad, forward, backward, optimizer.step()
            training.after_step()    # places stay in [0, 1], blocks are sorted
        training.after_epoch()       # sorts here, where reorder="epoch"

    ``rate`` is the learning rate of n·t, the place counted in blocks, in the same optimiser (0: t
    is frozen, which is plain training); ``rule``: "gap" (published), "share" (gaps over their sum)
    or "window" (continuous across exchanges), see ``stage``; ``reorder``: "step" or "epoch".
    Between two sorts a gap may be negative, and the exact gradient pulls it back or the next sort
    exchanges the blocks.

    At 0 and 1 places are projected: the reflection of a flow without noise is to stay at the wall
    while the velocity points outwards. (Folding back would make blocks at a wall exchange at every
    step.) They move by plain gradient steps, without momentum, which would carry them on, and
    without weight decay.

    Raises ValueError for a name that is no sequence of blocks, or bad ``rate``, ``rule`` or
    ``reorder``. Source: Lu, Ma, Lu, Lu, Ying 2020, the training algorithm.
    """

    def __init__(
        self,
        model: nn.Module,
        stages: Iterable[str],
        *,
        rate: float = 0.1,
        rule: str = "gap",
        reorder: str = "step",
    ) -> None:
        self.rate = checks.positive("rate", rate, zero=True)
        self.reorder = checks.choice("reorder", reorder, REORDER)
        if rule == "window" and reorder == "epoch":
            raise ValueError("reorder must be 'step' with rule='window'; given 'epoch'")
        self.model = model
        self.stages = [_wrap(model, name, rule) for name in stages]
        if not self.stages:
            raise ValueError("stages must name at least one sequence of blocks; given none")
        for stage in self.stages:
            stage.position.requires_grad_(not self.frozen)
        self.exchanges = 0

    @property
    def frozen(self) -> bool:
        """Whether places stay where they are: plain training."""
        return self.rate == 0.0

    @property
    def t(self) -> list[list[float]]:
        """Depths in [0, 1] of every stage's blocks, which keep their index when they move."""
        return [stage.t for stage in self.stages]

    def parameter_groups(self, **options: Any) -> list[dict[str, Any]]:
        """Groups for a torch optimiser: the weights, with ``options``, and the places."""
        places = [stage.position for stage in self.stages]
        known = {id(place) for place in places}
        weights = [p for p in self.model.parameters() if id(p) not in known]
        groups: list[dict[str, Any]] = [{"params": weights, **options}]
        if not self.frozen:
            still = {"lr": self.rate, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
            groups.append({"params": places, **still})
        return groups

    @torch.no_grad()
    def after_step(self) -> None:
        """Project places onto [0, 1], and sort the blocks where they are sorted each step."""
        if self.frozen:
            return
        for stage in self.stages:
            stage.position.clamp_(0.0, float(len(stage.blocks)))
        if self.reorder == "step":
            self._sort()

    @torch.no_grad()
    def after_epoch(self) -> None:
        """Sort the blocks where they are sorted each epoch."""
        if not self.frozen and self.reorder == "epoch":
            self._sort()

    def _sort(self) -> None:
        """One transfer to the host for all stages: the order of evaluation lives there."""
        places = torch.cat([stage.position for stage in self.stages]).tolist()
        for stage in self.stages:
            here, places = places[: len(stage.blocks)], places[len(stage.blocks) :]
            self.exchanges += stage.sort(here)


def _wrap(model: nn.Module, name: str, rule: str) -> MeanFieldStage:
    """Put a MeanFieldStage in the place of the named blocks."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"stages: a name is like 'layer1' or 'layer2[1:]'; given {name!r}")
    path, first = match["path"], int(match["first"] or 0)
    try:
        sequence = model.get_submodule(path)
    except AttributeError:
        raise ValueError(f"stages: the model has no module {path!r}") from None
    if not isinstance(sequence, nn.Sequential) or len(sequence) <= first:
        raise ValueError(
            f"stages: {name!r} must name blocks of an nn.Sequential; {path!r} is a "
            f"{type(sequence).__name__}"
            + (f" of {len(sequence)}" if isinstance(sequence, nn.Sequential) else "")
        )
    stage = MeanFieldStage(sequence[first:], rule)
    stage.to(next((p.device for p in sequence.parameters()), None)).train(sequence.training)
    parent, _, child = path.rpartition(".")
    whole = nn.Sequential(*sequence[:first], stage) if first else stage
    setattr(model.get_submodule(parent), child, whole)
    return stage
