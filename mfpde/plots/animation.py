"""A run as a moving picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.measures.particles import ParticleMeasure
from mfpde.plots.curves import LOSS, TIME
from mfpde.plots.law import BINS, level_at, pair_of, values_of
from mfpde.plots.style import curve, scale_of_time, style

WRITERS = {".gif": "pillow", ".webp": "pillow", ".png": "pillow", ".mp4": "ffmpeg"}
FRAMES, RATE, DPI = 60, 12, 110
HEIGHT_OF_MANY = 2.0  # inches, of several panels
PEAK = 0.9999  # quantile of the densities that is drawn darkest

Array = NDArray[np.float64]
Show = Callable[[int], Any]


def animate(
    run: Any,
    path: str | os.PathLike[str],
    coordinates: tuple[int, int] = (0, 1),
    *,
    t: ArrayLike = 0.5,
    frames: int = FRAMES,
    fps: int = RATE,
) -> Path:
    """Write the law ρ_t of a run in two coordinates of θ, moving over s, beside its loss.

    A panel for ``t``, or for each of several depths. Frames stand at equal steps of the axis of the
    loss (logarithmic in s where it spans decades); states between saved ones are found by
    ``run.at``, whose price it says. Particles move as marks, other measures as densities on one
    scale. ``path`` ends in .gif, .webp or animated .png (needs nothing) or .mp4 (needs the program
    ffmpeg). Returns the path.

    Raises ValueError for other endings, for coordinates that θ does not have, for t outside [0, 1]
    and where a writer is missing.
    """
    from matplotlib.animation import FuncAnimation, writers

    target = Path(path)
    writer = WRITERS.get(checks.choice("path", target.suffix.lower(), tuple(WRITERS)))
    if writer not in writers.list():
        raise ValueError(f"path must not end in {target.suffix}: {writer} is not installed")
    depths = np.atleast_1d(checks.array("t", t))
    times = _times(run.s, checks.count("frames", frames, least=2))
    measures = [run.at(float(s)) for s in times]
    with style("page") as plt:  # held while saving: frames must keep one size
        figure, (*panels, loss) = plt.subplots(1, len(depths) + 1)
        if len(depths) > 1:
            figure.set_figheight(HEIGHT_OF_MANY)
        draw = _marks if isinstance(measures[0], ParticleMeasure) else _cells
        shows = [_loss(loss, run, times), *draw(panels, measures, coordinates, depths)]
        _name(panels, run, coordinates, depths)
        moving = FuncAnimation(figure, lambda k: [show(k) for show in shows], frames=len(times))
        moving.save(target, writer=writer, fps=checks.count("fps", fps), dpi=DPI)
        plt.close(figure)
    return target


def _name(panels: list[Any], run: Any, coordinates: tuple[int, int], depths: Array) -> None:
    names = run.problem.block.coordinates
    for ax, t in zip(panels, depths, strict=True):
        ax.set(xlabel=names[coordinates[0]], title=f"$t = {t:g}$")
    panels[0].set_ylabel(names[coordinates[1]])


def _loss(ax: Any, run: Any, times: Array) -> Show:
    """The loss, and the function that moves a mark along it to frame k."""
    curve(ax, run.s, run.loss)
    ax.set(xlabel=TIME, ylabel=LOSS)
    losses = np.interp(times, run.s, run.loss)
    (dot,) = ax.plot(times[:1], losses[:1], "o", color="C1")

    def show(k: int) -> None:
        dot.set_data(times[k : k + 1], losses[k : k + 1])
        ax.set_title(f"$s = {times[k]:.3g}$")

    return show


def _times(s: Any, frames: int) -> Any:
    """Training times for the frames: from 0 to the end, as the axis of s is divided."""
    linear = scale_of_time(s)
    if linear is None:
        return np.linspace(0.0, s[-1], frames)
    part = np.linspace(0.0, 1.0, frames - 1)
    return np.append(0.0, linear * (s[-1] / linear) ** part)


def _marks(
    panels: list[Any], measures: list[Any], coordinates: tuple[int, int], depths: Array
) -> Iterator[Show]:
    """Particles at the nodes next to the depths; the axes hold all that they pass."""
    pair = pair_of(coordinates, measures[0].dim)
    for ax, t in zip(panels, depths, strict=True):
        k = level_at(measures[0].depth.nodes, float(t))
        places = np.stack([rho.theta[k][:, pair] for rho in measures])
        weights = measures[0].weights[k]
        points = ax.scatter(*places[0].T, s=12.0 * weights / weights.max(), c="C0")
        low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
        room = 0.05 * np.maximum(high - low, 1e-9)
        ax.set(xlim=(low[0] - room[0], high[0] + room[0]))
        ax.set(ylim=(low[1] - room[1], high[1] + room[1]))
        yield partial(_move, points, places)


def _move(points: Any, places: Array, frame: int) -> None:
    points.set_offsets(places[frame])


def _cells(
    panels: list[Any], measures: list[Any], coordinates: tuple[int, int], depths: Array
) -> Iterator[Show]:
    """Densities, drawn anew for each frame (cells and bins may move), all on one scale."""
    pair = pair_of(coordinates, measures[0].dim)
    all_values = [[values_of(rho, pair, float(t), BINS) for rho in measures] for t in depths]
    most = np.concatenate([density.ravel() for of in all_values for _, _, density in of])
    look = {"cmap": "Blues", "vmin": 0.0, "vmax": float(np.quantile(most, PEAK))}
    for ax, values in zip(panels, all_values, strict=True):
        yield partial(_draw, ax, values, look)


def _draw(ax: Any, values: list[Any], look: Any, frame: int) -> None:
    for old in list(ax.collections):
        old.remove()
    x, y, density = values[frame]
    ax.pcolormesh(x, y, density.T, **look)
