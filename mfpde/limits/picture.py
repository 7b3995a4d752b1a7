"""A limit drawn: its loss with a band, and the parts of its error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mfpde import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: Any) -> Figure:
    """Left: E(ρ_s) with its error as a band. Right: errors of the outputs, by part."""
    with plots.style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(plots.PAGE, 2.4))
        low = np.maximum(found.loss - found.loss_error, 1e-3 * found.loss)
        left.fill_between(found.s, low, found.loss + found.loss_error, color="C0", alpha=0.3, lw=0)
        plots.curve(left, found.s, found.loss, color="C0")
        left.set(xlabel="training time $s$", ylabel="loss $E(\\rho_s)$ and its error")
        scale = found.yardstick.outputs
        for number, (name, part) in enumerate(found.parts.items()):
            keep = part.gap.outputs > 0
            how = {"color": f"C{number}", "ls": ("-", "--", ":")[number], "label": name}
            right.plot(found.s[keep], part.gap.outputs[keep] / scale, **how)
        right.axhline(found.rtol, color="0.5", lw=0.8)
        right.set(xlabel="training time $s$", ylabel="error of outputs / RMS of targets")
        right.set_yscale("log")
        right.legend()
    return figure
