"""Sampling bias, bootstrap, and the joint cost on parameters and depth."""

import numpy as np
import pytest

from mfpde.transport import cot_distance, joint_distance, sample_distance

T4 = (np.arange(4) + 0.5) / 4


def sample(seed, n=100, p=3, shift=0.0):
    return T4, np.random.default_rng(seed).normal(size=(4, n, p)) + shift


def test_debiased_distance_of_one_law_is_centred_at_zero():
    values = [sample_distance(sample(2 * k), sample(2 * k + 1), workers=1) for k in range(12)]
    debiased = np.array([v.debiased for v in values])
    plain = np.array([v.plain for v in values])
    assert plain.min() > 0.5  # what a naive report would say
    assert abs(debiased.mean()) < 4 * debiased.std(ddof=1) / np.sqrt(len(values))
    assert np.abs(debiased).max() < 0.2 * plain.mean()


def test_debiased_distance_finds_a_shift_below_the_bias():
    """Shift .5 in each of 3 coordinates: COT² = .75; independent copies of the samples."""
    result = sample_distance(
        sample(0), sample(1, shift=0.5), copies=(sample(2), sample(3, shift=0.5))
    )
    assert result.plain > 1.0
    assert result.debiased == pytest.approx(0.75, abs=0.2)
    assert "debiased" in repr(result)


def test_bootstrap_is_reproducible_and_pairs_common_random_numbers():
    one = sample_distance(sample(0, n=60), sample(0, n=60, shift=3.0), bootstrap=40, seed=5)
    two = sample_distance(
        sample(0, n=60), sample(0, n=60, shift=3.0), bootstrap=40, seed=5, workers=1
    )
    assert one.interval == two.interval
    assert one.interval == pytest.approx((27.0, 27.0))  # common random numbers: no spread at all


def test_bootstrap_interval_covers_the_truth():
    """W₂² = 3 between shifted Gaussians in R³; nominal 95 %, percentile intervals reach 42 %."""
    covered = 0
    for k in range(40):
        rng = np.random.default_rng(k)
        mu, nu = (([0.5], rng.normal(size=(1, 60, 3)) + shift) for shift in (0.0, 1.0))
        low, high = sample_distance(mu, nu, bootstrap=40, seed=k, workers=1).interval
        assert low < high
        covered += low <= 3.0 <= high
    assert covered >= 32


def test_samples_are_checked():
    with pytest.raises(ValueError, match="mu must be a sample"):
        sample_distance((*sample(0), np.tile(np.r_[0.5, np.full(99, 0.5 / 99)], (4, 1))), sample(1))
    with pytest.raises(ValueError, match="level must lie"):
        sample_distance(sample(0), sample(1), level=1.0)


def test_joint_cost_reaches_cot_from_below():
    mu, nu = sample(0, n=32, p=2), sample(1, n=32, p=2)
    exact = cot_distance(mu, nu)
    values = [joint_distance(mu, nu, beta=beta) for beta in (0.1, 1.0, 3.0, 100.0)]
    assert np.all(np.diff(values) >= -1e-12)
    assert values[0] < 0.9 * exact
    assert values[-1] ** 2 == pytest.approx(exact**2, abs=1e-12)
    with pytest.raises(ValueError, match="beta must be"):
        joint_distance(mu, nu, beta=-1.0)
