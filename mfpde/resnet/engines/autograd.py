"""Training steps by torch autograd: an independent implementation, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mfpde.blocks import SHL, Block, Linear
from mfpde.problem import Problem
from mfpde.resnet.engines.base import Pass, Rows
from mfpde.resnet.engines.tensors import Tensors, products
from mfpde.resnet.engines.torch_activations import ACTIVATIONS

Field = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def field(block: Block) -> Field:
    """x (S, n, d), θ (S, M, p) ↦ (1/M) Σ_j f(x, θ_j), (S, n, d)."""
    d = block.dim
    if isinstance(block, Linear):
        return lambda x, theta: x @ theta[..., :d].mT @ theta[..., d:] / theta.shape[1]
    if not isinstance(block, SHL):
        raise TypeError(f"no torch version of {block!r}")
    sigma, bias = ACTIVATIONS[block.activation.name].sigma, block.bias

    def shl(x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        z = x @ theta[..., d : 2 * d].mT
        if bias:
            z = z + theta[..., None, :, 2 * d]
        return sigma(z) @ theta[..., :d] / theta.shape[1]

    return shl


class Autograd(Tensors):
    """All networks in one graph of tensors, differentiated by torch."""

    name = "autograd"

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        super().__init__(problem, dtype, device)
        self.field = field(problem.block)

    def gradient(self, theta: torch.Tensor, rows: Rows | None = None) -> Pass:
        start, y = self.data(len(theta), rows)
        leaf = theta.detach().requires_grad_()
        with products(self.precision == "tf32"):
            outputs = self._end(leaf, start) @ self.readout.mT
            loss = self.loss(outputs, y)
            (slope,) = torch.autograd.grad(loss.sum(), leaf)
        scale = theta.shape[1] * theta.shape[2]
        return Pass(loss.detach(), outputs.detach(), slope * scale)

    @torch.no_grad()
    def evaluate(
        self, theta: torch.Tensor, rows: Rows | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, y = self.data(len(theta), rows)
        with products(self.precision == "tf32"):
            outputs = self._end(theta, start) @ self.readout.mT
        return self.loss(outputs, y), outputs

    def _end(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """X(1) (S, n, d) of X^{l+1} = X^l + (1/L) F_l(X^l)."""
        for layer in theta.unbind(1):
            x = x + self.field(x, layer) / theta.shape[1]
        return x


class Compiled(Autograd):
    """The same with ``torch.compile`` around one layer, forward and backward.

    Around one, because a whole network would be unrolled: minutes of compilation at L = 1000.
    """

    name = "compiled"

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        super().__init__(problem, dtype, device)
        self.field = torch.compile(self.field)
