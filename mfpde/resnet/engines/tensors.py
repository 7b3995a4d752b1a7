"""What the torch engines share: the problem on a device, in one precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mfpde.losses import TorchForm
from mfpde.problem import Problem
from mfpde.resnet.engines.base import Array, Rows, weighted_targets


def device_named(device: str) -> torch.device:
    """The device of that name; "auto" is the GPU where there is one.

    Raises ValueError for a name torch does not know, or a GPU that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda'; given {device!r}") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: torch sees no GPU here; use device='auto'")
    return found


@contextmanager
def products(tf32: bool) -> Iterator[None]:
    """float32 products of matrices exactly, or in tf32; whatever the process had set before."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class Tensors:
    """A problem's data, readout and loss on one device; θ is (S, L, M, p).

    ``dtype`` "tf32" and "bfloat16" keep everything in float32 but the products of matrices.
    """

    backend, coordinates = "torch", -1

    def __init__(self, problem: Problem, dtype: str, device: str) -> None:
        self.problem, self.precision = problem, dtype
        self.device = device_named(device)
        self.dtype = torch.float64 if dtype == "float64" else torch.float32
        self.start, self.y = self._tensor(problem.start()), self._tensor(weighted_targets(problem))
        self.readout = self._tensor(problem.readout)
        self._loss = loss_form(problem)

    def _tensor(self, value: Array) -> torch.Tensor:
        return torch.tensor(np.asarray(value), dtype=self.dtype, device=self.device)

    def load(self, theta: Array) -> torch.Tensor:
        return self._tensor(theta)

    def unload(self, theta: torch.Tensor) -> Array:
        return self.numpy(theta)

    def rates(self, values: Array) -> torch.Tensor:
        return self._tensor(values)

    def numpy(self, value: torch.Tensor) -> Array:
        out: Array = value.detach().to("cpu", copy=True).numpy()
        return out

    def data(self, networks: int, rows: Rows | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states at depth 0 (S, n, d) and targets with weights (S, n, k + 1)."""
        if rows is None:
            start, y = self.start, self.y
            return start.expand(networks, *start.shape), y.expand(networks, *y.shape)
        index = torch.tensor(rows, device=self.device)
        return self.start[index], self.y[index]

    def loss(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(1/n) Σ_i w_i ℓ(z_i, y_i) of each network, (S,)."""
        return (y[..., -1] * self._loss.value(z, y[..., :-1])).mean(-1)

    def cotangent(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(1/n) w_i Bᵀ ∂ℓ(z_i, y_i), (S, n, d)."""
        slope = y[..., -1:] * self._loss.gradient(z, y[..., :-1])
        return (slope / z.shape[1]) @ self.readout


def loss_form(problem: Problem) -> TorchForm:
    """The problem's loss in torch, after it has been compared with NumPy's on its targets.

    Raises ValueError for a loss without one, or where the two differ.
    """
    loss, y = problem.loss, problem.y[:64]
    form = loss.torch_form(torch)
    z = np.random.default_rng(0).standard_normal(y.shape)
    there = torch.tensor(z), torch.tensor(y)
    for name in ("value", "gradient"):
        expected, given = getattr(loss, name)(z, y), getattr(form, name)(*there).numpy()
        error = float(np.abs(given - expected).max())
        if not error <= 1e-9 * (1.0 + np.abs(expected).max()):
            raise ValueError(
                f"loss {loss.name!r}: torch's {name} differs from NumPy's by {error:.3g}"
            )
    return form
