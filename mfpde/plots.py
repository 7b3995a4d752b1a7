"""Pictures; one style for everything the package and its scripts draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("mfpde.mplstyle")

# Width of a text column of a two-column and of a one-column paper, in inches.
COLUMN, PAGE = 3.4, 6.8


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
    with style():  # colours of the cycle and fonts are looked up when a figure is drawn
        figure.savefig(pdf, metadata={"CreationDate": None})
        figure.savefig(png, metadata={"Software": None})
    return [pdf, png]


def training(s: np.ndarray, loss: np.ndarray, gradient_norm2: np.ndarray, title: str) -> Figure:
    """Loss and |grad E|² over training time."""
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
        curve(left, s, loss, color="C0")
        left.set(xlabel="training time $s$", ylabel="loss $E(\\rho_s)$")
        curve(right, s, gradient_norm2, color="C1")
        right.set(xlabel="training time $s$", ylabel=r"$|\mathrm{grad}\,E|^2_{\mathrm{COT}}$")
        figure.suptitle(title, fontsize=8)
    return figure


def curve(axes: Axes, s: np.ndarray, values: np.ndarray, **how: Any) -> None:
    """A positive series over s: logarithmic values; logarithmic s where it spans decades."""
    keep = values > 0
    axes.plot(s[keep], values[keep], **how)
    axes.set_yscale("log")
    positive = s[s > 0]
    if positive.size and positive[-1] > 1e3 * positive[0]:
        axes.set_xscale("symlog", linthresh=float(positive[0]))
