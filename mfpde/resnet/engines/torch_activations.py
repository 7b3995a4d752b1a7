"""Activations for torch: σ, and g σ′ from what a forward pass kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

Map = Callable[[torch.Tensor], torch.Tensor]
Pull = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

LINEAR_FROM = 40.0  # where softplus(z) = z to the last bit of float64; torch's own limit is 20


class TorchActivation(NamedTuple):
    """σ, and (g, kept) ↦ g σ′ in one kernel; ``kept`` is σ where ``from_value``, else z."""

    sigma: Map
    pull: Pull
    from_value: bool


_ops = torch.ops.aten

ACTIVATIONS: dict[str, TorchActivation] = {
    "tanh": TorchActivation(torch.tanh, _ops.tanh_backward, True),
    "sigmoid": TorchActivation(torch.sigmoid, _ops.sigmoid_backward, True),
    "relu": TorchActivation(torch.relu, lambda g, s: _ops.threshold_backward(g, s, 0), True),
    "softplus": TorchActivation(
        lambda z: functional.softplus(z, threshold=LINEAR_FROM),
        lambda g, z: _ops.softplus_backward(g, z, 1.0, LINEAR_FROM),
        False,
    ),
    "gelu": TorchActivation(functional.gelu, _ops.gelu_backward, False),
    "silu": TorchActivation(functional.silu, _ops.silu_backward, False),
    "sin": TorchActivation(torch.sin, lambda g, z: g * torch.cos(z), False),
}
