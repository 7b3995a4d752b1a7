"""Lu et al.'s joint flow: the smooth velocity, its limit, what is conserved, and runs."""

import numpy as np
import pytest
from problems import sine
from scripts import script

import mfpde
from mfpde import laws
from mfpde.flows.kinds import flow_class
from mfpde.flows.particle_flow import ParticleFlow

LAW = laws.Gaussian(1.0, dim=5)
# Linear blocks whose hidden and adjoint paths are matrix exponentials.
EXACT = script("validation", "joint_velocity")
sample, problem, gradient = EXACT.sample, EXACT.linear_problem, EXACT.exact_gradient


def test_the_window_is_of_second_order_up_to_the_ends():
    errors = [EXACT.velocity_error(8192, window=1 / cells) for cells in (2, 4, 8)]
    ratios = np.divide(errors[:-1], errors[1:])
    assert np.all(ratios > 3.4)
    assert errors[-1] < 0.015


def test_moving_blocks_together_changes_the_loss_as_the_velocity_says():
    """The difference quotient over many exchanges, where the derivative of E is zero."""
    theta, t = sample(4096)
    rho = mfpde.JointMeasure(theta, t)
    _, by_t = gradient(problem(), theta, t)
    field = np.sin(np.pi * t) * np.tanh(by_t)
    h = 0.02
    up, down = (mfpde.JointMeasure(theta, np.clip(t + sign * h * field, 0, 1)) for sign in (1, -1))
    quotient = (mfpde.loss(problem(), up) - mfpde.loss(problem(), down)) / (2 * h)
    assert rho.exchanges(up) > 10 * rho.count
    assert quotient == pytest.approx(float(np.mean(by_t * field)), rel=0.01)
    measured = mfpde.gradient(problem(), rho)[:, -1]
    assert quotient == pytest.approx(float(np.mean(measured * field)), rel=0.01)


def test_depths_that_keep_the_order_change_nothing():
    rho = mfpde.JointMeasure.from_law(LAW, count=32)
    bent = mfpde.JointMeasure(rho.theta, rho.t**3)
    assert mfpde.loss(sine(8), bent) == mfpde.loss(sine(8), rho)


@pytest.mark.parametrize("window", [1.0, 0.3, 0.1])
def test_depth_velocities_sum_to_zero(window):
    """E does not see a change of the depth axis: the discrete form of Noether's theorem."""
    rho = mfpde.JointMeasure.from_law(LAW, count=64, rule="iid", window=window)
    slopes = mfpde.gradient(sine(8), rho)[:, -1]
    assert abs(slopes.sum()) < 1e-12 * np.abs(slopes).sum()


def test_commuting_blocks_do_not_move_in_depth():
    """Scalar linear blocks commute; what is left falls like 1/n."""
    x = np.linspace(-1, 1, 8)[:, None]
    one = mfpde.Problem(x, 2 * x, block=mfpde.Linear(1))
    sizes = []
    for count in (64, 256):
        rho = mfpde.JointMeasure.from_law(laws.Gaussian(1.0, dim=2), count=count)
        sizes.append(np.abs(mfpde.gradient(one, rho)[:, -1]).max())
    assert sizes[1] < 0.5 * sizes[0] < 0.1


def test_frozen_depths_are_the_conditional_flow():
    """beta = inf: the COT flow of the plain network, by other kernels."""
    task = sine(10, weight_decay=0.05)
    for kind in (mfpde.JointMeasure, mfpde.OrderedBlocks):
        rho = kind.from_law(LAW, count=16, beta=np.inf)
        layers = mfpde.ParticleMeasure(rho.theta[:, None], mfpde.Depth(16, "euler"))
        ours, theirs = (
            mfpde.solve(task, start, s_end=5.0, method="gd", step=0.05, progress=False)
            for start in (rho, layers)
        )
        np.testing.assert_array_equal(ours.final.t, rho.t)
        np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-12)
        np.testing.assert_allclose(ours.final.theta, theirs.final.theta[:, 0], atol=1e-11)
        np.testing.assert_allclose(ours.gradient_norm2, theirs.gradient_norm2, rtol=1e-10)


def test_kernel_of_frozen_depths_is_that_of_particles():
    task = sine(6)
    rho = mfpde.JointMeasure.from_law(LAW, count=12, beta=np.inf)
    layers = rho.to_particles()
    kernels = [
        flow.at(start.state).kernel
        for flow, start in (
            (flow_class(rho)(task, rho), rho),
            (ParticleFlow(task, layers), layers),
        )
    ]
    np.testing.assert_allclose(*kernels, rtol=1e-10, atol=1e-12)


def test_blocks_pushed_out_of_the_interval_stay_at_its_end():
    theta, t = sample(256)
    run = mfpde.solve(
        problem(), mfpde.JointMeasure(theta, t), s_end=0.05, method="rk4", step=5e-3,
        progress=False,
    )  # fmt: skip
    final = run.final.t
    assert final.min() >= 0.0
    assert final.max() <= 1.0
    ends = (final == 0.0) | (final == 1.0)
    assert ends.any()
    slope = mfpde.gradient(problem(), run.final)[:, -1]
    outward = np.where(final == 0.0, slope > 0, slope < 0)
    assert not np.any(ends & outward & (slope != 0))


@pytest.mark.parametrize("method", ["implicit", "rk45"])
def test_a_run_resumes_bit_for_bit(method, tmp_path):
    task, path = sine(8), tmp_path / "run.h5"
    for kind in (mfpde.JointMeasure, mfpde.OrderedBlocks):
        rho = kind.from_law(LAW, count=24, beta=4.0)
        how = {"method": method, "rtol": 1e-2, "progress": False}
        whole = mfpde.solve(task, rho, s_end=np.inf, loss_below=0.09, **how)
        stop = len(whole.s) // 2
        part = mfpde.solve(
            task, rho, s_end=np.inf, loss_below=0.09, checkpoint=path,
            callback=lambda sol, stop=stop: sol.control.steps >= stop, **how,
        )  # fmt: skip
        assert part.control.steps < whole.control.steps
        loaded = mfpde.Solution.load(path)
        assert type(loaded.final) is kind
        assert loaded.final.beta == 4.0
        again = mfpde.resume(path, progress=False)
        np.testing.assert_array_equal(again.loss, whole.loss)
        np.testing.assert_array_equal(again.final.state, whole.final.state)
        if kind is mfpde.JointMeasure:
            assert again.final.window == rho.window


def test_saved_states_carry_depths():
    pytest.importorskip("xarray")
    rho = mfpde.JointMeasure.from_law(LAW, count=16)
    run = mfpde.solve(sine(6), rho, s_end=1.0, method="rk45", save=[0.3, 0.6], progress=False)
    data = run.to_xarray()
    assert data["t"].dims == ("saved_s", "block")
    np.testing.assert_allclose(data["saved_s"], [0.0, 0.3, 0.6])
    np.testing.assert_array_equal(data["theta"][-1], run.at(0.6).theta)


def test_implicit_and_explicit_runs_agree():
    rho = mfpde.JointMeasure.from_law(LAW, count=128, beta=5.0)
    runs = [
        mfpde.solve(sine(8), rho, s_end=20.0, method=method, rtol=1e-3, progress=False)
        for method in ("implicit", "rk45")
    ]
    assert runs[0].loss[-1] == pytest.approx(runs[1].loss[-1], rel=0.02)
    assert runs[0].loss[-1] < 0.8 * runs[0].loss[0]


def test_terms_of_the_problem():
    task = sine(8, weight_decay=0.1, quartic_decay=0.01)
    rho = mfpde.JointMeasure.from_law(LAW, count=24)
    run = mfpde.solve(
        task, rho, s_end=1.0, method="implicit", rtol=1e-2, vanishing_decay=0.5, progress=False
    )
    assert run.energy[0] > run.loss[0]
    assert run.loss[-1] == pytest.approx(mfpde.loss(task, run.final), rel=1e-12)


def test_a_jacobian_too_large_is_refused(monkeypatch):
    from mfpde.passes import placed

    monkeypatch.setattr(placed, "LARGEST_JACOBIAN", 100)
    with pytest.raises(ValueError, match="method: the Jacobian of the outputs would hold"):
        mfpde.solve(
            sine(8), mfpde.JointMeasure.from_law(LAW, count=24), s_end=1.0, method="implicit"
        )
