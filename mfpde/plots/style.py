"""One style for everything the package and its scripts draw."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfpde import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

STYLE = Path(__file__).with_name("mfpde.mplstyle")

SPAN = 1e3  # from first to last time, beyond which s is logarithmic
DECADES = 1e-7  # of the last time: earlier ones share the linear part

# Width of a text column of a two-column and of a one-column paper, in inches.
COLUMN, PAGE = 3.4, 6.8
WIDTHS = {"column": COLUMN, "page": PAGE}


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
def style(width: str | float | None = None) -> Iterator[Any]:
    """matplotlib.pyplot under the package's style.

    Figures made within are ``width`` wide: "column" (3.4 in) or "page" (6.8 in) of a journal, or
    inches; pyplot's own width by default. Raises ValueError for other widths.
    """
    import matplotlib.pyplot as plt

    with plt.style.context(str(STYLE)):
        if width is not None:
            plt.rcParams["figure.figsize"] = (_inches(width), 2.4)
        yield plt


def _inches(width: str | float) -> float:
    if isinstance(width, str):
        return WIDTHS[checks.choice("width", width, tuple(WIDTHS))]
    return checks.positive("width", width)


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write ``name``.pdf and ``name``.png into ``folder``, without time stamps."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    pdf, png = out / f"{name}.pdf", out / f"{name}.png"
    with style():
        figure.savefig(pdf, metadata={"CreationDate": None})
        figure.savefig(png, metadata={"Software": None})
    return [pdf, png]


def new_figure(columns: int = 1, width: float = PAGE) -> tuple[Figure, Any]:
    """A figure in the package's style, and its axes side by side."""
    with style() as plt:
        figure, axes = plt.subplots(1, columns, figsize=(width, 2.4), FigureClass=_styled())
    return figure, axes


def axes_for(ax: Axes | None) -> Axes:
    """``ax``, or the axes of a new figure of one column's width."""
    if ax is None:
        ax = new_figure(width=COLUMN)[1]
    return ax


def curve(axes: Axes, s: np.ndarray, values: np.ndarray, **how: Any) -> Line2D:
    """A positive series over s: logarithmic values; logarithmic s where it spans decades.

    The axis of s starts at 0: up to the first recorded time, where decades begin, it is linear.
    """
    keep = values > 0
    (line,) = axes.plot(s[keep], values[keep], **how)
    axes.set_yscale("log")
    _plain_within_a_decade(axes)
    time_axis(axes, s)
    return line


def _plain_within_a_decade(axes: Axes) -> None:
    """A few plain numbers on a logarithmic axis that spans less than a power of ten."""
    from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

    low, high = axes.dataLim.intervaly
    if 0.0 < low < high < 10.0 * low:
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_locator(NullLocator())


def time_axis(axes: Axes, s: np.ndarray) -> None:
    """Training time from 0, logarithmic where it spans decades."""
    from matplotlib.ticker import NullLocator

    if not np.any(s > 0):
        return
    linear = scale_of_time(s)
    if linear is not None:
        axes.set_xscale("symlog", linthresh=linear)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.0, float(s.max()))  # after the scale, which would take in negative time too


def scale_of_time(s: np.ndarray) -> float | None:
    """Where decades of s begin on its axis; None where the axis is linear."""
    positive = s[s > 0]
    if not positive.size or positive[-1] <= SPAN * positive[0]:
        return None
    first, last = float(positive[0]), float(positive[-1])
    return float(10.0 ** np.ceil(np.log10(max(first, DECADES * last))))
