"""Blocks placed in depth: construction, conversions, exchanges, distances, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import gaussian_measure, sine

import mfpde
from mfpde import laws, transport

LAW = laws.Gaussian(1.0, dim=5)


@pytest.mark.parametrize("rule", ["iid", "sobol"])
def test_laws_of_depth_and_parameters(rule):
    rho = mfpde.JointMeasure.from_law(
        lambda t: laws.Gaussian(0.1, mean=[2 * t, -t]),
        count=1024,
        rule=rule,
        depth=laws.Uniform(0.5, 1.0),
    )
    assert rho.t.min() >= 0.5
    assert abs(rho.t.mean() - 0.75) < 0.02
    np.testing.assert_allclose(rho.theta[:, 0] - 2 * rho.t, 0.0, atol=0.6)
    even = [cls.from_law(LAW, count=8).t for cls in (mfpde.JointMeasure, mfpde.OrderedBlocks)]
    np.testing.assert_allclose(even[0], (np.arange(8) + 0.5) / 8)
    np.testing.assert_allclose(even[1], (np.arange(8) + 1.0) / 8)


def test_evenly_placed_ordered_blocks_are_the_plain_network():
    problem = sine(10)
    blocks = mfpde.OrderedBlocks.from_law(LAW, count=12, rule="iid")
    network = mfpde.ParticleMeasure(blocks.theta[:, None], mfpde.Depth(12, "euler"))
    np.testing.assert_allclose(
        mfpde.predict(problem, blocks), mfpde.predict(problem, network), atol=1e-14
    )


def test_particles_there_and_back():
    problem = sine(6)
    layers = gaussian_measure(problem, mfpde.Depth(4, "euler"), count=8)
    rho = mfpde.JointMeasure.from_particles(layers)
    assert rho.count == 32
    back = rho.to_particles(layers.depth)
    np.testing.assert_allclose(back.theta, layers.theta)
    np.testing.assert_allclose(back.weights, layers.weights)
    assert mfpde.cot_distance(rho, rho.to_particles()) == 0.0
    uneven = gaussian_measure(problem, mfpde.Depth(4, "rk4"), count=8)
    with pytest.raises(ValueError, match="particles of equal mass"):
        mfpde.JointMeasure.from_particles(uneven)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), steps=st.integers(1, 6), method=st.sampled_from(["euler", "rk4"]))
def test_depth_by_mass_keeps_every_mean(count, steps, method):
    """Node k holds exactly its share of the mass, block by block."""
    rho = mfpde.JointMeasure(np.arange(count)[:, None], (np.arange(count) + 0.5) / count)
    layers = rho.to_particles(mfpde.Depth(steps, method))
    np.testing.assert_allclose(layers.weights.sum(axis=1), 1.0, atol=1e-12)
    total = layers.depth.weights @ layers.mean()[:, 0]
    assert total == pytest.approx((count - 1) / 2, rel=1e-9, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.permutations(list(range(50))))
def test_exchanges_count_pairs(order):
    theta, t = np.zeros((50, 1)), (np.arange(50) + 0.5) / 50
    first, second = mfpde.JointMeasure(theta, t), mfpde.JointMeasure(theta, t[order])
    signs = np.sign(t[:, None] - t) * np.sign(second.t[:, None] - second.t)
    assert first.exchanges(second) == second.exchanges(first) == np.count_nonzero(signs < 0) // 2
    with pytest.raises(ValueError, match="other must hold 50 blocks"):
        first.exchanges(mfpde.JointMeasure(theta[:3], t[:3]))


def test_joint_distance_reads_the_depths_of_blocks():
    rho = mfpde.JointMeasure.from_law(LAW, count=16)
    moved = rho.with_state(rho.state + np.append(np.zeros(5), 0.02))
    for beta in (0.5, 2.0):
        far = transport.joint_distance(rho, moved, beta=beta)
        shift = np.minimum(rho.t + 0.02, 1.0) - rho.t
        assert far == pytest.approx(beta * np.sqrt(np.mean(shift**2)), rel=1e-9)
    assert mfpde.cot_distance(rho, moved) == 0.0  # depth by mass: nothing has moved


def test_bad_input():
    theta, t = np.zeros((3, 5)), np.array([0.1, 0.2, 0.3])
    for kind in (mfpde.JointMeasure, mfpde.OrderedBlocks):
        with pytest.raises(ValueError, match=r"t must lie in \[0, 1\]; given 0.1 to 1.3"):
            kind(theta, [*t[:2], 1.3])
        with pytest.raises(ValueError, match=r"t must have shape \(3,\)"):
            kind(theta, t[:2])
        with pytest.raises(ValueError, match="theta must not be empty"):
            kind(np.zeros((0, 5)), [])
        with pytest.raises(ValueError, match="beta must be finite and > 0"):
            kind(theta, t, beta=0.0)
        with pytest.raises(ValueError, match="rule must be one of 'iid', 'sobol'"):
            kind.from_law(LAW, count=4, rule="gauss")
        with pytest.raises(ValueError, match="depth must be one of 'even'"):
            kind.from_law(LAW, count=4, depth="uniform")
        with pytest.raises(ValueError, match="depth must be a law of one coordinate"):
            kind.from_law(LAW, count=4, depth=LAW)
        with pytest.raises(ValueError, match="p = 5; given p = 4"):
            mfpde.predict(sine(4), kind(np.zeros((3, 4)), t))
        with pytest.raises(ValueError, match="temperature must be 0 for particles"):
            mfpde.solve(sine(4, temperature=0.1), kind(theta, t), s_end=1.0)
    with pytest.raises(ValueError, match=r"window must be in \(0, 1\]"):
        mfpde.JointMeasure(theta, t, window=1.5)
    with pytest.raises(TypeError, match=r"use rho\.to_particles\(\)"):
        mfpde.theory.lipschitz(sine(4), mfpde.JointMeasure(theta, t))
