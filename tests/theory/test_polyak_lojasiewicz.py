"""PL: the ordering of its three constants, envelopes along flows, depth bounds, rates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfpde
from mfpde import theory


def draw(seed, activation="tanh", method="euler", steps=4, d=2, n=3):
    rng = np.random.default_rng(seed)
    block, depth = mfpde.SHL(d, activation), mfpde.Depth(steps, method)
    problem = mfpde.Problem(rng.standard_normal((n, d)), rng.standard_normal((n, 1)), block=block)
    theta = rng.standard_normal((len(depth.nodes), 8, block.size))
    return problem, mfpde.ParticleMeasure(theta, depth)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), activation=st.sampled_from(["tanh", "gelu", "sin", "relu"]))
def test_measured_above_kernel_above_paper(seed, activation):
    pl = theory.polyak_lojasiewicz(*draw(seed, activation))
    assert pl.measured >= pl.kernel * (1 - 1e-9) - 1e-13
    assert pl.kernel >= pl.paper * (1 - 1e-9) - 1e-13


def test_continuous_depth_bound_holds_with_a_fine_integrator():
    pl = theory.polyak_lojasiewicz(*draw(3, method="rk4", steps=8))
    assert pl.kernel > pl.paper > 0


def test_adjoint_stays_within_the_exponential_bounds():
    problem, rho = draw(5)
    comparison = theory.shallow_comparison(problem, rho)
    lower, upper = comparison.adjoint_bounds
    assert np.all(comparison.adjoint_least >= lower * (1 - 1e-12))
    assert np.all(comparison.adjoint_most <= upper * (1 + 1e-12))


def test_envelope_of_the_measured_constant_is_the_loss_itself():
    problem, rho = draw(1)
    errors = []
    for pieces in (20, 40, 80):
        sol = mfpde.solve(problem, rho, s_end=3.0, method="rk45", rtol=1e-8, save=pieces)
        env = theory.envelope(problem, sol, np.linspace(0.0, 3.0, pieces + 1))
        errors.append(np.abs(np.log(env.bound["measured"] / env.loss)).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - 2.0) < 0.2)  # of the trapezoid rule
    assert errors[-1] < 1e-4
    for name in ("kernel", "paper"):
        assert np.all(env.loss <= env.bound[name] * (1 + 1e-4))
    assert np.all(env.m["measured"] >= env.m["kernel"] * (1 - 1e-9))


def test_path_length_obeys_the_pl_bound():
    problem, rho = draw(2)
    sol = mfpde.solve(problem, rho, s_end=30.0, method="rk45", rtol=1e-7)
    speed = np.sqrt(sol.gradient_norm2)
    length = np.sum(0.5 * (speed[1:] + speed[:-1]) * np.diff(sol.s))
    least = (sol.gradient_norm2 / (2 * sol.loss)).min()
    assert length <= np.sqrt(2 / least) * (np.sqrt(sol.loss[0]) - np.sqrt(sol.loss[-1])) * 1.001


def test_other_losses_are_refused():
    problem = mfpde.Problem(np.eye(2), np.array([0, 1]), block=mfpde.SHL(2), loss="cross_entropy")
    with pytest.raises(ValueError, match="squared"):
        theory.polyak_lojasiewicz(problem, draw(0)[1])


class Curve:
    def __init__(self, s, loss):
        self.s, self.loss = s, loss


@pytest.mark.parametrize("rate", [0.3, 2.0])
def test_fit_rate_tells_exponential_from_power(rate):
    s = np.geomspace(1e-2, 40.0, 300)
    exponential = theory.fit_rate(Curve(s, 3.0 * np.exp(-rate * s)))
    assert exponential.kind == "exponential"
    assert exponential.rate == pytest.approx(rate, rel=2e-3)
    power = theory.fit_rate(Curve(s, 3.0 * (1.0 + s) ** -rate), tail=0.5)
    assert power.kind == "power"
    assert power.rate == pytest.approx(rate, rel=0.1)
    low, high = power.interval
    assert low <= power.rate <= high
    assert power.spread < 0.1 < power.other_spread


def test_fit_rate_of_a_flow_is_twice_the_least_eigenvalue_it_sees():
    problem, rho = draw(1)
    sol = mfpde.solve(
        problem, rho, s_end=np.inf, loss_below=1e-14, method="rk45", rtol=1e-6, save="steps"
    )
    rate = theory.fit_rate(sol, tail=0.3)
    late = theory.polyak_lojasiewicz(problem, sol.final)
    assert rate.kind == "exponential"
    assert rate.interval[0] * 0.99 <= 2 * late.kernel <= rate.interval[1] * 1.01


def test_fit_rate_needs_a_falling_curve():
    with pytest.raises(ValueError, match="16 points"):
        theory.fit_rate(Curve(np.arange(1.0, 50.0), np.ones(49)))
