"""The weights of a trained torch network as particles in our scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks

Array = NDArray[Any]


def particles(module: object, scale: float) -> Array:
    """θ (L, M, p) with (1/(LM)) Σ_j u_j σ(w_j·x + b_j) = scale·W₂σ(W₁x + b) in each layer.

    Raises TypeError for what has no modules, ValueError for layers that do not pair up.
    """
    pairs = _pairs(module)
    thetas = [_block(inner, outer, k) for k, (inner, outer) in enumerate(pairs)]
    shapes = sorted({theta.shape for theta in thetas})
    if len(shapes) > 1:
        raise ValueError(f"module: its blocks must have one shape; found (M, p) = {shapes}")
    theta = np.stack(thetas)
    layers, width, _ = theta.shape
    theta[..., : pairs[0][0].in_features] *= checks.finite("scale", scale) * layers * width
    return theta


def _pairs(module: object) -> list[tuple[Any, Any]]:
    modules = getattr(module, "modules", None)
    if not callable(modules) or isinstance(module, type):
        raise TypeError(f"module must be a torch.nn.Module; given {checks.brief(module)}")
    linear = [part for part in modules() if hasattr(part, "in_features")]
    if not linear or len(linear) % 2:
        raise ValueError(
            "module must hold two linear layers for each block and no other: hand over the list "
            f"of the blocks, without embedding and readout; found {len(linear)} linear layers"
        )
    return list(zip(linear[::2], linear[1::2], strict=True))


def _block(inner: Any, outer: Any, k: int) -> Array:
    """(u, w, b) of one block, (M, 2d + 1) or (M, 2d) without bias; u is W₂'s own."""
    if (inner.in_features, inner.out_features) != (outer.out_features, outer.in_features):
        raise ValueError(
            f"module: block {k} must lead from R^d to R^M and back; found "
            f"{inner.in_features} → {inner.out_features}, {outer.in_features} → "
            f"{outer.out_features}"
        )
    if outer.bias is not None and np.any(_numbers(outer.bias) != 0.0):
        raise ValueError(
            f"module: the second layer of block {k} has a bias, and u σ(w·x + b) has none: train "
            "with bias=False there"
        )
    parts = [_numbers(outer.weight).T, _numbers(inner.weight)]
    if inner.bias is not None:
        parts.append(_numbers(inner.bias)[:, None])
    return np.concatenate(parts, axis=1)


def _numbers(tensor: Any) -> Array:
    return checks.array("module", tensor.detach().cpu().numpy())
