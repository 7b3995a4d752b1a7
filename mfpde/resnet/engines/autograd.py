"""Training steps by torch autograd: an independent implementation, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mfpde.blocks import Block, is_own
from mfpde.problem import Problem
from mfpde.resnet.engines.base import Pass, Rows
from mfpde.resnet.engines.tensors import Tensors, products

Field = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def field(block: Block) -> Field:
    """x (S, n, d), θ (S, M, p) ↦ (1/M) Σ_j f(x, θ_j), (S, n, d).

    Raises TypeError for a block without torch form, ValueError for one that differs from NumPy's.
    """
    form = block.torch_form()
    if form is None:
        raise TypeError(f"no torch version of {block!r}")
    made: Field = form(torch)
    if not is_own(block):
        _compare(block, made)
    return made


def _compare(block: Block, made: Field) -> None:
    rng = np.random.default_rng(0)
    x, theta = rng.standard_normal((2, 3, block.dim)), rng.standard_normal((2, 4, block.size))
    given = made(torch.tensor(x), torch.tensor(theta)).detach().numpy()
    pairs = zip(x, theta, strict=True)
    expected = np.stack([block.field(*one, np.full(4, 0.25)) for one in pairs])
    error = float(np.abs(given - expected).max())
    if not error <= 1e-9 * (1.0 + np.abs(expected).max()):
        raise ValueError(f"{block!r}: its torch form differs from its field by {error:.3g}")


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
