"""Data in blocks, where the states of all of them at once would not fit into memory.

Data do not meet inside depth, so that a first variation is a sum over blocks of data, and outputs
and their changes are rows of blocks. A block is carried, read and dropped: what stays is X_i(1).
Whatever is asked for after that carries the blocks again, a forward pass more than without blocks.
Sums run over the blocks in order. What needs the states of all data (trajectories, the tangent
kernel) makes them, or says how large they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mfpde import checks
from mfpde.passes import room
from mfpde.passes.interface import Array
from mfpde.passes.layered import LayeredCarried
from mfpde.passes.propagate import Forward


class InBlocks(LayeredCarried):
    """Data carried in blocks of ``length``; ``one`` is what carries a block."""

    mixes = False  # a mixed kernel takes the states of all data too
    one: ClassVar[type[LayeredCarried]]
    length: int

    def prepare(self) -> None:
        """X_i(1) and, for the problem's own data, the first variation in the same sweep."""
        most = self.operator.block_bytes
        self.length = room.length(self.operator.memory, most, self.layers, self.begin.shape[1])
        self._end = np.empty(self.begin.shape, self.layers.theta.dtype)
        wanted, total = self.own and self.keep, None
        for rows, part in self._parts():
            self._end[rows] = part.end
            if wanted := wanted and bool(np.isfinite(part.end).all()):
                self._compare(rows, part)
                total = part.variation if total is None else total + part.variation
        self._variation = total if wanted else None

    def _parts(self) -> Iterator[tuple[slice, Any]]:
        for low in range(0, len(self.begin), self.length):
            rows = slice(low, low + self.length)
            begin = self.begin[rows]
            yield rows, self.one(self.operator, self.state, self.layers, begin, self.keep)

    def _compared(self) -> Iterator[Any]:
        for rows, part in self._parts():
            self._compare(rows, part)
            yield part

    def _compare(self, rows: slice, part: Any) -> None:
        """Give a block the slopes of the loss at its outputs."""
        part.slope = self.operator.problem.part(rows).loss_gradient(part.outputs)

    @property
    def end(self) -> Array:
        return self._end

    @cached_property
    def passed(self) -> Forward:
        """The states of all data at once, for what cannot do without.

        Raises ValueError where they are more than the machine has.
        """
        data, dim = self.begin.shape
        needed = float(data * room.bytes_per_datum(self.layers, dim))
        checks.memory(f"the states of {data} data", needed, "take fewer data")
        return super().passed

    @cached_property
    def variation(self) -> Array:
        if self._variation is not None:
            return self._variation
        return self.pull(self.slope / self.operator.problem.size)

    def pull(self, v: Array) -> Array:
        found: Array = _total(part.pull(v[rows]) for rows, part in self._parts())
        return found

    def push(self, velocity: Array) -> Array:
        return np.concatenate([part.push(velocity) for _, part in self._parts()])

    def potential_at(self, node: int, theta: Array) -> Array:
        return _total(part.potential_at(node, theta) for part in self._compared())

    def potentials(self, points: Array) -> Array:
        return _total(part.potentials(points) for part in self._compared())

    def potential_slope(self, node: int, theta: Array) -> Array:
        return _total(part.potential_slope(node, theta) for part in self._compared())


def _total(terms: Iterator[Array]) -> Array:
    """The sum in order."""
    total = next(terms).copy()
    for term in terms:
        total += term
    return total
