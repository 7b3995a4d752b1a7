"""Gradient descent by torch autograd, all seeds in one tensor program (CPU or GPU)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mfpde import checks
from mfpde.blocks import SHL, Block, Linear
from mfpde.problem import Problem
from mfpde.progress import Progress

Array = NDArray[np.float64]
Field = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "relu": torch.relu,
    "sin": torch.sin,
}


def knows(block: Block) -> bool:
    """Whether the block has a torch version."""
    return isinstance(block, (SHL, Linear))


def device_named(device: str) -> torch.device:
    """The device of that name; "auto" is the GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def field(block: Block) -> Field:
    """x (S, N, d), θ (S, M, p) ↦ (1/M) Σ_j f(x, θ_j), (S, N, d)."""
    d = block.dim
    if isinstance(block, Linear):
        return lambda x, theta: x @ theta[..., :d].mT @ theta[..., d:] / theta.shape[1]
    if not isinstance(block, SHL):
        raise TypeError(f"no torch version of {block!r}")
    sigma, bias = ACTIVATIONS[block.activation.name], block.bias

    def shl(x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        z = x @ theta[..., d : 2 * d].mT
        if bias:
            z = z + theta[..., None, :, 2 * d]
        return sigma(z) @ theta[..., :d] / theta.shape[1]

    return shl


class Networks:
    """S networks X^{l+1} = X^l + (1/L) F_l(X^l) on one data set."""

    def __init__(self, problem: Problem, device: str, dtype: torch.dtype = torch.float64) -> None:
        self.device, self.dtype = device_named(device), dtype
        self.field, self.problem = field(problem.block), problem
        self.start = self._tensor(problem.start())
        self.y, self.readout = self._tensor(problem.y), self._tensor(problem.readout)

    def _tensor(self, value: Any) -> torch.Tensor:
        return torch.tensor(np.array(value), dtype=self.dtype, device=self.device)

    def outputs(self, theta: torch.Tensor) -> torch.Tensor:
        """(S, L, M, p) ↦ (S, N, k)."""
        x = self.start.expand(theta.shape[0], *self.start.shape)
        for layer in theta.unbind(1):
            x = x + self.field(x, layer) / theta.shape[1]
        return x @ self.readout.mT

    def loss(self, theta: torch.Tensor) -> torch.Tensor:
        """E of each network, (S,)."""
        z, penalty = self.outputs(theta), self.problem.penalty
        if self.problem.loss.name == "squared":
            data = 0.5 * (z - self.y).square().sum(-1).mean(-1)
        else:
            data = (torch.logsumexp(z, -1) - (z * self.y).sum(-1)).mean(-1)
        if not penalty:
            return data
        square = theta.square().sum(-1)
        terms = 0.5 * penalty.quadratic * square + 0.25 * penalty.quartic * square.square()
        return data + terms.mean((1, 2))

    def gradient(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses (S,) and L·M·∂E/∂θ (S, L, M, p): the particles' ∇_θ V."""
        theta = theta.detach().requires_grad_()
        loss = self.loss(theta)
        (slope,) = torch.autograd.grad(loss.sum(), theta)
        return loss.detach(), slope * (theta.shape[1] * theta.shape[2])


def descend(
    problem: Problem, start: Array, h: float, count: int, device: str, bar: Progress
) -> tuple[Array, Array, Array]:
    """``count`` steps of gradient descent: losses (S, count+1), outputs and parameters."""
    networks = Networks(problem, device)
    theta = torch.tensor(start, dtype=networks.dtype, device=networks.device)
    losses = []
    for n in range(count):
        loss, slope = networks.gradient(theta)
        losses.append(loss.cpu().numpy())
        checks.finite_loss(losses[-1], n * h)
        bar.update(n * h, float(losses[-1].mean()))
        theta = theta - h * slope
    with torch.no_grad():
        losses.append(networks.loss(theta).cpu().numpy())
        outputs = networks.outputs(theta).cpu().numpy()
    checks.finite_loss(losses[-1], count * h)
    return np.stack(losses, axis=1), outputs, theta.cpu().numpy()
