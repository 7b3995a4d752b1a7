"""Width by scrambled Sobol points: results averaged over scrambles, errors from their spread.

Each depth node has points of its own, so that errors average over depth as well. The spread of
independent scrambles assumes nothing of smoothness; what it does not show, the bias that a wider
measure would not have, is read from a mean over sets of a quarter of the size, or a sixteenth.

Two things make a scramble cheap. Its wide run takes few steps in training time, corrected by a
pair of small runs on the same scramble (``hurried``); and what the flow of u alone makes of its
points, against what it makes of the law, is subtracted (``lazy``), as much of it as the coarser
sets show to be right. Both are part of a scramble's result, so that the spread judges them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mfpde.limits.gaps import Gap
from mfpde.limits.hurried import LADDER
from mfpde.limits.lazy import Alone, Lazy
from mfpde.limits.run import Run, Series, Terms, loss_of, mean, predicted, rms, summed
from mfpde.limits.sizes import MOST_PARTICLES, TRIAL, Scrambles, Spec
from mfpde.limits.study import Stopped, Study
from mfpde.limits.watch import Told
from mfpde.problem import Problem
from mfpde.runs.status import Status

Array = NDArray[np.float64]

# Errors fall like the number of points to this power, about. The next sizes have at most so many
# times more points, and promise this part of the tolerance.
SLOPE, BOLDEST, SAFE = 0.55, 16, 0.9
# Sets of fewer points than this are for a first look: bias and spread are not yet regular.
FEW = 256
# Scrambles up to this many: their spread is sure enough then, and only wider sets have less bias.
MOST_SCRAMBLES = 32
# Two-sided confidence of the bars. A root mean square over data is no surer than one number: a
# wrong mean of the law moves all outputs together. Sizes grow until the bar is small enough, which
# favours bars that are small by luck.
SURE = 0.99
# A hurried run may miss a full one by this part of the spread over scrambles, and must be cheaper.
SMALL, CHEAPER = 0.1, 0.6


@dataclass(frozen=True)
class Scrambled:
    """One scramble: the runs that it sums, and their sum less what the flow of u alone explains."""

    terms: Terms
    series: Series


@dataclass(frozen=True)
class Mean:
    """Averages over scrambles: outputs (n, N, k), and the loss (n,) of these outputs."""

    scrambles: tuple[Scrambled, ...]
    series: Series
    loss: Array

    @property
    def terms(self) -> Terms:
        """The runs that it sums."""
        count = len(self.scrambles)
        return tuple((c / count, run) for one in self.scrambles for c, run in one.terms)


@dataclass(frozen=True)
class Explained:
    """What is subtracted: ``factor`` (n,) times what the flow of u alone makes of the points."""

    flow: Lazy
    factor: Array

    def of(self, scrambles: Sequence[Terms], x: Array | None) -> Array:
        """Of every scramble at new points at the last time, (R, n', k)."""
        runs = [terms[0][1] for terms in scrambles]
        if x is None:
            return self.factor[-1] * np.array([_alone(run).error[-1] for run in runs])
        law = self.flow.at(runs[0].final.depth, x)
        own = [self.flow.of_run(run.final, _alone(run), x) - law for run in runs]
        return self.factor[-1] * np.array(own)

    def less(self, terms: Terms) -> Series:
        """The sum of one scramble's runs without it."""
        series, own = summed(terms), _alone(terms[0][1])
        factor = self.factor[:, None, None]
        watched = {name: series.watched[name] - factor * a for name, a in own.others.items()}
        return Series(series.outputs - factor * own.error, series.penalty, series.watched | watched)


@dataclass(frozen=True)
class Spread:
    """The width's error along s: ``gap``, from the spread of scrambles and a coarser mean."""

    gap: Gap
    fine: tuple[Terms, ...]
    coarse: tuple[Terms, ...]
    alone: Explained | None
    means: tuple[Mean, Mean] | None = None

    def predict(self, problem: Problem, x: Array | None) -> tuple[Array, Array]:
        """Outputs of the mean at new points and the error of each, (n, k)."""
        fine, coarse = (
            np.array([predicted(problem, terms, x) for terms in each])
            for each in (self.fine, self.coarse)
        )
        if self.alone:
            fine, coarse = (
                values - self.alone.of(each, x)
                for values, each in ((fine, self.fine), (coarse, self.coarse))
            )
        outputs = fine.mean(axis=0)
        rests, fold = (_left_out(fine), _left_out(coarse)), _fold(self.fine[0], self.coarse[0])
        return outputs, _of_rests(fold, outputs, coarse.mean(axis=0), *rests)

    def told(self, tell: Callable[[Series], Told]) -> Told:
        """Errors of what is read from averages, by name."""
        assert self.means is not None
        fine, coarse = ([one.series for one in each.scrambles] for each in self.means)
        found = [[tell(mean(each)) for each in (fine, coarse)]]
        for number in range(len(fine)):
            rest = ([*each[:number], *each[number + 1 :]] for each in (fine, coarse))
            found.append([tell(mean(each)) for each in rest])
        (here, there), rests = found[0], found[1:]
        fold = _fold(self.fine[0], self.coarse[0])
        return {
            name: _of_rests(
                fold,
                here[name],
                there[name],
                np.array([rest[0][name] for rest in rests]),
                np.array([rest[1][name] for rest in rests]),
            )
            for name in here
        }


Assessed = tuple[Scrambles, Mean, Spread]


def quantile(count: int) -> float:
    """Student's factor of a mean over ``count`` independent values."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.5 + 0.5 * SURE))


# -- sizes ----------------------------------------------------------------------------------------


def settle_width(study: Study, depth_steps: int, rtol: float, share: float) -> Iterator[Assessed]:
    """Sizes of falling error, up to the first within ``share`` or the largest allowed."""
    sizes = replace(TRIAL, hurry=quickest(study, depth_steps, rtol))
    while True:
        found = assess(study, sizes, depth_steps, rtol)
        yield found
        excess = study.yardstick.size(found[2].gap) / share
        if excess <= 1.0:
            return
        allowed = [one for one in grown(found[0], excess) if one.total <= MOST_PARTICLES]
        if not allowed:
            return
        bought = [one for one in allowed if study.affords(_specs(one, depth_steps, rtol))]
        if not bought:
            raise Stopped(Status.BUDGET_SPENT)
        sizes = bought[0]


def grown(sizes: Scrambles, excess: float) -> list[Scrambles]:
    """The next sizes for an error that is ``excess`` times too large, then ever cheaper ones.

    The cheapest that should do, by the law of errors in ``_length``; or the one of the shortest
    bar, if none should, that is not too bold.
    """
    now = _length(sizes)
    options = [
        replace(sizes, count=max(fold * sizes.count, FEW), scrambles=scrambles)
        for fold in (1, 2, 4, 8, 16)
        for scrambles in (8, 16, MOST_SCRAMBLES)
    ]
    larger = {one for one in options if sizes.total < one.total <= BOLDEST * sizes.total}
    better = sorted((one for one in larger if _length(one) < now), key=lambda one: one.total)
    enough = [one for one in better if _length(one) * excess <= SAFE * now]
    best = enough[0] if enough else min(better, key=_length, default=None)
    if best is None:
        return []
    return [best, *(one for one in reversed(better) if one.total < best.total)]


def _length(sizes: Scrambles) -> float:
    """How long a bar is, up to a factor: points by ``SLOPE``, scrambles by Student's."""
    return quantile(sizes.scrambles) / (np.sqrt(sizes.scrambles) * sizes.count**SLOPE)


def quickest(study: Study, depth_steps: int, rtol: float) -> int:
    """The fewest steps that keep a run's own place among the scrambles; 0 where none are cheap."""
    if study.optimizer is not None:  # hurried steps are those of the gradient flow
        return 0
    study.ahead(TRIAL.all_specs(depth_steps, rtol))
    full = [study.run(spec) for spec in TRIAL.all_specs(depth_steps, rtol)]
    spread = np.std([run.outputs for run in full], axis=0)
    for steps in LADDER:
        if 2 * steps > CHEAPER * full[0].gradients:
            return 0
        study.announce(f"width, {steps} steps in time")
        specs = [
            spec._replace(hurry=steps)
            for _, spec in (TRIAL.specs(n, depth_steps, rtol)[0] for n in range(TRIAL.scrambles))
        ]
        study.ahead(specs)
        quick = [study.run(spec) for spec in specs]
        off = [a.outputs - b.outputs for a, b in zip(full, quick, strict=True)]
        if np.all(rms(np.std(off, axis=0)) <= SMALL * rms(spread).max()):
            return steps
    return 0


def _specs(sizes: Scrambles, depth_steps: int, rtol: float) -> list[Spec]:
    both = (sizes, sizes.coarser())
    return [spec for one in both for spec in one.all_specs(depth_steps, rtol)]


# -- averages and their errors --------------------------------------------------------------------


def assess(study: Study, sizes: Scrambles, depth_steps: int, rtol: float) -> Assessed:
    """The mean over scrambles and its error."""
    study.announce(f"width, {sizes}", _specs(sizes, depth_steps, rtol))
    study.ahead(_specs(sizes, depth_steps, rtol))
    coarse, fine = (_terms(study, one, depth_steps, rtol) for one in (sizes.coarser(), sizes))
    if not all(np.isfinite(run.outputs).all() for terms in fine + coarse for _, run in terms):
        return assess(study, replace(sizes, hurry=0), depth_steps, rtol)
    alone = _explained(study, coarse)
    means = average(study.problem, fine, alone), average(study.problem, coarse, alone)
    gap = _gap(study, *means)
    return sizes, means[0], Spread(gap, tuple(fine), tuple(coarse), alone, means)


def _terms(study: Study, sizes: Scrambles, depth_steps: int, rtol: float) -> list[Terms]:
    """The runs of every scramble."""
    return [
        tuple((c, study.run(spec)) for c, spec in sizes.specs(number, depth_steps, rtol))
        for number in range(sizes.scrambles)
    ]


def _alone(run: Run) -> Alone:
    assert run.alone is not None
    return run.alone


def _explained(study: Study, scrambles: Sequence[Terms]) -> Explained | None:
    """How much of ``alone`` is right along s: its regression on what runs differ by."""
    runs = [terms[0][1] for terms in scrambles]
    if study.lazy is None or any(run.alone is None for run in runs):
        return None
    outputs = np.array([summed(terms).outputs for terms in scrambles])
    known = np.array([_alone(run).error for run in runs])
    own, all_of_it = (a - a.mean(axis=0) for a in (known, outputs))
    size = np.square(own).sum(axis=(0, 2, 3))
    slope = (own * all_of_it).sum(axis=(0, 2, 3)) / np.where(size > 0, size, 1.0)
    return Explained(study.lazy, np.clip(slope, 0.0, 1.0))


def average(problem: Problem, scrambles: Sequence[Terms], alone: Explained | None) -> Mean:
    """The mean of scrambles, less what the flow of u alone explains."""
    found = tuple(
        Scrambled(terms, alone.less(terms) if alone else summed(terms)) for terms in scrambles
    )
    series = mean([one.series for one in found])
    return Mean(found, series, loss_of(problem, series.outputs, series.penalty))


def _gap(study: Study, fine: Mean, coarse: Mean) -> Gap:
    outputs = [np.array([one.series.outputs for one in m.scrambles]) for m in (fine, coarse)]
    rests = [_left_out(values) for values in outputs]
    noise, jump = _noise(rests[0]), _noise(rests[0] - rests[1])
    fold = _fold(fine.terms, coarse.terms)
    bias = _beyond(rms(fine.series.outputs - coarse.series.outputs), rms(jump), fold)
    error = quantile(len(outputs[0])) * rms(noise) + bias
    losses = [
        _losses(study.problem, m, rest) for m, rest in zip((fine, coarse), rests, strict=True)
    ]
    loss = _of_rests(fold, fine.loss, coarse.loss, *losses)
    # Where the slope of the loss vanishes, its curvature remains.
    return Gap(loss + 0.5 * study.problem.outputs * error**2, error)


def _losses(problem: Problem, of: Mean, outputs: Array) -> Array:
    """The loss of the averages without each scramble, (R, n)."""
    penalty = _left_out(np.array([one.series.penalty for one in of.scrambles]))
    return np.array([loss_of(problem, z, r) for z, r in zip(outputs, penalty, strict=True)])


def _left_out(values: Array) -> Array:
    """Means over all but one of the first axis."""
    return (values.sum(axis=0) - values) / (len(values) - 1)


def _fold(fine: Terms, coarse: Terms) -> float:
    """How many times more points the finer sets have."""
    here, there = (terms[0][1].final.theta.shape[1] for terms in (fine, coarse))
    return here / there


def _of_rests(fold: float, fine: Array, coarse: Array, rests: Array, coarse_rests: Array) -> Array:
    """The error of ``fine`` from what it and the coarser one are without each scramble.

    The coarser sets, of ``fold`` times fewer points, are parts of the finer ones: their change is
    judged scramble by scramble.
    """
    bias = _beyond(np.abs(fine - coarse), _noise(rests - coarse_rests), fold)
    return quantile(len(rests)) * _noise(rests) + bias


def _noise(rests: Array) -> Array:
    """Jackknife: the standard error of a mean, from what it is without each value."""
    return np.sqrt((len(rests) - 1) * np.var(rests, axis=0))


def _beyond(jump: Array, noise: Array, fold: float) -> Array:
    """What a change from the coarse mean shows beyond its noise, carried to the fine one."""
    return np.sqrt(np.maximum(jump**2 - noise**2, 0.0)) / (fold - 1.0)
