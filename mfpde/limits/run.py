"""What one run tells of a limit, and what sums of runs do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde.evaluate import predict
from mfpde.limits.lazy import Alone
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """What may be averaged: outputs (n, N, k), penalty (n,), and by name what is watched."""

    outputs: Array
    penalty: Array
    watched: dict[str, Array]


@dataclass(frozen=True)
class Run(Series):
    """Its series, loss (n,), last measure, the times of its steps, and its gradients.

    ``alone`` is what the flow of u alone makes of this run's points (``mfpde.limits.lazy``), where
    that is known. A ``quick`` run took few steps and counts only beside a pair that shows what
    they cost.
    """

    loss: Array
    final: ParticleMeasure
    grid: Array
    gradients: int
    alone: Alone | None = None
    quick: bool = False


Terms = tuple[tuple[float, Run], ...]


def summed(parts: Sequence[tuple[float, Series]]) -> Series:
    """Σ c · series."""
    outputs = sum(c * one.outputs for c, one in parts)
    penalty = sum(c * one.penalty for c, one in parts)
    watched = {name: sum(c * one.watched[name] for c, one in parts) for name in parts[0][1].watched}
    return Series(np.asarray(outputs), np.asarray(penalty), watched)  # type: ignore[arg-type]


def mean(series: Sequence[Series]) -> Series:
    return summed([(1.0 / len(series), one) for one in series])


def predicted(problem: Problem, terms: Terms, x: Array | None) -> Array:
    """Σ c · outputs at the last time for new data, (n, k)."""
    return np.asarray(sum(c * predict(problem, run.final, x) for c, run in terms))


def loss_of(problem: Problem, outputs: Array, penalty: Array) -> Array:
    """E at all times from outputs (n, N, k) and penalties (n,)."""
    return np.array([problem.fit(z) for z in outputs]) + penalty


def penalty_of(problem: Problem, rho: ParticleMeasure) -> float:
    """∫∫ r dρ."""
    return float(rho.integrate(problem.penalty.value(rho.theta))) if problem.penalty else 0.0


def rms(values: Array) -> Array:
    """Over all axes but the first, (n, ...) to (n,)."""
    return np.sqrt(np.mean(np.square(values).reshape(len(values), -1), axis=1))


def pooled(runs: Iterable[Run]) -> ParticleMeasure:
    """The mean of the measures of runs with one depth."""
    measures = [run.final for run in runs]
    if len(measures) == 1:
        return measures[0]
    theta = np.concatenate([rho.theta for rho in measures], axis=1)
    weights = np.concatenate([rho.weights for rho in measures], axis=1)
    return ParticleMeasure(theta, measures[0].depth, weights / len(measures))
