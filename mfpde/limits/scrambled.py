"""Width by scrambled Sobol points: results averaged over scrambles, errors from their spread.

Each depth node has points of its own, so that errors average over depth as well. The spread of
independent scrambles assumes nothing of smoothness; what it does not show, the bias that a wider
measure would not have, is read from a mean over sets of a quarter of the size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import predict
from mfpde.limits.gaps import Gap
from mfpde.limits.sizes import MOST_PARTICLES, Scrambles, Spec
from mfpde.limits.study import Run, Stopped, Study, loss_of
from mfpde.problem import Problem
from mfpde.runs.status import Status

Array = NDArray[np.float64]

TRIAL = Scrambles(64, 8)
# Sets of a quarter of the points: a bias like 1/M changes by three times what is left of it.
COARSER = 4
# Fresh points at every depth: errors fall like the number of points to this power, about.
SLOPE, BOLDEST = 0.6, 2
# Sets of fewer points than this are for a first look: bias and spread are not yet regular.
FEW = 256
# Scrambles are added up to this many (their runs are kept); beyond, sets grow (theirs are not).
MOST_SCRAMBLES = 32
# Two-sided confidence of the bars. A root mean square over data is no surer than one number: a
# wrong mean of the law moves all outputs together. Sizes grow until the bar is small enough, which
# favours bars that are small by luck.
SURE = 0.99


@dataclass(frozen=True)
class Mean:
    """Averages over scrambles: outputs (n, N, k), loss (n,) of these outputs; its runs."""

    outputs: Array
    loss: Array
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Spread:
    """The width's error along s: ``gap``, from the spread of runs and a coarser mean."""

    gap: Gap
    fine: Mean
    coarse: Mean

    def at(self, problem: Problem, x: Array | None) -> Array:
        """Error of each output at new points, (n, k)."""
        fine, coarse = (
            np.array([predict(problem, run.final, x) for run in mean.runs])
            for mean in (self.fine, self.coarse)
        )
        bar = quantile(len(fine)) * _standard_error(fine)
        return bar + _bias(
            np.abs(fine.mean(axis=0) - coarse.mean(axis=0)),
            _standard_error(fine),
            _standard_error(coarse),
        )


Assessed = tuple[Scrambles, Mean, Spread]


def quantile(count: int) -> float:
    """Student's factor of a mean over ``count`` independent values."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.5 + 0.5 * SURE))


def settle_width(study: Study, depth_steps: int, rtol: float, share: float) -> Iterator[Assessed]:
    """Sizes of falling error, up to the first within ``share`` or the largest allowed."""
    sizes = TRIAL
    while True:
        found = assess(study, sizes, depth_steps, rtol)
        yield found
        excess = study.yardstick.size(found[2].gap) / share
        if excess <= 1.0:
            return
        allowed = [one for one in grown(sizes, excess) if one.total <= MOST_PARTICLES]
        if not allowed:
            return
        bought = [one for one in allowed if study.affords(_specs(one, depth_steps, rtol))]
        if not bought:
            raise Stopped(Status.BUDGET_SPENT)
        sizes = bought[0]


def grown(sizes: Scrambles, excess: float) -> list[Scrambles]:
    """The next sizes for an error that is ``excess`` times too large; then more modest ones."""
    fold = np.ceil(np.log(excess) / SLOPE / np.log(COARSER) - 0.2)
    steps = range(int(np.clip(fold, 1, BOLDEST)), 0, -1)
    wider = [Scrambles(sizes.count * COARSER**step, TRIAL.scrambles) for step in steps]
    if sizes.count < FEW or 2 * sizes.scrambles > MOST_SCRAMBLES:
        return wider
    more = [Scrambles(sizes.count, 2 * sizes.scrambles)]
    return more + wider if excess <= 1.6 else wider + more


def _specs(sizes: Scrambles, depth_steps: int, rtol: float) -> list[Spec]:
    return [Spec(points, depth_steps, rtol) for points in sizes.sets]


def assess(study: Study, sizes: Scrambles, depth_steps: int, rtol: float) -> Assessed:
    """The mean over scrambles and its error."""
    means = []
    for count in (sizes.count // COARSER, sizes.count):
        specs = _specs(Scrambles(count, sizes.scrambles), depth_steps, rtol)
        study.announce(f"width, {sizes}", specs)
        means.append(average(study.problem, [study.run(spec) for spec in specs]))
    coarse, fine = means
    return sizes, fine, Spread(_gap(study, fine, coarse), fine, coarse)


def average(problem: Problem, runs: list[Run]) -> Mean:
    """Outputs and penalties averaged; the loss is that of the averages."""
    outputs = np.mean([run.outputs for run in runs], axis=0)
    penalty = np.mean([run.penalty for run in runs], axis=0)
    return Mean(outputs, loss_of(problem, outputs, penalty), tuple(runs))


def _gap(study: Study, fine: Mean, coarse: Mean) -> Gap:
    errors = [_rms(_standard_error([run.outputs for run in m.runs])) for m in (fine, coarse)]
    jumps = _rms(fine.outputs - coarse.outputs)
    noise = quantile(len(fine.runs)) * errors[0]
    outputs = noise + _bias(jumps, *errors)
    losses = [_jackknife(study, mean) for mean in (fine, coarse)]
    loss = quantile(len(fine.runs)) * losses[0]
    loss = loss + _bias(np.abs(fine.loss - coarse.loss), *losses)
    # Where the slope of the loss vanishes, its curvature remains.
    return Gap(loss + 0.5 * study.problem.outputs * outputs**2, outputs)


def _standard_error(values: object) -> Array:
    """Of the mean over the first axis."""
    array = np.asarray(values)
    return array.std(axis=0, ddof=1) / np.sqrt(len(array))


def _rms(values: Array) -> Array:
    """Over data and outputs, (n, N, k) to (n,)."""
    return np.sqrt(np.mean(np.square(values), axis=(1, 2)))


def _bias(jump: Array, fine: Array, coarse: Array) -> Array:
    """What the change from the coarse mean shows beyond its noise, carried to the fine one."""
    return np.sqrt(np.maximum(jump**2 - fine**2 - coarse**2, 0.0)) / (COARSER - 1)


def _jackknife(study: Study, mean: Mean) -> Array:
    """Standard error of the loss of the averages, (n,), from leaving out one run at a time."""
    count = len(mean.runs)
    left_out = []
    for one in range(count):
        rest = [run for number, run in enumerate(mean.runs) if number != one]
        left_out.append(average(study.problem, rest).loss)
    return np.sqrt((count - 1) * np.var(left_out, axis=0))
