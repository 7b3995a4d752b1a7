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
from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike

from mfpde import plots
from mfpde.theory._finite_size import fit_finite_size

ROOT = Path(__file__).resolve().parents[1]
Rows = dict[str, np.ndarray]

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


def columns(path: Path) -> Rows:
    """Columns of a CSV by name: numbers, or words where not all are numbers."""
    with path.open(newline="") as file:
        names, *lines = csv.reader(file)
    return {name: _column(cells) for name, cells in zip(names, np.transpose(lines), strict=True)}


def _column(cells: np.ndarray) -> np.ndarray:
    try:
        return cells.astype(float)
    except ValueError:
        return cells


def pick(rows: Rows, **values: float | str) -> Rows:
    """The rows whose columns have these values."""
    keep = np.logical_and.reduce([rows[name] == value for name, value in values.items()])
    return {name: column[keep] for name, column in rows.items()}


def by(rows: Rows, *names: str) -> list[tuple[Any, Rows]]:
    """The rows of each value of a column, ascending; of each tuple of values of several."""
    found = sorted(set(zip(*(rows[name].tolist() for name in names), strict=True)))
    parts = [pick(rows, **dict(zip(names, values, strict=True))) for values in found]
    keys = found if len(names) > 1 else [value for (value,) in found]
    return list(zip(keys, parts, strict=True))


def means(rows: Rows, name: str, over: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of the column ``over``, and the mean of another column at each."""
    values = np.unique(rows[over])
    return values, np.array([rows[name][rows[over] == value].mean() for value in values])


def guide(axes: Axes, x: ArrayLike, y0: float, slope: float, label: str, dash: str = ":") -> None:
    """A theory line of the given slope through (x[0], y0) on logarithmic axes."""
    x = np.asarray(x, dtype=float)
    axes.plot(x, y0 * (x / x[0]) ** slope, color="0.45", lw=0.8, ls=dash, label=label)


def expected(axes: Axes, value: float, error: float) -> None:
    """A level that is expected, and its error in grey."""
    axes.axhspan(value - error, value + error, color="0.9", zorder=0)
    axes.axhline(value, color="0.5", lw=0.8, zorder=0)


def outside(axes: Axes, **how) -> None:
    """The legend to the right of its axes, off the data."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, **how)


def above(axes: Axes, columns: int = 2) -> None:
    """A small legend over its axes, off the data and the panel's letter."""
    where = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.1), "borderaxespad": 0.0}
    axes.legend(fontsize=6, ncols=columns, **where)


def ticks(axis: Axis, values: ArrayLike) -> None:
    """Ticks of an axis at these values alone, which are written out."""
    axis.set_ticks(values, [f"{value:g}" for value in values])
    axis.set_ticks([], minor=True)


def powers(axis: Axis, values: ArrayLike, base: int = 4) -> None:
    """Ticks of a logarithmic axis at the powers of ``base`` that its values span."""
    low, high = (np.log(v) / np.log(base) for v in (np.min(values), np.max(values)))
    ticks(axis, float(base) ** np.arange(np.ceil(low - 1e-9), np.floor(high + 1e-9) + 1))


def surface(axes: Axes, shapes: np.ndarray, values: np.ndarray, **how: Any) -> QuadMesh:
    """Values of shapes (L, M), sorted, a cell each on logarithmic axes."""
    layers, widths = (np.unique(column) for column in shapes.T)
    edges = []
    for logs in (np.log(widths), np.log(layers)):
        ends = 2 * logs[[0, -1]] - logs[[1, -2]]  # one cell further on either side
        wide = np.concatenate([ends[:1], logs, ends[1:]])
        edges.append(np.exp(0.5 * (wide[1:] + wide[:-1])))
    image = axes.pcolormesh(*edges, values.reshape(len(layers), -1), zorder=0, **how)
    axes.set(
        xscale="log", yscale="log", xlabel="width $M$", ylabel="layers $L$", autoscale_on=False
    )
    ticks(axes.xaxis, widths)
    ticks(axes.yaxis, layers)
    return image


def rms(values: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis."""
    return np.sqrt(np.mean(values**2, axis=-1))


def by_shape(rows: Rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Shapes (L, M) of networks, (n, 2), and their values of a column, (n, S)."""
    pairs = np.stack([rows["layers"], rows["width"]], axis=1)
    shapes = np.unique(pairs, axis=0)
    return shapes, np.array([rows[name][np.all(pairs == one, axis=1)] for one in shapes])


def sizes(
    axes: Axes, rows: Rows, name: str, label: str, lift: float = 1.0, form: str = "quadrature"
) -> None:
    """RMS of a column over blocks LM, one mark for each L, with the fit and its slope −1/2."""
    shapes, found = by_shape(rows, name)
    fit = fit_finite_size(*shapes.T, found, form=form, resamples=2)
    for number, layers in enumerate(np.unique(shapes[:, 0])):
        keep = shapes[:, 0] == layers
        size = shapes[keep].prod(axis=1)
        how = {"color": f"C{number}", "mfc": "none", "label": f"$L={layers:.0f}$"}
        axes.loglog(size, rms(found[keep]), "os^Dv"[number % 5], **how)
        axes.loglog(size, fit(*shapes[keep].T), color=f"C{number}", lw=0.5)
    size = np.sort(shapes.prod(axis=1))
    guide(axes, size, lift * fit.b / np.sqrt(size[0]), -0.5, "slope $-1/2$")
    axes.set(xlabel="blocks $LM$", ylabel=label)
    powers(axes.xaxis, size)
    axes.legend()


def densities(part: Figure | SubFigure, run: Any) -> None:
    """ρ_t(u, w) of a run on a grid: its saved times across, both ends and the middle of depth down.

    One scale of grey for all; only the first panel takes a letter.
    """
    nodes, pairs = run.initial.depth.nodes, [(t, s) for t in (0.0, 0.5, 1.0) for s in run.saved_s]
    axes = part.subplots(3, len(run.saved_s), sharex=True, sharey=True)
    meshes = []
    for panel, (t, s) in zip(axes.flat, pairs, strict=True):
        meshes.append(plots.density(run.at(s), t=t, ax=panel, cmap="Greys"))
        panel.set(title=f"$s={s:g}$" if t == 0.0 else None, xlabel="$u$")
        panel.set_ylabel(f"$t={nodes[np.abs(nodes - t).argmin()]:g}$\n$w$")
        panel.set_gid(UNLETTERED if meshes[1:] else None)
        panel.label_outer()
    top = max(float(np.max(mesh.get_array())) for mesh in meshes)
    for mesh in meshes:
        mesh.set_clim(0.0, top)
    part.colorbar(meshes[0], ax=axes, aspect=30, pad=0.01, label=r"$\rho_t(u, w)$")
