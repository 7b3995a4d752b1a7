"""The hand-written adjoint as one CUDA graph: thousands of small kernels for one launch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mfpde.problem import Problem
from mfpde.resnet.engines.adjoint import Adjoint
from mfpde.resnet.engines.base import Pass, Rows

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


class Captured(Adjoint):
    """Inputs are copied into fixed tensors, then the graph is replayed; one graph a shape."""

    name = "captured"

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        super().__init__(problem, dtype, device)
        self._shapes: tuple[torch.Size, ...] = ()

    @torch.no_grad()
    def gradient(self, theta: torch.Tensor, rows: Rows | None = None) -> Pass:
        inputs = (theta, *self.data(len(theta), rows))
        shapes = tuple(value.shape for value in inputs)
        if shapes != self._shapes:
            self._record(inputs, shapes)
        for fixed, value in zip(self._fixed, inputs, strict=True):
            fixed.copy_(value)
        self._replay()
        return self._written

    def _record(self, inputs: tuple[torch.Tensor, ...], shapes: tuple[torch.Size, ...]) -> None:
        self._shapes = ()
        self._fixed = [value.clone() for value in inputs]
        self._replay, self._written = capture(lambda: self.passes(*self._fixed))
        self._shapes = shapes
