"""Three Triton kernels a step for SHL networks: see ``mfpde.kernels.fused``."""

from __future__ import annotations

import torch

from mfpde.kernels import fused as kernels
from mfpde.problem import Problem
from mfpde.resnet.engines.adjoint import Adjoint
from mfpde.resnet.engines.base import Pass, Rows

LARGEST = 64  # dimension: beyond it a tile of particles no longer fits the registers
TILE = 1 << 14  # bytes of one tile of parameters in a program; the gradient's are a quarter


def obstacle(problem: Problem) -> Exception | None:
    """Why these kernels cannot do an SHL problem, or None."""
    activation = problem.block.activation.name  # type: ignore[attr-defined]
    if activation not in kernels.CODES:
        return ValueError(f"engine='fused' has no {activation!r}; use engine='captured'")
    if problem.block.dim > LARGEST:
        return ValueError(f"engine='fused' needs dim <= {LARGEST}; use engine='captured'")
    return None


class Fused(Adjoint):
    """Forward and adjoint are one program a datum, the gradient one kernel over all layers."""

    name = "fused"

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        super().__init__(problem, dtype, device)
        rows = max(2, 1 << (self.dim - 1).bit_length())
        size = TILE // (rows * self.dtype.itemsize)
        self._how = {
            "D": self.dim,
            "ROWS": rows,
            "BIAS": int(self.bias),
            "CODE": kernels.CODES[problem.block.activation.name],  # type: ignore[attr-defined]
        }
        self._sweep, self._sum = {"BM": min(size, 512), **self._how}, {"BM": size // 4, **self._how}

    @torch.no_grad()
    def gradient(self, theta: torch.Tensor, rows: Rows | None = None) -> Pass:
        start, y = self.data(len(theta), rows)
        path = self._forward(theta, start)
        outputs = path[:, -1] @ self.readout.mT
        pulls, slope = torch.empty_like(path), torch.empty_like(theta)
        pulls[:, -1] = self.cotangent(outputs, y)
        count, layers, _, width = theta.shape
        data = start.shape[1]
        kernels.adjoint[data, count](
            theta, path, pulls, self._scale(theta), layers, data, width, **self._sweep
        )
        blocks = -(-width // self._sum["BM"])
        kernels.gradient[blocks, layers, count](
            theta, path, pulls, slope, layers, data, width, **self._sum
        )
        return Pass(self.loss(outputs, y), outputs, slope)

    @torch.no_grad()
    def evaluate(
        self, theta: torch.Tensor, rows: Rows | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start, y = self.data(len(theta), rows)
        outputs = self._forward(theta, start)[:, -1] @ self.readout.mT
        return self.loss(outputs, y), outputs

    def _forward(self, theta: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """X^0 … X^L, (S, L + 1, n, d)."""
        (count, layers, _, width), (data, dim) = theta.shape, start.shape[1:]
        path = torch.empty((count, layers + 1, data, dim), dtype=self.dtype, device=self.device)
        path[:, 0] = start
        kernels.forward[data, count](
            theta, path, self._scale(theta), layers, data, width, **self._sweep
        )
        return path

    def _scale(self, theta: torch.Tensor) -> torch.Tensor:
        return theta.new_full((1,), 1.0 / (theta.shape[1] * theta.shape[3]))
