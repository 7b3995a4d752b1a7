"""The step along a direction that lowers J (Armijo), shared by the guarded methods."""

from __future__ import annotations

from mfpde.entropic.free_energy import Array, Point

SHARE = 1e-4  # of the decrease that the slope promises must be had
SHORTEST = 1e-10


def lowers(trial: Point, point: Point, share: float = 0.0) -> bool:
    """Whether J fell by at least ``share``, or did not rise beyond rounding; False for NaN."""
    return bool(trial.objective <= point.objective - share + point.rounding)


def along(point: Point, direction: Array, longest: float = 1.0) -> tuple[Point | None, float]:
    """The first of the steps longest·2^{−n} that lowers J enough, and its length; or None."""
    slope = point.free.tau * point.inner(point.residual, direction)
    length = longest
    while length > SHORTEST:
        trial = point.free.at(point.logs + length * direction)
        if lowers(trial, point, SHARE * length * slope):
            return trial, length
        length *= 0.5
    return None, 0.0
