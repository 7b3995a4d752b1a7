"""Pictures: predicted bands of the loss over width, and what a trained loss depends on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mfpde.plots.style import curve, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS = 32
WIDTHS = (16, 64, 256)


def finite_size(found: Any) -> Figure:
    """Loss over training time: the limit, and 95 % bands of networks of 32 layers."""
    figure, axes = new_figure()
    with style():
        for width, shade in zip(WIDTHS, ("0.85", "0.7", "0.5"), strict=True):
            held = bool(np.all(found.trusted(LAYERS, width)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the label says it
                low, high = found.loss_band(LAYERS, width).T
            label = f"L = {LAYERS}, M = {width}" + ("" if held else " (strained)")
            axes.fill_between(found.s, low, high, color=shade, label=label)
        curve(axes, found.s, found.limit_loss, color="black", label="limit")
        axes.set(xlabel="training time $s$", ylabel="loss $E(\\rho_s)$")
        axes.legend()
    return figure


def sensitivity(found: Any) -> Figure:
    """dE in the law's means and deviations by coordinate, and in the weights of the data."""
    figure, (left, right) = new_figure(2)
    with style():
        names = found.problem.block.coordinates
        places = np.arange(len(names))
        for name, off in (("mean", -0.2), ("std", 0.2)):
            left.bar(places + off, getattr(found, name), width=0.4, label=name)
        left.set_xticks(places, names)
        left.set(xlabel="coordinate of the law", ylabel=f"derivative of E({found.s:g})")
        left.legend()
        right.bar(np.arange(len(found.weights)), found.weights, color="0.4")
        right.set(xlabel="datum", ylabel="derivative in its weight")
        for axes in (left, right):
            axes.axhline(0.0, color="black", linewidth=0.8)
    return figure
