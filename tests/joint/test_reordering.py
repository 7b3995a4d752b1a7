"""The published algorithm: what happens where blocks change order, and its limit."""

from itertools import pairwise

import numpy as np
import pytest
from problems import sine
from scipy.linalg import expm
from scripts import script

import mfpde
from mfpde import laws
from mfpde.flows.kinds import flow_class

LAW = laws.Gaussian(1.0, dim=5)
EXACT = script("validation", "joint_velocity")


def jump(kind, count, seed=0):
    """E just after less E just before two neighbours in the middle pass each other."""
    blocks = kind.from_law(LAW, count=count, rule="iid", seed=seed)
    j, t = count // 2, blocks.t.copy()
    t[j] = t[j + 1]
    values = []
    for shift in (-1e-12, 1e-12):  # block j behind, then ahead of its successor
        t[j] = t[j + 1] + shift
        values.append(mfpde.loss(sine(8), kind(blocks.theta, t)))
    return values[1] - values[0]


def mean_jump(kind, count):
    return float(np.sqrt(np.mean([jump(kind, count, seed) ** 2 for seed in range(32)])))


def test_one_sided_gaps_jump_in_first_order_and_equal_steps_in_second():
    sizes = np.array([16, 32, 64, 128, 256])
    for kind, order in ((mfpde.OrderedBlocks, 1), (mfpde.JointMeasure, 2)):
        jumps = [mean_jump(kind, n) for n in sizes.tolist()]
        slope = np.polyfit(np.log(sizes), np.log(jumps), 1)[0]
        assert slope == pytest.approx(-order, abs=0.2)


def test_the_jump_is_the_gap_times_the_difference_of_first_variations():
    """g (v_{l+1} − v_l), read from the velocity of the block that comes up from behind."""
    count, task = 2048, sine(8)
    blocks = mfpde.OrderedBlocks.from_law(LAW, count=count, rule="iid")
    j, t = count // 2, blocks.t.copy()
    t[j] = t[j + 1] - 1e-12
    before = mfpde.OrderedBlocks(blocks.theta, t)
    slope = mfpde.gradient(task, before)[j, -1] / count  # v_j − v_{j+1}
    gap = before.ordered().steps[j]
    assert jump(mfpde.OrderedBlocks, count) == pytest.approx(-gap * slope, rel=0.05)


def test_equal_steps_in_parallel_are_continuous():
    """X + h f(X, θ) + h f(X, θ′): the only rule under which passing changes nothing."""
    task = sine(8)
    blocks = mfpde.JointMeasure.from_law(LAW, count=16)
    x, h = task.start(), 1.0 / 16
    theta = blocks.theta
    pair = [h * task.block.value(x, theta[[j]])[:, 0] for j in (3, 4)]
    together = x + pair[0] + pair[1]
    np.testing.assert_allclose(together, x + pair[1] + pair[0], atol=1e-15)
    first, second = x + pair[0], x + pair[1]
    one = first + h * task.block.value(first, theta[[4]])[:, 0]
    two = second + h * task.block.value(second, theta[[3]])[:, 0]
    assert 0 < np.abs(one - two).max() < 2 * h**2


def test_the_loss_descends_between_exchanges_and_may_rise_at_them():
    task = sine(12)
    rho = mfpde.OrderedBlocks.from_law(laws.Gaussian(1.5, dim=5), count=32, beta=32.0)
    run = mfpde.solve(task, rho, s_end=20.0, method="gd", step=0.05, save="steps", progress=False)
    states = [run.at(s) for s in run.s]
    moved = np.array([a.exchanges(b) for a, b in pairwise(states)])
    assert moved.sum() == run.stats["exchanges"] > 0
    assert f"{moved.sum()} pairs of blocks changed order" in run.message
    change = np.diff(run.loss)
    assert np.all(change[moved == 0] <= 1e-12)
    assert np.any(change[moved > 0] > 0)
    assert run.loss[-1] < run.loss[0]


def test_a_rise_without_an_exchange_is_refused():
    task = sine(12)
    rho = mfpde.OrderedBlocks.from_law(laws.Gaussian(1.5, dim=5), count=8, beta=1e4)
    flow = flow_class(rho)(task, rho)
    here, same = flow.at(rho.state), flow.at(rho.state + 1e-3)
    assert not flow.may_rise(here, same)
    swapped = rho.state.copy()
    swapped[[2, 3], -1] = swapped[[3, 2], -1]
    assert flow.may_rise(here, flow.at(swapped))
    run = mfpde.solve(
        task, rho, s_end=200.0, method="gd", step=40.0, progress=False, raise_on_failure=False
    )
    assert run.status in (mfpde.Status.LOSS_ROSE, mfpde.Status.UNSTABLE)


def test_its_limit_holds_the_conditional_law():
    """θ | t with E[v uᵀ] = 2t J at depths of density c: the end is e^{m J} x.

    m = ∫ 2t dt = 1 for the published algorithm, ∫ 2t c(t) dt = 1 − 2/π² for equal mass.
    """
    task = EXACT.linear_problem()
    theta, t = EXACT.sample(4096)
    theta[:, 2:] *= 2 * t[:, None]
    for kind, m in ((mfpde.OrderedBlocks, 1.0), (mfpde.JointMeasure, 1 - 2 / np.pi**2)):
        expected = task.x @ expm(m * EXACT.G).T
        found = mfpde.predict(task, kind(theta, t))
        assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert np.abs(expm(EXACT.G) - expm(m * EXACT.G)).max() > 0.3
