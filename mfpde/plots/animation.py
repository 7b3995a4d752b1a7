"""A run as a moving picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from mfpde import checks
from mfpde.measures.particles import ParticleMeasure
from mfpde.plots.curves import LOSS, TIME
from mfpde.plots.law import BINS, density, level_at, pair_of
from mfpde.plots.style import curve, scale_of_time, style

WRITERS = {".gif": "pillow", ".webp": "pillow", ".png": "pillow", ".mp4": "ffmpeg"}
FRAMES, RATE, DPI = 60, 12, 110


def animate(
    run: Any,
    path: str | os.PathLike[str],
    coordinates: tuple[int, int] = (0, 1),
    *,
    t: float = 0.5,
    frames: int = FRAMES,
    fps: int = RATE,
) -> Path:
    """Write the law ρ_t of a run in two coordinates of θ, moving over s, beside its loss.

    Frames stand at equal steps of the axis of the loss (logarithmic in s where it spans decades);
    states between saved ones are found by ``run.at``, whose price it says. Particles move as
    marks, other measures as densities. ``path`` ends in .gif, .webp or animated .png (needs
    nothing) or .mp4 (needs the program ffmpeg). Returns the path.

    Raises ValueError for other endings, for coordinates that θ does not have and where a writer is
    missing.
    """
    from matplotlib.animation import FuncAnimation, writers

    target = Path(path)
    writer = WRITERS.get(checks.choice("path", target.suffix.lower(), tuple(WRITERS)))
    if writer not in writers.list():
        raise ValueError(f"path must not end in {target.suffix}: {writer} is not installed")
    times = _times(run.s, checks.count("frames", frames, least=2))
    measures = [run.at(float(s)) for s in times]
    with style("page") as plt:  # held while saving: frames must keep one size
        figure, (left, right) = plt.subplots(1, 2)
        show = _scene(run, left, right, measures, times, coordinates, t)
        moving = FuncAnimation(figure, show, frames=len(times))
        moving.save(target, writer=writer, fps=checks.count("fps", fps), dpi=DPI)
        plt.close(figure)
    return target


def _scene(
    run: Any,
    left: Any,
    right: Any,
    measures: list[Any],
    times: Any,
    coordinates: tuple[int, int],
    t: float,
) -> Any:
    """Both axes drawn, and the function that moves them to frame k."""
    draw = (_marks if isinstance(measures[0], ParticleMeasure) else _cells)(
        left, measures, coordinates, t
    )
    names = run.problem.block.coordinates
    left.set(xlabel=names[coordinates[0]], ylabel=names[coordinates[1]])
    curve(right, run.s, run.loss)
    right.set(xlabel=TIME, ylabel=LOSS)
    losses = np.interp(times, run.s, run.loss)
    (dot,) = right.plot(times[:1], losses[:1], "o", color="C1")

    def show(k: int) -> list[Any]:
        dot.set_data(times[k : k + 1], losses[k : k + 1])
        left.set_title(f"$t = {t:g}$,  $s = {times[k]:.3g}$")
        return [dot, *draw(k)]

    return show


def _times(s: Any, frames: int) -> Any:
    """Training times for the frames: from 0 to the end, as the axis of s is divided."""
    linear = scale_of_time(s)
    if linear is None:
        return np.linspace(0.0, s[-1], frames)
    part = np.linspace(0.0, 1.0, frames - 1)
    return np.append(0.0, linear * (s[-1] / linear) ** part)


def _marks(ax: Any, measures: list[Any], coordinates: tuple[int, int], t: float) -> Any:
    """Particles at the node next to t; the axes hold all that they pass."""
    pair = pair_of(coordinates, measures[0].dim)
    k = level_at(measures[0].depth.nodes, t)
    places = np.stack([rho.theta[k][:, pair] for rho in measures])
    weights = measures[0].weights[k]
    points = ax.scatter(*places[0].T, s=12.0 * weights / weights.max(), c="C0")
    low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
    room = 0.05 * np.maximum(high - low, 1e-9)
    ax.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))

    def show(frame: int) -> list[Any]:
        points.set_offsets(places[frame])
        return [points]

    return show


def _cells(ax: Any, measures: list[Any], coordinates: tuple[int, int], t: float) -> Any:
    """Densities, drawn anew for each frame: cells and bins may move."""

    def show(frame: int) -> list[Any]:
        for old in list(ax.collections):
            old.remove()
        mesh = density(measures[frame], coordinates, t=t, bins=BINS, ax=ax)
        return [mesh]

    return show
