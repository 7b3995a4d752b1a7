"""The search for sizes: depth and time on few particles first, then width, then a second look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mfpde.limits import scrambled, tensor
from mfpde.limits.law_in_depth import LawInDepth
from mfpde.limits.parts import (
    Part,
    depth_part,
    part,
    settle_depth,
    settle_time,
    time_part,
    unknown,
)
from mfpde.limits.run import Series, Terms
from mfpde.limits.scrambled import Mean, Spread
from mfpde.limits.sizes import (
    MOST_PARTICLES,
    TRIAL,
    Points,
    Scramble,
    Scrambles,
    Sizes,
    Spec,
    Tensor,
)
from mfpde.limits.study import Study
from mfpde.limits.tensor import Line, Lines

Array = NDArray[np.float64]

# Tensor rules without question up to this many random coordinates; scrambled Sobol points from
# the other one on; between them where scrambles would take more points than a tensor rule does.
SURELY_TENSOR, NEVER_TENSOR = 3, 6
MANY = 30_000
# Tensor rules for laws of at most so many random coordinates in all their pieces, and so many
# particles where each has one node (more atoms of an empirical law are sampled).
MOST_LINES, MOST_SHEETS = 12, 4096
# Shares of the tolerance that depth and time may use; width has the rest.
DEPTH_SHARE, TIME_SHARE = 1 / 8, 1 / 8
# Few particles speak for many where their results differ by no more than this (relative).
CLOSE = 0.1


@dataclass(frozen=True)
class Candidate:
    """A result at some sizes: its series, loss, the runs behind them, and each part's error."""

    sizes: Sizes
    series: Series
    loss: Array
    terms: Terms
    parts: dict[str, Part | Spread]

    def error(self, study: Study) -> float:
        return sum(study.yardstick.size(one.gap) for one in self.parts.values())


@dataclass
class Settled:
    """Depth and time as they stand: sizes, errors, and the particles they were read from."""

    points: Points
    depth_steps: int
    rtol: float
    depth: Part
    time: Part


def candidates(study: Study, view: LawInDepth, rtol: float) -> Iterator[Candidate]:
    """Results of falling error, the last within ``rtol`` where the caps allow it.

    Raises Stopped when the budget is spent or the user asks.
    """
    sure, possible = _tensorial(study, view)
    few: Points = tensor.anchor(view) if sure else Scramble(256, 0, tied=True)
    start, steps = float(f"{min(1e-3, rtol / 3.0):.2e}"), view.least_steps()
    order = view.order()
    first = _first(study, few, steps, start, order)
    yield first
    settled = _settle(study, few, steps, start, rtol, order)
    tensorial = sure or (possible and _points_needed(study, first, rtol) > MANY)
    for _ in range(3):
        share = _width_share(study, settled, rtol)
        best = _by_tensor(study, settled, view, share) if tensorial else None
        tensorial = best is not None
        for found in [best] if best else _by_scrambles(study, settled, share):
            best = found
            yield found
        assert best is not None
        closer = _closer(study, settled, best)
        if closer is None:
            return
        settled = _settle(study, closer, settled.depth_steps, settled.rtol, rtol, order)


def _tensorial(study: Study, view: LawInDepth) -> tuple[bool, bool]:
    """Whether tensor rules are surely the better way, and whether they may be."""
    if view.pieces is None or view.sheets > MOST_SHEETS:
        return False, False
    if view.widest == 0:
        return True, True
    smooth = not study.kinked and view.random.sum() <= MOST_LINES
    return smooth and view.widest <= SURELY_TENSOR, smooth and view.widest < NEVER_TENSOR


def _settle(
    study: Study, light: Points, steps: int, start: float, rtol: float, order: float
) -> Settled:
    tight, time = settle_time(study, light, steps, start, TIME_SHARE * rtol)
    steps, depth = settle_depth(study, light, steps, tight, DEPTH_SHARE * rtol, order)
    return Settled(light, steps, tight, depth, time)


def _width_share(study: Study, settled: Settled, rtol: float) -> float:
    size = study.yardstick.size
    return max(rtol - size(settled.depth.gap) - size(settled.time.gap), 0.5 * rtol)


def _first(study: Study, points: Points, steps: int, rtol: float, order: float) -> Candidate:
    """Something to return should the study be stopped soon: few particles, as they are."""
    study.announce("start")
    study.run(Spec(points, steps, rtol))
    time = time_part(study, points, steps, rtol) or unknown(study)
    depth = depth_part(study, points, steps, rtol, order)
    settled = Settled(points, steps, rtol, depth, time)
    if not isinstance(points, Tensor):
        return _of_scrambles(settled, *scrambled.assess(study, TRIAL, steps, rtol))
    fewer = replace(points, orders=tuple(max(n - 1, 1) for n in points.orders))
    spec = Spec(points, steps, rtol)
    width = part(study, [(spec, spec._replace(points=fewer), 1.0)])
    return _of_run(study, spec, settled, width)


def _of_run(study: Study, spec: Spec, settled: Settled, width: Part) -> Candidate:
    run = study.run(spec)
    assert isinstance(spec.points, Tensor)
    sizes = Sizes(spec.points, spec.depth_steps, spec.rtol)
    parts: dict[str, Part | Spread] = {"width": width, "depth": settled.depth, "time": settled.time}
    return Candidate(sizes, run, run.loss, ((1.0, run),), parts)


def _by_tensor(study: Study, settled: Settled, view: LawInDepth, share: float) -> Candidate | None:
    """The tensor rule of an error within ``share``; None where scrambles are the cheaper way."""
    base = tensor.anchor(view)
    runs = Lines(study, base, settled.depth_steps, settled.rtol)
    aim, found = 0.8 * share, None
    for _ in range(4):
        lines = _lines(runs, view, aim)
        if lines is None:
            return found
        chosen = tensor.allot(lines, aim)
        points = tensor.combine(base, lines, chosen)
        if points.total > MOST_PARTICLES:
            return found
        width = tensor.width_part(runs, lines, chosen, points)
        found = _of_run(study, runs.spec(points), settled, width)
        excess = study.yardstick.size(width.gap) / share
        if excess <= 1.0:
            break
        aim /= 1.2 * excess
    return found


def _lines(runs: Lines, view: LawInDepth, aim: float) -> list[Line] | None:
    """Every random coordinate's line; None where one does not converge."""
    free = [int(i) for i in np.flatnonzero(view.random)]
    lines = []
    for i in free:
        rules = ("gauss", "spectral") if view.smooth[i] else ("gauss",)
        line = runs.explore(i, rules, aim / len(free))
        if line is None:
            return None
        lines.append(line)
    return lines


def _points_needed(study: Study, first: Candidate, rtol: float) -> float:
    """Points that scrambles need for ``rtol``, by a small trial of them."""
    excess = max(study.yardstick.size(first.parts["width"].gap) / rtol, 1.0)
    return float(first.sizes.particles * excess ** (1.0 / scrambled.SLOPE))


def _by_scrambles(study: Study, settled: Settled, share: float) -> Iterator[Candidate]:
    """Averages over ever more points, the last within ``share`` or of the largest size."""
    for found in scrambled.settle_width(study, settled.depth_steps, settled.rtol, share):
        yield _of_scrambles(settled, *found)


def _of_scrambles(settled: Settled, points: Scrambles, mean: Mean, spread: Spread) -> Candidate:
    sizes = Sizes(points, settled.depth_steps, settled.rtol)
    parts: dict[str, Part | Spread] = {
        "width": spread,
        "depth": settled.depth,
        "time": settled.time,
    }
    return Candidate(sizes, mean.series, mean.loss, mean.terms, parts)


def _closer(study: Study, settled: Settled, found: Candidate) -> Points | None:
    """More particles to read depth and time from, where those used were too far off."""
    few = study.run(Spec(settled.points, settled.depth_steps, settled.rtol))
    off = np.sqrt(np.mean(np.square(few.outputs - found.series.outputs), axis=(1, 2))).max()
    if off <= CLOSE * study.yardstick.outputs:
        return None
    points = found.sizes.points
    closer = Scramble(points.count, 0, tied=True) if isinstance(points, Scrambles) else points
    return None if closer == settled.points else closer
