"""Pictures; one style for everything the package and its scripts draw."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mfpde.runs.solution import Solution

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


def training(solution: Solution) -> Figure:
    """Loss and |grad E|² over training time."""
    with style() as plt:
        shape = {"figsize": (PAGE, 2.4), "FigureClass": _styled()}
        figure, (left, right) = plt.subplots(1, 2, **shape)
        curve(left, solution.s, solution.loss, color="C0")
        left.set(xlabel="training time $s$", ylabel="loss $E(\\rho_s)$")
        curve(right, solution.s, solution.gradient_norm2, color="C1")
        right.set(xlabel="training time $s$", ylabel=r"$|\mathrm{grad}\,E|^2_{\mathrm{COT}}$")
        figure.suptitle(f"{solution.options.method}, {solution.control.steps} steps", fontsize=8)
    return figure


def curve(axes: Axes, s: np.ndarray, values: np.ndarray, **how: Any) -> None:
    """A positive series over s: logarithmic values; logarithmic s where it spans decades.

    The axis of s starts at 0: up to the first recorded time, where decades begin, it is linear.
    """
    from matplotlib.ticker import NullLocator

    keep = values > 0
    axes.plot(s[keep], values[keep], **how)
    axes.set_yscale("log")
    positive = s[s > 0]
    if not positive.size:
        return
    first, last = float(positive[0]), float(positive[-1])
    if last > SPAN * first:
        linear = 10.0 ** np.ceil(np.log10(max(first, DECADES * last)))
        axes.set_xscale("symlog", linthresh=linear)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.0, last)  # after the scale, which would take in as much negative time
