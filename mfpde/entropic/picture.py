"""How a stationary state was found, and how far it is from the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mfpde.plots.style import new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style()
def draw(found: Any) -> Figure:
    """Residual and J over the iterates, numbers that were observed, KL(ρ_t | ν) over depth."""
    numbers = {name: v for name, v in found.observed.items() if v.ndim == 1}
    figure, (first, second, *more, last) = new_figure(4 if numbers else 3)
    factor, objective, residual = np.array(found.history).T[:3]
    first.plot(np.where(residual > 0, residual, np.nan), color="C0", marker=".")
    first.set(yscale="log", ylabel="distance to the Gibbs state")
    second.plot(objective, color="C1", marker=".")
    second.set(ylabel="free energy $J$")
    for ax in more:
        for k, (name, values) in enumerate(numbers.items()):
            ax.plot(values, color=f"C{k + 2}", marker=".", label=name)
        ax.set(ylabel="observed")
        ax.legend()
    for ax in (first, second, *more):
        ax.set(xlabel="iterate")
        ax.xaxis.get_major_locator().set_params(integer=True)
        _levels(ax, factor)
    nodes = found.final.depth.nodes
    last.plot(nodes, found.kl, color="C0", marker="." if len(nodes) < 40 else None)
    last.set(xlabel="depth $t$", ylabel=r"$\mathrm{KL}(\rho_t\,|\,\nu)$", xlim=(0.0, 1.0))
    return figure


def _levels(ax: Axes, factor: np.ndarray) -> None:
    """Where a continuation goes on to a smaller multiple of τ and r."""
    for k in np.flatnonzero(np.diff(factor)) + 0.5:
        ax.axvline(k, color="0.8", lw=0.6, zorder=0)
