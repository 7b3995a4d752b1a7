"""A limit drawn: its loss with a band, and the parts of its error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mfpde import plots
from mfpde.plots.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: Any) -> Figure:
    """Left: E(ρ_s) with its error as a band. Right: the outputs' error, part on part."""
    figure, (left, right) = new_figure(2)
    with plots.style():
        low = np.maximum(found.loss - found.loss_error, 1e-3 * found.loss)
        left.fill_between(found.s, low, found.loss + found.loss_error, color="C0", alpha=0.3, lw=0)
        plots.curve(left, found.s, found.loss, color="C0")
        left.set(xlabel="training time $s$", ylabel="loss $E(\\rho_s)$ and its error")
        plots.error_budget(found, ax=right)
    return figure
