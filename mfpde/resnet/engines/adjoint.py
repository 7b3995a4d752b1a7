"""Hand-written forward and adjoint of SHL networks in torch: eight kernels a layer, no autograd.

The formulas of ``mfpde.kernels.layered``, for all networks at once. θ is (S, L, p, M).
"""

from __future__ import annotations

import torch

from mfpde.blocks import SHL, computes
from mfpde.problem import Problem
from mfpde.resnet.engines.base import Array, Pass, Rows
from mfpde.resnet.engines.tensors import Tensors, products

Layer = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Adjoint(Tensors):
    """σ or z of every layer is kept between the passes: S·L·n·M numbers."""

    name, coordinates = "adjoint", -2

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        super().__init__(problem, dtype, device)
        if not computes(problem.block, SHL):
            raise TypeError(f"block must be SHL; given {problem.block!r}")
        self.dim, self.bias = problem.block.dim, problem.block.bias
        self.activation = problem.block.activation.torch_form(torch)
        self.narrow = torch.bfloat16 if dtype == "bfloat16" else self.dtype

    def load(self, theta: Array) -> torch.Tensor:
        return self._tensor(theta).mT.contiguous()

    def unload(self, theta: torch.Tensor) -> Array:
        return self.numpy(theta.mT.contiguous())

    def rates(self, values: Array) -> torch.Tensor:
        return self._tensor(values[:, None])

    @torch.no_grad()
    def gradient(self, theta: torch.Tensor, rows: Rows | None = None) -> Pass:
        start, y = self.data(len(theta), rows)
        return self.passes(theta, start, y)

    @torch.no_grad()
    def evaluate(
        self, theta: torch.Tensor, rows: Rows | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, y = self.data(len(theta), rows)
        with products(self.precision == "tf32"):
            path, _ = self.forward(theta, start, keep=False)
            outputs = path[-1] @ self.readout.mT
        return self.loss(outputs, y), outputs

    def passes(self, theta: torch.Tensor, start: torch.Tensor, y: torch.Tensor) -> Pass:
        """Loss, outputs and gradient from tensors alone: what a graph can capture."""
        with products(self.precision == "tf32"):
            path, kept = self.forward(theta, start, keep=True)
            outputs = path[-1] @ self.readout.mT
            slope = self.backward(theta, path, kept, self.cotangent(outputs, y))
        return Pass(self.loss(outputs, y), outputs, slope)

    def forward(
        self, theta: torch.Tensor, start: torch.Tensor, *, keep: bool
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """X^0 … X^L (or only the last), and what was kept of each layer."""
        scale, low = 1.0 / (theta.shape[1] * theta.shape[3]), theta.to(self.narrow)
        path, kept = [start], []
        for u, w, b in self._layers(low):
            x = path[-1]
            z = self._preactivation(x, w, b)
            s = self.activation.sigma(z)
            if keep:
                kept.append(s if self.activation.from_value else z)
            else:
                path.clear()
            path.append(self._add(x, s, u.mT, scale))
        return path, kept

    def backward(
        self,
        theta: torch.Tensor,
        path: list[torch.Tensor],
        kept: list[torch.Tensor],
        p: torch.Tensor,
    ) -> torch.Tensor:
        """L·M·∂E/∂θ from the cotangent P^L."""
        scale, low, d = 1.0 / (theta.shape[1] * theta.shape[3]), theta.to(self.narrow), self.dim
        slope = torch.empty_like(theta)
        for k, (u, w, _) in reversed(list(enumerate(self._layers(low)))):
            s = kept[k] if self.activation.from_value else self.activation.sigma(kept[k])
            q = p.to(self.narrow)
            t = self.activation.pull(torch.bmm(q, u), kept.pop())
            self._product(q.mT, s, slope[:, k, :d])
            self._product(path[k].to(self.narrow).mT, t, slope[:, k, d : 2 * d])
            if self.bias:
                slope[:, k, 2 * d] = t.sum(1)
            p = self._add(p, t, w.mT, scale)
        return slope

    def _layers(self, theta: torch.Tensor) -> list[Layer]:
        d = self.dim
        return [(one[:, :d], one[:, d : 2 * d], one[:, 2 * d :]) for one in theta.unbind(1)]

    def _preactivation(self, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        x = x.to(self.narrow)
        return torch.baddbmm(b, x, w) if self.bias else torch.bmm(x, w)

    def _product(self, left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
        if self.narrow is self.dtype:
            torch.bmm(left, right, out=out)
        else:
            out.copy_(torch.bmm(left, right))

    def _add(
        self, x: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """x + scale · left right, the sum in the wide precision."""
        if self.narrow is self.dtype:
            return torch.baddbmm(x, left, right, alpha=scale)
        return torch.add(x, torch.bmm(left, right), alpha=scale)
