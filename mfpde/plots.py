"""Pictures; one style for everything the package and its scripts draw."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("mfpde.mplstyle")

SPAN = 1e3  # from first to last time, beyond which s is logarithmic
DECADES = 1e-7  # of the last time: earlier ones share the linear part

# Width of a text column of a two-column and of a one-column paper, in inches.
COLUMN, PAGE = 3.4, 6.8


@functools.cache
def _styled() -> type[Figure]:
    """A figure that wears the package's style whenever it is drawn or saved."""
    from matplotlib.figure import Figure

    class Styled(Figure):
        def draw(self, renderer: Any) -> None:
            with style():  # fonts and colours of the cycle are looked up when drawn
                super().draw(renderer)

        def savefig(self, fname: Any, **how: Any) -> None:
            with style():
                super().savefig(fname, **how)

    return Styled


@contextmanager
def style() -> Iterator[Any]:
    """matplotlib.pyplot under the package's style."""
    import matplotlib.pyplot as plt

    with plt.style.context(str(STYLE)):
        yield plt


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write ``name``.pdf and ``name``.png into ``folder``, without time stamps."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    pdf, png = out / f"{name}.pdf", out / f"{name}.png"
    with style():
        figure.savefig(pdf, metadata={"CreationDate": None})
        figure.savefig(png, metadata={"Software": None})
    return [pdf, png]


def training(
    s: np.ndarray,
    loss: np.ndarray,
    gradient_norm2: np.ndarray,
    title: str,
    observed: Mapping[str, np.ndarray],
) -> Figure:
    """Loss and |grad E|² over training time.

    Of what was ``observed``, losses on other data join the loss, other numbers have a third panel.
    """
    numbers = {name: values for name, values in observed.items() if values.ndim == 1}
    losses = {name: values for name, values in numbers.items() if name.endswith("_loss")}
    others = {name: values for name, values in numbers.items() if name not in losses}
    with style() as plt:
        shape = {"figsize": (PAGE, 2.4), "FigureClass": _styled()}
        figure, (left, right, *more) = plt.subplots(1, 3 if others else 2, **shape)
        curve(left, s, loss, color="C0", label="loss")
        for k, (name, values) in enumerate(losses.items()):
            curve(left, s, values, color=f"C{k + 2}", label=name)
        if losses:
            left.legend()
        for axes in more:
            for k, (name, values) in enumerate(others.items()):
                axes.plot(s, values, color=f"C{k + 2}", label=name)
            time_axis(axes, s)
            axes.set(xlabel="training time $s$", ylabel="observed")
            axes.legend()
        left.set(xlabel="training time $s$", ylabel="loss $E(\\rho_s)$")
        curve(right, s, gradient_norm2, color="C1")
        right.set(xlabel="training time $s$", ylabel=r"$|\mathrm{grad}\,E|^2_{\mathrm{COT}}$")
        figure.suptitle(title, fontsize=8)
    return figure


def networks(
    s: np.ndarray, loss: np.ndarray, observed: Mapping[str, np.ndarray], title: str
) -> Figure:
    """Losses (S, n) of S networks over training time, and what was observed of them (S, n)."""
    others = {name: values for name, values in observed.items() if values.ndim == 2}
    with style() as plt:
        shape = {"figsize": (PAGE if others else COLUMN, 2.4), "FigureClass": _styled()}
        figure, panels = plt.subplots(1, 2 if others else 1, squeeze=False, **shape)
        for one in loss:
            curve(panels[0, 0], s, one, color="C0", alpha=0.6, lw=0.8)
        panels[0, 0].set(xlabel="training time $s$", ylabel="loss $E$")
        for number, (name, values) in enumerate(others.items()):
            for row, one in enumerate(values):
                label = name if row == 0 else None
                panels[0, 1].plot(s, one, color=f"C{number + 1}", alpha=0.6, lw=0.8, label=label)
        if others:
            time_axis(panels[0, 1], s)
            panels[0, 1].set(xlabel="training time $s$", ylabel="observed")
            panels[0, 1].legend()
        figure.suptitle(title, fontsize=8)
    return figure


def curve(axes: Axes, s: np.ndarray, values: np.ndarray, **how: Any) -> None:
    """A positive series over s: logarithmic values; logarithmic s where it spans decades.

    The axis of s starts at 0: up to the first recorded time, where decades begin, it is linear.
    """
    keep = values > 0
    axes.plot(s[keep], values[keep], **how)
    axes.set_yscale("log")
    time_axis(axes, s)


def time_axis(axes: Axes, s: np.ndarray) -> None:
    """Training time from 0, logarithmic where it spans decades."""
    from matplotlib.ticker import NullLocator

    positive = s[s > 0]
    if not positive.size:
        return
    first, last = float(positive[0]), float(positive[-1])
    if last > SPAN * first:
        linear = 10.0 ** np.ceil(np.log10(max(first, DECADES * last)))
        axes.set_xscale("symlog", linthresh=linear)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.0, last)  # after the scale, which would take in as much negative time
