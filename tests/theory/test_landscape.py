"""Stationarity on constructed traps, escape from them, and the shallow comparison."""

import numpy as np
import pytest

import mfpde
from mfpde import theory


def trap(kind, steps=4):
    """A measure at which the gradient flow is stuck with E > 0, by a symmetry of the block."""
    x = np.array([[-1.1], [-0.4], [0.4], [1.1]])
    depth = mfpde.Depth(steps, "euler")
    if kind == "zero":  # u = w = b = 0: V = u tanh(w·x + b) has a critical point there
        problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(2), readout="last")
        theta = np.zeros((steps, 8, 5))
    elif kind == "dead":  # every particle in a half space that relu never sees
        problem = mfpde.Problem(x, np.abs(x), block=mfpde.SHL(2, "relu"), readout="last")
        theta = np.tile([0.5, 0.5, 0.1, 0.1, -9.0], (steps, 8, 1))
    else:  # w = 0 and the best constant: an even residual has no slope in w
        problem = mfpde.Problem(x, x**2, block=mfpde.SHL(2, "tanh"), readout="last")
        theta = np.zeros((steps, 8, 5))
        theta[:, :, 4] = 1.0
        theta[:, :, 1] = np.mean(x**2) / np.tanh(1.0)
    return problem, mfpde.ParticleMeasure(theta, depth)


@pytest.mark.parametrize("kind", ["zero", "dead", "constant"])
def test_flow_is_stuck_stationarity_sees_the_way_out_and_escape_takes_it(kind):
    problem, rho = trap(kind)
    before = mfpde.loss(problem, rho)
    assert before > 0.02
    assert np.abs(mfpde.gradient(problem, rho)).max() < 1e-12
    found = theory.stationarity(problem, rho)
    assert found.value > 0.01
    out = theory.escape(problem, rho, loss_below=1e-6, rtol=1e-2, box=(-3.0, 3.0))
    assert out.success, out.message
    assert mfpde.loss(problem, out.final) <= 1e-6
    history = [before]
    for one in out.rounds:
        assert one.loss_before <= history[-1] * (1 + 1e-12)
        assert one.loss_inserted < one.loss_before
        history.append(one.solution.loss[-1])


def test_stationarity_is_the_first_order_gain_of_an_insertion():
    problem, rho = trap("zero")
    found = theory.stationarity(problem, rho)
    errors = []
    for mass in (1e-3, 1e-4):
        drop = mfpde.loss(problem, rho) - mfpde.loss(problem, theory.insert(rho, found, mass))
        gain = rho.depth.weights @ np.maximum(found.per_depth, 0.0)
        errors.append(abs(drop / mass - gain) / gain)
    assert errors[1] < 0.15 * errors[0]
    assert errors[1] < 2e-3


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_potential_agrees_with_the_first_variation_and_its_gradient(method):
    rng = np.random.default_rng(0)
    depth = mfpde.Depth(2, method)
    problem = mfpde.Problem(
        rng.standard_normal((3, 2)), rng.standard_normal(3), block=mfpde.SHL(2), weight_decay=0.3
    )
    rho = mfpde.ParticleMeasure(rng.standard_normal((len(depth.nodes), 4, 5)), depth)
    points = rng.standard_normal((6, 5))
    potential, v = theory.Potential(problem, rho), mfpde.first_variation(problem, rho, points)
    gradient = mfpde.gradient(problem, rho)
    for k in range(rho.levels):
        assert np.abs(potential.value(k, points) - v[k]).max() < 1e-13
        assert np.abs(potential.gradient(k, rho.theta[k]) - gradient[k]).max() < 1e-13


def test_zero_loss_is_stationary_and_the_sup_beats_a_fine_grid():
    problem, rho = trap("zero")
    fitted = mfpde.Problem(
        problem.x, mfpde.predict(problem, rho), block=problem.block, readout="last"
    )
    assert theory.stationarity(fitted, rho).value == pytest.approx(0.0, abs=1e-12)
    scalar = mfpde.Problem([[-0.5], [0.2], [1.0]], [0.3, -0.2, 0.5], block=mfpde.SHL(1, bias=False))
    start = mfpde.ParticleMeasure(np.full((2, 3, 2), 0.3), mfpde.Depth(2, "euler"))
    found = theory.stationarity(scalar, start, box=(-2.0, 2.0))
    axis = np.linspace(-2.0, 2.0, 201)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    v = mfpde.first_variation(scalar, start, grid)
    at_particles = mfpde.first_variation(scalar, start, start.theta)
    sup = at_particles.mean(axis=1) - v.min(axis=1)
    assert np.all(found.per_depth >= sup - 1e-12)
    assert np.all(found.per_depth <= sup + 1e-3)
    assert found.value == found.per_depth[found.node]
    assert found.t == start.depth.nodes[found.node]


def test_escape_ends_where_no_insertion_helps():
    problem, rho = trap("zero")
    fitted = mfpde.Problem(
        problem.x, mfpde.predict(problem, rho), block=problem.block, readout="last"
    )
    out = theory.escape(fitted, rho)
    assert out.success
    assert out.loss == 0.0
    assert not out.rounds


def test_shallow_gradient_differs_within_its_bounds_and_not_at_the_last_layer():
    rng = np.random.default_rng(0)
    problem = mfpde.Problem(
        rng.standard_normal((3, 2)), rng.standard_normal((3, 2)), block=mfpde.SHL(2)
    )
    depth = mfpde.Depth(6, "euler")
    for scale in (0.0, 0.5, 5.0):
        theta = rng.standard_normal((6, 16, 5))
        theta[..., :2] *= scale
        comparison = theory.shallow_comparison(problem, mfpde.ParticleMeasure(theta, depth))
        lower, upper = comparison.bounds
        assert np.all(comparison.ratio >= lower)
        assert np.all(comparison.ratio <= upper)
        assert comparison.ratio[-1] == pytest.approx(1.0, abs=1e-14)  # P(1) is read there
        assert np.all(comparison.cosine <= 1 + 1e-14)
        if scale == 0.0:
            assert np.allclose(comparison.ratio, 1.0, atol=1e-13)
    assert np.abs(comparison.ratio - 1.0).max() > 0.05


def test_box_is_checked():
    problem, rho = trap("zero")
    with pytest.raises(ValueError, match="low < high"):
        theory.stationarity(problem, rho, box=(1.0, -1.0))
    with pytest.raises(ValueError, match="box must have shape"):
        theory.stationarity(problem, rho, box=[[-1.0, 1.0]] * 2)
