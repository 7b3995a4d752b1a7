"""The search for sizes: depth and time on few particles first, then width, then a second look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde.blocks.base import Block
from mfpde.limits import scrambled, tensor
from mfpde.limits.law_in_depth import LawInDepth
from mfpde.limits.parts import Part, part, settle_depth, settle_time
from mfpde.limits.scrambled import Mean, Spread
from mfpde.limits.sizes import (
    MOST_PARTICLES,
    Points,
    Scramble,
    Scrambles,
    Sizes,
    Spec,
    Tensor,
)
from mfpde.limits.study import Run, Study
from mfpde.limits.tensor import Line, Lines

Array = NDArray[np.float64]

# Tensor rules up to this many random coordinates; scrambled Sobol points beyond.
TENSOR_DIM = 5
# A tensor rule of up to this many particles is taken without asking what scrambles would cost.
SMALL = 1500
# Shares of the tolerance that depth and time may use; width has the rest.
DEPTH_SHARE, TIME_SHARE = 1 / 8, 1 / 8
# Few particles speak for many where their results differ by no more than this (relative).
CLOSE = 0.1


@dataclass(frozen=True)
class Candidate:
    """A result at some sizes: outputs, loss, the runs behind them, and each part's error."""

    sizes: Sizes
    outputs: Array
    loss: Array
    runs: tuple[Run, ...]
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
    tensorial = int(view.random.sum()) <= TENSOR_DIM and smooth(study.problem.block)
    light: Points = tensor.anchor(view.random) if tensorial else Scramble(256, 0, tied=True)
    settled = _settle(study, light, view.least_steps(), min(1e-3, rtol / 3.0), rtol)
    yield _first(study, settled)
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
        settled = _settle(study, closer, settled.depth_steps, settled.rtol, rtol)


def smooth(block: Block) -> bool:
    """Whether the block is known not to have kinks (a user's own block is taken to have none)."""
    activation = getattr(block, "activation", None)
    return activation is None or bool(np.isfinite(activation.curvature))


def _settle(study: Study, light: Points, steps: int, start: float, rtol: float) -> Settled:
    study.run(Spec(light, steps, start))
    tight, time = settle_time(study, light, steps, start, TIME_SHARE * rtol)
    steps, depth = settle_depth(study, light, steps, tight, DEPTH_SHARE * rtol)
    return Settled(light, steps, tight, depth, time)


def _width_share(study: Study, settled: Settled, rtol: float) -> float:
    size = study.yardstick.size
    return max(rtol - size(settled.depth.gap) - size(settled.time.gap), 0.5 * rtol)


def _first(study: Study, settled: Settled) -> Candidate:
    """Something to return should the study be stopped soon: the few particles themselves."""
    points = settled.points
    spec = Spec(points, settled.depth_steps, settled.rtol)
    if not isinstance(points, Tensor):
        return _of_scrambles(settled, *scrambled.assess(study, scrambled.TRIAL, *spec[1:]))
    fewer = Tensor(tuple(max(n - 1, 1) for n in points.orders), points.rules)
    width = part(study, [(spec, spec._replace(points=fewer), 1.0)])
    return _of_run(study, spec, settled, width)


def _of_run(study: Study, spec: Spec, settled: Settled, width: Part) -> Candidate:
    run = study.run(spec)
    assert isinstance(spec.points, Tensor)
    sizes = Sizes(spec.points, spec.depth_steps, spec.rtol)
    parts: dict[str, Part | Spread] = {"width": width, "depth": settled.depth, "time": settled.time}
    return Candidate(sizes, run.outputs, run.loss, (run,), parts)


def _by_tensor(study: Study, settled: Settled, view: LawInDepth, share: float) -> Candidate | None:
    """The tensor rule of an error within ``share``; None where scrambles are the cheaper way."""
    base = tensor.anchor(view.random)
    runs = Lines(study, base, settled.depth_steps, settled.rtol)
    aim, found = 0.8 * share, None
    for _ in range(4):
        lines = _lines(runs, view, aim)
        if lines is None:
            return found
        chosen = tensor.allot(lines, aim)
        points = tensor.combine(base, lines, chosen)
        if points.total > MOST_PARTICLES or not _worth_it(study, settled, points, share):
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


def _worth_it(study: Study, settled: Settled, points: Tensor, share: float) -> bool:
    """Whether a tensor rule costs less than scrambles would, by a small trial of those."""
    if points.total <= SMALL:
        return True
    trial, _, spread = scrambled.assess(study, scrambled.TRIAL, settled.depth_steps, settled.rtol)
    excess = max(study.yardstick.size(spread.gap) / share, 1.0)
    # Independent points at every depth: the error falls like the number of points to the −.6.
    return 2.0 * points.total <= 1.25 * trial.total * excess ** (1 / 0.6)


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
    return Candidate(sizes, mean.outputs, mean.loss, mean.runs, parts)


def _closer(study: Study, settled: Settled, found: Candidate) -> Points | None:
    """More particles to read depth and time from, where those used were too far off."""
    few = study.run(Spec(settled.points, settled.depth_steps, settled.rtol))
    off = np.sqrt(np.mean(np.square(few.outputs - found.outputs), axis=(1, 2))).max()
    if off <= CLOSE * study.yardstick.outputs:
        return None
    points = found.sizes.points
    closer = Scramble(points.count, 0, tied=True) if isinstance(points, Scrambles) else points
    return None if closer == settled.points else closer
