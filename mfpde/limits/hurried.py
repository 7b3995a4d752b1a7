"""Runs in a few steps of Heun's method, for width: what they miss is read from smaller ones.

The spread of a run over scrambles hardly depends on how its time is stepped. Wide runs therefore
take few steps, and a pair of small runs on the same points, one of them in full, shows what that
costs: in the mean of all three steps of time cancel, and points of the small pair nearly do.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.schemes.explicit import heun
from mfpde.limits.run import Run, Series, loss_of, penalty_of
from mfpde.limits.watch import Watch
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem

Array = NDArray[np.float64]

# Numbers of steps that are tried, fewest first.
LADDER = (4, 6, 8, 11, 16, 22, 32)


def grid_of(grid: Array, steps: int) -> Array:
    """The times of ``steps`` steps that a run with the times ``grid`` would take, roughly."""
    places = np.linspace(0.0, len(grid) - 1.0, steps + 1)
    return np.asarray(np.interp(places, np.arange(len(grid)), grid))


def run(
    problem: Problem,
    rho0: ParticleMeasure,
    s: Array,
    grid: Array,
    watch: Watch,
    between: Callable[[float], None],
) -> Run:
    """The flow at the times s, read from those of ``grid`` by splines of all that is averaged.

    ``between`` is called before each step with its beginning. Outputs are NaN where the steps are
    too long for the flow.
    """
    flow = ParticleFlow(problem, rho0)
    point, found = flow.at(rho0.theta.copy()), []
    with np.errstate(all="ignore"):
        for begin, end in pairwise(grid):
            between(float(begin))
            found.append(_read(problem, rho0, point, watch))
            point = heun(flow, point, float(end - begin)).point
            if not np.isfinite(point.outputs).all():
                return _run(problem, _nothing(found[0], s), rho0, grid)
        found.append(_read(problem, rho0, point, watch))
    return _run(problem, _at(grid, found, s), _measure(rho0, point.state), grid)


def _run(problem: Problem, series: Series, final: ParticleMeasure, grid: Array) -> Run:
    loss = loss_of(problem, series.outputs, series.penalty)
    gradients = 2 * (len(grid) - 1)
    return Run(**vars(series), loss=loss, final=final, grid=grid, gradients=gradients, quick=True)


def _nothing(like: Series, s: Array) -> Series:
    """NaN at all times."""

    def nan(values: Array) -> Array:
        return np.full((s.size, *values.shape), np.nan)

    return Series(
        nan(like.outputs), nan(like.penalty), {n: nan(v) for n, v in like.watched.items()}
    )


def _measure(rho0: ParticleMeasure, theta: Array) -> ParticleMeasure:
    return ParticleMeasure(theta, rho0.depth, rho0.weights)


def _read(problem: Problem, rho0: ParticleMeasure, point: Any, watch: Watch) -> Series:
    """What is averaged, at one time."""
    rho = _measure(rho0, point.state) if problem.penalty or watch else rho0
    return Series(point.outputs, np.array(penalty_of(problem, rho)), watch.read(rho))


def _at(grid: Array, found: list[Series], s: Array) -> Series:
    """Splines in time through all series."""
    from scipy.interpolate import CubicSpline

    def spline(values: list[Array]) -> Array:
        return np.asarray(CubicSpline(grid, np.array(values))(s))

    names = found[0].watched
    return Series(
        spline([one.outputs for one in found]),
        spline([one.penalty for one in found]),
        {name: spline([one.watched[name] for one in found]) for name in names},
    )
