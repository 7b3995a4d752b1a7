"""Series over training time: loss, energy identity, kernel spectrum, finite networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.plots.style import axes_for, curve, new_figure, style, time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Array = NDArray[np.float64]

TIME = "training time $s$"
NORM2 = r"$|\mathrm{grad}\,E|^2_{\mathrm{COT}}$"
LOSS = r"loss $E(\rho_s)$"


class Series(Protocol):
    """What a run records over s, (n,) each."""

    @property
    def s(self) -> Array: ...
    @property
    def loss(self) -> Array: ...
    @property
    def energy(self) -> Array: ...
    @property
    def gradient_norm2(self) -> Array: ...


class Spectra(Protocol):
    """Eigenvalues (n, N·k) at times s (n,), largest first."""

    @property
    def s(self) -> Array: ...
    @property
    def eigenvalues(self) -> Array: ...


@style()
def training(solution: Any) -> Figure:
    """Loss and |grad E|² over training time, side by side.

    Of what was observed, losses on other data join the loss, other numbers have a third panel.
    """
    numbers = {name: v for name, v in solution.observed.items() if v.ndim == 1}
    losses = {name: v for name, v in numbers.items() if name.endswith("_loss")}
    others = {name: v for name, v in numbers.items() if name not in losses}
    figure, (left, right, *more) = new_figure(3 if others else 2)
    curve(left, solution.s, solution.loss, color="C0", label="loss")
    for k, (name, values) in enumerate(losses.items()):
        curve(left, solution.s, values, color=f"C{k + 2}", label=name)
    if losses:
        left.legend()
    for ax in more:
        _observed(ax, solution.s, {name: values[None] for name, values in others.items()})
    left.set(xlabel=TIME, ylabel=LOSS)
    curve(right, solution.s, solution.gradient_norm2, color="C1")
    right.set(xlabel=TIME, ylabel=NORM2)
    figure.suptitle(f"{solution.options.method}, {solution.control.steps} steps", fontsize=8)
    return figure


def _observed(ax: Axes, s: Array, series: Mapping[str, Array]) -> None:
    """Observed numbers (S, n), one colour for each name."""
    for k, (name, rows) in enumerate(series.items()):
        for row, values in enumerate(rows):
            ax.plot(s, values, color=f"C{k + 2}", lw=0.8, label=name if row == 0 else None)
    time_axis(ax, s)
    ax.set(xlabel=TIME, ylabel="observed")
    ax.legend()


@style()
def trained(run: Any) -> Figure:
    """Loss of every network of a ``Training`` over training time, and what was observed."""
    others = {name: values for name, values in run.observed.items() if values.ndim == 2}
    figure, found = new_figure(2 if others else 1)
    left, *more = np.atleast_1d(found)
    for values in run.loss:
        curve(left, run.s, values, color="C0", alpha=0.6, lw=0.8)
    left.set(xlabel=TIME, ylabel="loss $E$")
    for ax in more:
        _observed(ax, run.s, others)
    seeds, layers, width, _ = run.theta.shape
    figure.suptitle(f"{seeds} networks, L = {layers}, M = {width}", fontsize=8)
    return figure


def energy_identity(run: Series, *, ax: Axes | None = None) -> tuple[Line2D, Line2D]:
    """−dE/ds beside |grad E|²: along a gradient flow they are one curve.

    −ΔE/Δs of every step at its middle as marks, the recorded |grad E|² as a line; returned in this
    order. They part by O(Δs²), and where a step is longer than the flow's time scale. Steps in
    which E did not fall are left out. ``run`` is a ``Solution``.
    """
    ax = axes_for(ax)
    middle = 0.5 * (run.s[1:] + run.s[:-1])
    slope = -np.diff(run.energy) / np.diff(run.s)
    how = {"color": "C0", "ls": "none", "marker": "o", "mfc": "none"}
    marks = curve(ax, middle, slope, label=r"$-\Delta E/\Delta s$", **how)
    line = curve(ax, run.s, run.gradient_norm2, color="C1", label=NORM2)
    ax.set(xlabel=TIME, ylabel="rate of descent")
    ax.legend()
    return marks, line


def spectrum(
    evolution: Spectra, *, largest: int | None = None, ax: Axes | None = None
) -> list[Line2D]:
    """Eigenvalues of K(s)/N over training time, one line each, the largest first.

    ``evolution`` is what ``mfpde.theory.kernel_evolution`` returns; ``largest`` limits how many
    are drawn. Eigenvalues that are not positive have no place on a logarithmic axis.
    """
    from matplotlib import colormaps

    ax = axes_for(ax)
    shown = evolution.eigenvalues.T
    if largest is not None:
        shown = shown[: checks.count("largest", largest)]
    shades = colormaps["viridis"](np.linspace(0.0, 0.85, len(shown)))
    lines = [
        curve(ax, evolution.s, values, color=shade)
        for values, shade in zip(shown, shades, strict=True)
    ]
    ax.set(xlabel=TIME, ylabel="eigenvalues of $K/N$")
    return lines


def networks(
    s: ArrayLike,
    losses: ArrayLike,
    *,
    probability: float = 0.9,
    label: str | None = None,
    color: str = "C0",
    ax: Axes | None = None,
) -> tuple[FillBetweenPolyCollection, Line2D]:
    """Losses of networks over training time: the band that holds a share of them, their median.

    ``losses`` (seeds, n) at times ``s`` (n,), as in ``mfpde.resnet.Training``; the band reaches
    from the quantile (1 − ``probability``)/2 to (1 + ``probability``)/2. Returns band and median.

    Raises ValueError for shapes that do not fit and for a probability outside (0, 1).
    """
    times = checks.array("s", s, ("n",))
    found = checks.array("losses", losses, ("seeds", times.size))
    tail = 0.5 * (1.0 - checks.share("probability", probability))
    low, middle, high = np.quantile(found, (tail, 0.5, 1.0 - tail), axis=0)
    ax = axes_for(ax)
    band = ax.fill_between(times, low, high, color=color, alpha=0.25, lw=0)
    line = curve(ax, times, middle, color=color, label=label)
    ax.set(xlabel=TIME, ylabel="loss")
    return band, line
