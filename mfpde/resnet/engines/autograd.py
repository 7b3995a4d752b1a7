"""Training steps by torch autograd: an independent implementation, for any block torch knows."""

from __future__ import annotations

from typing import Any

import torch

from mfpde.problem import Problem
from mfpde.resnet.engines.base import Pass, Rows
from mfpde.resnet.engines.tensors import Tensors, field


class Autograd(Tensors):
    """All networks in one graph of tensors, differentiated by torch."""

    name = "autograd"

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        super().__init__(problem, dtype, device)
        self.field = field(problem.block)

    def states(self, theta: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """X(1) (S, N, d) of X^{l+1} = X^l + (1/L) F_l(X^l) from ``start`` (S, N, d)."""
        x = start
        for layer in theta.unbind(1):
            x = x + self.field(x, layer) / theta.shape[1]
        return x

    def gradient(self, theta: torch.Tensor, rows: Rows | None = None) -> Pass:
        start, y = self.data(len(theta), rows)
        leaf = theta.detach().requires_grad_()
        outputs = self.states(leaf, start) @ self.readout.mT
        loss = self.loss(outputs, y)
        (slope,) = torch.autograd.grad(loss.sum(), leaf)
        scale = theta.shape[1] * theta.shape[2]
        return Pass(loss.detach(), outputs.detach(), slope * scale)

    @torch.no_grad()
    def evaluate(self, theta: torch.Tensor) -> tuple[Any, Any]:
        start, y = self.data(len(theta), None)
        outputs = self.states(theta, start) @ self.readout.mT
        return self.loss(outputs, y), outputs
