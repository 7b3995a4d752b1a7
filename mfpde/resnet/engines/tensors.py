"""What the torch engines share: the problem on a device, activations, blocks and losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mfpde.blocks import SHL, Block, Linear
from mfpde.problem import Problem
from mfpde.resnet.engines.base import Rows

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
    """Whether the block has a torch version (a subclass may compute something else)."""
    return type(block) in (SHL, Linear)


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


class Tensors:
    """A problem's data, readout and loss on one device, in one precision."""

    backend = "torch"

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        self.problem = problem
        self.device, self.dtype = device_named(device), getattr(torch, dtype)
        self.start, self.y = self.array(problem.start()), self.array(problem.y)
        self.readout = self.array(problem.readout)

    def array(self, value: NDArray[Any]) -> torch.Tensor:
        return torch.tensor(np.asarray(value), dtype=self.dtype, device=self.device)

    def numpy(self, value: torch.Tensor) -> NDArray[Any]:
        out: NDArray[Any] = value.detach().cpu().numpy()
        return out

    def data(self, networks: int, rows: Rows | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states at depth 0 (S, n, d) and targets (S, n, k) of the rows."""
        if rows is None:
            return tuple(t.expand(networks, *t.shape) for t in (self.start, self.y))
        index = torch.as_tensor(rows, device=self.device)
        return self.start[index], self.y[index]

    def loss(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(1/n) Σ_i ℓ(z_i, y_i) of each network, (S,)."""
        if self.problem.loss.name == "squared":
            return 0.5 * (z - y).square().sum(-1).mean(-1)
        return (torch.logsumexp(z, -1) - (z * y).sum(-1)).mean(-1)
