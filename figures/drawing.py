"""What all figure scripts share: where the data is, computing it where it is absent, saving."""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mfpde import plots
from mfpde.theory._finite_size import fit_finite_size

ROOT = Path(__file__).resolve().parents[1]

style, save, COLUMN, PAGE = plots.style, plots.save, plots.COLUMN, plots.PAGE

UNLETTERED = "unlettered"

# Grey level and dash both tell curves apart, so that a figure survives a black-and-white printer.
DASHES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]


def folder(name: str, doc: str, argv: list[str] | None) -> Path:
    """The folder with the data of ``validation/<name>.py``, which is run where it is absent."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "out" / name, help="folder of the data")
    parser.add_argument("--quick", action="store_true", help="compute a small version if absent")
    chosen = parser.parse_args(argv)
    if not (chosen.data / "claims.csv").is_file():  # which the script writes last
        command = [sys.executable, ROOT / "validation" / f"{name}.py", "--out", chosen.data]
        subprocess.run([*map(str, command), *(["--quick"] if chosen.quick else [])], check=True)
    return chosen.data


def script(
    doc: str, draw: Callable[[Path], Figure], needs: str | None = None
) -> Callable[..., int]:
    """The ``main(argv)`` of a figure: letters its panels, writes PDF and PNG beside the data.

    Nothing is drawn where the module ``needs`` is not installed.
    """
    name = Path(draw.__code__.co_filename).stem

    def main(argv: list[str] | None = None) -> int:
        if needs is not None and find_spec(needs) is None:
            print(f"{name}: needs {needs}; not drawn")
            return 0
        data = folder(name, doc, argv)
        figure = draw(data)
        letters(figure)
        uncrowd(figure)
        save(figure, data, name)
        pyplot.close(figure)
        return 0

    return main


def letters(figure: Figure) -> None:
    """Name the panels a, b, c, ...; colour bars and panels of the id "unlettered" have none."""
    panels = [a for a in figure.axes if a.get_label() != "<colorbar>" and a.get_gid() != UNLETTERED]
    if len(panels) > 1:
        for letter, axes in zip(ascii_lowercase, panels, strict=False):
            axes.set_title(letter, loc="left", fontweight="bold", fontsize=9)


def uncrowd(figure: Figure) -> None:
    """Logarithmic axes that show two powers of ten or more name no values between them."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = np.asarray(axis.get_majorticklocs())
            if axis.get_scale() == "log" and np.sum((low <= shown) & (shown <= high)) > 1:
                axis.set_minor_formatter(NullFormatter())


def columns(path: Path) -> dict[str, np.ndarray]:
    """Columns of a CSV of numbers, by name."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def guide(axes: Axes, x, y0: float, slope: float, label: str, dash: str = ":") -> None:
    """A theory line of the given slope through (x[0], y0) on logarithmic axes."""
    x = np.asarray(x, dtype=float)
    axes.plot(x, y0 * (x / x[0]) ** slope, color="0.45", lw=0.8, ls=dash, label=label)


def outside(axes: Axes, **how) -> None:
    """The legend to the right of its axes, off the data."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, **how)


def powers(axis, values, base: int = 4) -> None:
    """Ticks of a logarithmic axis at the powers of ``base`` that its values span."""
    low, high = (np.log(v) / np.log(base) for v in (np.min(values), np.max(values)))
    ticks = float(base) ** np.arange(np.ceil(low - 1e-9), np.floor(high + 1e-9) + 1)
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def by_shape(rows: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Shapes (L, M) of networks, (n, 2), and their values of a column, (n, S)."""
    pairs = np.stack([rows["layers"], rows["width"]], axis=1)
    shapes = np.unique(pairs, axis=0)
    return shapes, np.array([rows[name][np.all(pairs == one, axis=1)] for one in shapes])


def sizes(axes: Axes, rows, name: str, label: str, lift: float = 1.0) -> None:
    """RMS of a column over blocks LM, one mark for each L, with the fit and its slope −1/2."""
    shapes, found = by_shape(rows, name)
    fit = fit_finite_size(*shapes.T, found, form="quadrature", resamples=2)
    for number, layers in enumerate(np.unique(shapes[:, 0])):
        keep = shapes[:, 0] == layers
        size, rms = shapes[keep].prod(axis=1), np.sqrt(np.mean(found[keep] ** 2, axis=1))
        how = {"color": f"C{number}", "mfc": "none", "label": f"$L={layers:.0f}$"}
        axes.loglog(size, rms, "os^Dv"[number % 5], **how)
        axes.loglog(size, fit(*shapes[keep].T), color=f"C{number}", lw=0.5)
    size = np.sort(shapes.prod(axis=1))
    guide(axes, size, lift * fit.b / np.sqrt(size[0]), -0.5, "slope $-1/2$")
    axes.set(xlabel="blocks $LM$", ylabel=label)
    powers(axes.xaxis, size)
    axes.legend()
