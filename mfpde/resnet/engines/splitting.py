"""When a pass does not fit the device's memory, do it in parts: of the networks, then of the data.

What fills the memory are the activations of a pass; θ, its gradient and the optimiser's slots
stay whole. Parts of networks change nothing, parts of data only the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch

from mfpde.resnet.engines.base import Engine, Pass, Rows

T = TypeVar("T")


class Splitting:
    """An engine that halves its batch, and remembers, each time memory runs out."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.problem = engine, engine.problem
        self.backend, self.name, self.coordinates = engine.backend, engine.name, engine.coordinates
        self.load, self.unload = engine.load, engine.unload
        self.rates, self.numpy = engine.rates, engine.numpy
        self.networks: int | None = None  # at a time; None is all
        self.data: int | None = None

    def gradient(self, theta: Any, rows: Rows | None = None) -> Pass:
        return self._insist(lambda: self._gradient(theta, rows), theta, rows)

    def evaluate(self, theta: Any, rows: Rows | None = None) -> tuple[Any, Any]:
        return self._insist(lambda: self._evaluate(theta, rows), theta, rows)

    def _insist(self, work: Callable[[], T], theta: Any, rows: Rows | None) -> T:
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                pass  # not in here: the exception still holds the tensors of the failed pass
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._halve(len(theta), self._count(rows))

    def _halve(self, networks: int, data: int) -> None:
        now = min(self.networks or networks, networks)
        here = min(self.data or data, data)
        if now > 1:
            self.networks = (now + 1) // 2
        elif here > 1:
            self.data = (here + 1) // 2
        else:
            raise MemoryError("one datum of one network does not fit the device's memory")

    def _gradient(self, theta: Any, rows: Rows | None) -> Pass:
        parts = list(self._parts(len(theta), rows))
        if len(parts) == 1:
            return self.engine.gradient(theta, rows)
        slope = torch.zeros_like(theta)
        losses, outputs = [], []
        for networks, pieces in parts:
            loss, found = 0.0, []
            for piece, share in pieces:
                passed = self.engine.gradient(theta[networks], piece)
                slope[networks].add_(passed.slope, alpha=share)
                loss = loss + share * passed.loss
                found.append(passed.outputs.clone())
            losses.append(loss)
            outputs.append(torch.cat(found, dim=1))
        return Pass(torch.cat(losses), torch.cat(outputs), slope)

    def _evaluate(self, theta: Any, rows: Rows | None) -> tuple[Any, Any]:
        parts = list(self._parts(len(theta), rows))
        if len(parts) == 1:
            return self.engine.evaluate(theta, rows)
        losses, outputs = [], []
        for networks, pieces in parts:
            found = [(self.engine.evaluate(theta[networks], piece), a) for piece, a in pieces]
            losses.append(sum(share * loss for (loss, _), share in found))
            outputs.append(torch.cat([z for (_, z), _ in found], dim=1))
        return torch.cat(losses), torch.cat(outputs)

    def _parts(
        self, count: int, rows: Rows | None
    ) -> Iterator[tuple[slice, list[tuple[Rows | None, float]]]]:
        """Networks that go together, and for each such part the rows of its passes and shares."""
        data = self._count(rows)
        networks, size = min(self.networks or count, count), min(self.data or data, data)
        for first in range(0, count, networks):
            part = slice(first, min(first + networks, count))
            mine = None if rows is None else rows[part]
            if size == data:
                yield part, [(mine, 1.0)]
                continue
            every = np.arange(data)[None] if mine is None else mine
            cuts = [every[:, at : at + size] for at in range(0, data, size)]
            wide = [np.broadcast_to(cut, (part.stop - first, cut.shape[1])) for cut in cuts]
            yield part, [(cut, cut.shape[1] / data) for cut in wide]

    def _count(self, rows: Rows | None) -> int:
        return self.problem.size if rows is None else rows.shape[1]
