"""The certificate of classification losses, down to a level, against runs and adversaries."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from test_certificate import adversaries, deeper, last_radius

import mfpde
from mfpde import theory
from mfpde.theory._sublevel import _clock, _travel

METHODS = ["euler", "rk4", "heun", "midpoint"]


def classified(seed, method, classes):
    """A random problem with labels: two classes by one logistic output, more by cross-entropy."""
    problem, rho = deeper(seed, method)
    rng = np.random.default_rng(seed)
    d, n = problem.block.dim, problem.size
    if classes == 1:
        y, readout, loss = rng.choice([-1.0, 1.0], (n, 1)), problem.readout, "logistic"
    else:
        y, loss = np.eye(classes)[rng.integers(classes, size=n)], "cross_entropy"
        readout = 10.0 ** rng.uniform(-1, 1.5) * rng.standard_normal((classes, d))
    how = {"block": problem.block, "readout": readout, "loss": loss}
    return mfpde.Problem(problem.x, y, **how), rho


def lifted(readout, method="euler"):
    """u = 0, (w, b) Gaussian, logistic loss, read from a coordinate that the data leave at zero."""
    x, y = np.array([[-1.2], [0.1], [1.0]]), np.array([[1.0], [-1.0], [1.0]])
    law = mfpde.laws.Product(mfpde.laws.Dirac(0.0, dim=2), mfpde.laws.Gaussian(1.5, dim=3))
    block = mfpde.SHL(2)
    problem = mfpde.Problem(x, y, block=block, readout=[[0.0, readout]], loss="logistic")
    return problem, mfpde.ParticleMeasure.from_law(law, mfpde.Depth(4, method), count=64)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    part=st.floats(0.02, 0.98),
    method=st.sampled_from(METHODS),
    classes=st.sampled_from([1, 2, 3]),
)
def test_no_measure_on_the_ball_has_a_smaller_gradient(seed, part, method, classes):
    problem, rho = classified(seed, method, classes)
    assume(classes <= max(problem.block.dim, 1))
    found = theory.sublevel_certificate(problem, rho, 0.1).constants
    assume(found.rate(0.0) > 0.0)
    radius, n = part * last_radius(found), problem.size
    for theta in adversaries(problem, rho, radius, np.random.default_rng(seed + 1)):
        there = rho.with_state(theta)
        squares = np.square(mfpde.gradient(problem, there)).sum(axis=2)
        least = np.sqrt(found.rate(radius)) * -np.expm1(-n * mfpde.loss(problem, there)) / n
        assert np.sqrt(there.integrate(squares)) >= least * (1 - 1e-9) - 1e-13


@pytest.mark.parametrize(("method", "readout"), [("euler", 2000.0), ("rk4", 4000.0)])
def test_the_flow_reaches_the_level_in_time_and_on_its_path(method, readout):
    problem, rho = lifted(readout, method)
    refused = theory.sublevel_certificate(*lifted(1.0, method), 0.1)
    assert not refused.passed
    assert refused.time == refused.distance == np.inf
    assert 0.1 < refused.lowest < refused.loss
    certified = theory.sublevel_certificate(problem, rho, 0.05)
    assert certified.passed
    assert "certified" in str(certified)
    how = {"method": "rk45", "rtol": 1e-7, "loss_below": 0.05}
    sol = mfpde.solve(problem, rho, s_end=certified.time, save=20, **how)
    assert sol.loss[-1] <= 0.05
    states = [sol.at(s) for s in np.linspace(0.0, sol.s[-1], 8)]
    legs = [mfpde.cot_distance(*pair) for pair in pairwise(states)]
    assert 0.2 * certified.distance < sum(legs) <= certified.distance


def test_the_lowest_level_is_the_threshold():
    problem, rho = lifted(1000.0)
    lowest = theory.sublevel_certificate(problem, rho, 0.3).lowest
    assert theory.sublevel_certificate(problem, rho, 1.001 * lowest).passed
    assert not theory.sublevel_certificate(problem, rho, 0.999 * lowest).passed
    already = theory.sublevel_certificate(problem, rho, 2.0)
    assert already.passed
    assert already.time == already.distance == 0.0


@pytest.mark.parametrize("n", [1, 5])
def test_travel_and_clock_are_the_integrals_they_stand_for(n):
    travel = quad(lambda e: n / -np.expm1(-n * e), 0.2, 1.7)[0]
    clock = quad(lambda e: n / np.expm1(-n * e) ** 2, 0.2, 1.7)[0]
    assert _travel(1.7, n) - _travel(0.2, n) == pytest.approx(travel, rel=1e-9)
    assert _clock(1.7, n) - _clock(0.2, n) == pytest.approx(clock, rel=1e-9)


def test_outside_its_range_it_refuses():
    problem, rho = lifted(1.0)
    how = {"block": problem.block, "readout": problem.readout}
    squared = mfpde.Problem(problem.x, problem.y, **how)
    with pytest.raises(ValueError, match="'cross_entropy' or 'logistic'"):
        theory.sublevel_certificate(squared, rho, 0.1)
    with pytest.raises(ValueError, match="loss_below"):
        theory.sublevel_certificate(problem, rho, 0.0)
    soft = np.full((3, 2), 0.5)
    both = mfpde.Problem(problem.x, soft, block=problem.block, loss="cross_entropy")
    with pytest.raises(ValueError, match="one-hot"):
        theory.sublevel_certificate(both, rho, 0.1)
    relu = mfpde.Problem(
        problem.x, problem.y, block=mfpde.SHL(2, "relu"), readout=[[0.0, 1.0]], loss="logistic"
    )
    with pytest.raises(ValueError, match="sublevel_certificate needs a smooth"):
        theory.sublevel_certificate(relu, rho, 0.1)
