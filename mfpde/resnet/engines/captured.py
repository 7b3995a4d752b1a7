"""The hand-written adjoint as one CUDA graph: thousands of small kernels for one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from mfpde.problem import Problem
from mfpde.resnet.engines.adjoint import Adjoint
from mfpde.resnet.engines.base import Pass, Rows

GRAPHS = 2  # held, each with the memory of a pass: a batch in parts ends with a shorter one
WARM = 3  # runs before capture, which allocate what the libraries allocate once


def capture(function: Callable[[], Pass]) -> tuple[Callable[[], None], Pass]:
    """A replay of ``function``, and the tensors that each replay writes."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        written = function()
    return graph.replay, written


class Graph(NamedTuple):
    """Inputs at fixed places, what replays the pass on them, and where it writes."""

    inputs: tuple[torch.Tensor, ...]
    replay: Callable[[], None]
    written: Pass


class Captured(Adjoint):
    """Inputs are copied into fixed tensors, then the graph of their shapes is replayed."""

    name = "captured"

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        super().__init__(problem, dtype, device)
        self._graphs: dict[tuple[torch.Size, ...], Graph] = {}

    @torch.no_grad()
    def gradient(self, theta: torch.Tensor, rows: Rows | None = None) -> Pass:
        inputs = (theta, *self.data(len(theta), rows))
        shapes = tuple(value.shape for value in inputs)
        if shapes not in self._graphs:
            if len(self._graphs) == GRAPHS:
                self._graphs.clear()  # their memory first
            self._graphs[shapes] = self._record(inputs)
        graph = self._graphs[shapes]
        for fixed, value in zip(graph.inputs, inputs, strict=True):
            fixed.copy_(value)
        graph.replay()
        return graph.written

    def _record(self, inputs: tuple[torch.Tensor, ...]) -> Graph:
        fixed = tuple(value.clone() for value in inputs)
        return Graph(fixed, *capture(lambda: self.passes(*fixed)))
