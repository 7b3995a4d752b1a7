"""The picture of ``finite_size``: predicted bands of the loss over width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS = 32
WIDTHS = (16, 64, 256)


def finite_size(found: Any) -> Figure:
    """Loss over training time: the limit, and 95 % bands of networks of 32 layers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(found.s, found.limit_loss, color="black", label="limit")
    for width, shade in zip(WIDTHS, ("0.85", "0.7", "0.5"), strict=True):
        low, high = found.loss_band(LAYERS, width).T
        held = bool(np.all(found.trusted(LAYERS, width)))
        label = f"L = {LAYERS}, M = {width}" + ("" if held else " (strained)")
        axes.fill_between(found.s, low, high, color=shade, label=label)
    axes.set(xlabel="training time s", ylabel="loss E", xscale="log", yscale="log")
    axes.legend(frameon=False)
    return figure
