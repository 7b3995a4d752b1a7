"""Hessian products against differences of gradients, torch's double backward and symmetry."""

import tracemalloc
from copy import copy

import numpy as np
import pytest
from problems import Cubic, random_case

import mfpde
from mfpde.activations import ACTIVATIONS
from mfpde.kernels import lending
from mfpde.passes import operator_of
from mfpde.passes.room import bytes_per_datum
from mfpde.passes.second_order import Directions
from mfpde.response.linearised import HELD, Linearised

SMOOTH = sorted(set(ACTIVATIONS) - {"relu"})
METHODS = ["euler", "heun", "rk4", "midpoint"]
BLOCKS = {"linear": mfpde.Linear(2), "cubic": Cubic(), "no_bias": mfpde.SHL(3, "sin", bias=False)}
BLOCKS |= {name: mfpde.SHL(2, name) for name in SMOOTH}


def case(block, method="rk4", loss="squared", seed=0):
    problem, rho = random_case(block, method, loss, seed)
    rng = np.random.default_rng(seed + 1)
    return problem, rho, rng.standard_normal(rho.theta.shape), rng


def fourth_order(function, h=2e-3):
    """Central differences of order 4 at zero."""
    near, far = function(h) - function(-h), function(2 * h) - function(-2 * h)
    return (8 * near - far) / (12 * h)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_products_are_differences_of_gradients(name, loss):
    problem, rho, direction, _ = case(BLOCKS[name], METHODS[len(name) % 4], loss)

    def gradient(e):
        return mfpde.gradient(problem, rho.with_state(rho.theta + e * direction))

    got = mfpde.hessian_product(problem, rho, direction)
    want = fourth_order(gradient)
    assert np.abs(got - want).max() <= 1e-7 * np.abs(want).max()


@pytest.mark.parametrize("method", METHODS)
def test_weights_move_the_gradient_as_differences_say(method):
    block = mfpde.SHL(2, "gelu")
    problem, rho, direction, rng = case(block, method)
    mass = rng.standard_normal(rho.weights.shape)
    base = operator_of(problem, rho).layers(rho.theta)

    def gradient(e):
        moved = base._replace(theta=base.theta + e * direction, weights=base.weights + e * mass)
        return Linearised(problem, moved, problem.start(), problem.penalty).gradient

    got = mfpde.hessian_product(problem, rho, direction, weights=mass)
    want = fourth_order(gradient, 1e-3)
    assert np.abs(got - want).max() <= 1e-7 * np.abs(want).max()


@pytest.mark.parametrize("name", ["tanh", "linear", "cubic"])
def test_potential_start_and_outputs_move_as_differences_say(name):
    problem, rho, direction, _ = case(BLOCKS[name], "heun")
    points = rho.theta.copy()

    def first_variation(e):
        moved = rho.with_state(rho.theta + e * direction)
        return mfpde.first_variation(problem, moved, points)

    def start(e):
        moved = (
            operator_of(problem, rho).layers(rho.theta)._replace(theta=rho.theta + e * direction)
        )
        return Linearised(problem, moved, problem.start(), problem.penalty).start

    def outputs(e):
        return mfpde.predict(problem, rho.with_state(rho.theta + e * direction))

    here = Linearised(
        problem, operator_of(problem, rho).layers(rho.theta), problem.start(), problem.penalty
    )
    found = here.along(Directions(direction[None]))
    pairs = (
        (found.potential[0], first_variation),
        (found.start[0], start),
        (found.outputs[0], outputs),
    )
    for got, function in pairs:
        want = fourth_order(function)
        assert np.abs(got - want).max() <= 1e-7 * np.abs(want).max()


@pytest.mark.parametrize("name", ["tanh", "silu", "linear", "cubic"])
def test_the_hessian_is_symmetric_in_the_metric(name):
    problem, rho, one, rng = case(BLOCKS[name])
    both = np.stack([one, rng.standard_normal(one.shape)])
    first, second = mfpde.hessian_product(problem, rho, both)
    mass = rho.depth.weights[:, None, None] * rho.weights[:, :, None]
    left, right = (mass * first * both[1]).sum(), (mass * second * both[0]).sum()
    assert left == pytest.approx(right, rel=1e-9 if name == "cubic" else 1e-12)


@pytest.mark.parametrize("activation", ["tanh", "gelu", "softplus", "relu"])
def test_products_are_torch_double_backward(activation):
    torch = pytest.importorskip("torch")
    sigma = {
        "tanh": torch.tanh,
        "gelu": torch.nn.functional.gelu,
        "softplus": torch.nn.functional.softplus,
        "relu": torch.relu,
    }[activation]
    problem, rho, direction, _ = case(mfpde.SHL(2, activation), "euler")
    d, a = 2, torch.tensor(rho.weights)

    def energy(theta):
        x = torch.tensor(problem.start())
        for k in range(rho.levels):
            u, w, b = theta[k, :, :d], theta[k, :, d : 2 * d], theta[k, :, 2 * d]
            x = x + (sigma(x @ w.T + b) @ (a[k][:, None] * u)) / rho.levels
        z = x @ torch.tensor(problem.readout).T
        fit = 0.5 * ((z - torch.tensor(problem.y)) ** 2).sum(1).mean()
        penalty = problem.penalty.value(theta)
        return fit + (a * penalty).sum() / rho.levels

    theta = torch.tensor(rho.theta)
    want = torch.autograd.functional.hvp(energy, theta, torch.tensor(direction))[1].numpy()
    want = want * rho.levels / rho.weights[:, :, None]
    got = mfpde.hessian_product(problem, rho, direction)
    np.testing.assert_allclose(got, want, atol=1e-10 * np.abs(want).max(), rtol=1e-10)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_second_derivatives_of_activations(name, dtype):
    """Complex steps would need complex kernels: central differences of σ′ in float64."""
    sigma = ACTIVATIONS[name]
    z = np.concatenate([np.linspace(-12, 12, 4001), [-300.0, -45.0, 45.0, 300.0]])
    h = 2.0**-10  # z ± h is then exact where z is large
    slopes = [sigma.derivative(z + e * h) for e in (1, -1, 2, -2)]
    want = (8 * (slopes[0] - slopes[1]) - (slopes[2] - slopes[3])) / (12 * h)
    got = sigma.second_derivative(z.astype(dtype))
    assert got.dtype == dtype
    limit = 2e-12 if dtype == np.float64 else 2e-5  # sin: rounding of the argument itself
    assert np.abs(got - want).max() <= limit
    assert np.abs(want).max() <= sigma.curvature * (1 + 1e-6)


def test_bad_directions_are_named():
    problem, rho, direction, _ = case(mfpde.SHL(2))
    with pytest.raises(ValueError, match="direction must have shape"):
        mfpde.hessian_product(problem, rho, direction[:, :2])
    with pytest.raises(ValueError, match="weights must have shape"):
        mfpde.hessian_product(problem, rho, direction, weights=rho.weights[:, :2])
    with pytest.raises(TypeError, match="must be a ParticleMeasure"):
        mfpde.hessian_product(problem, "rho", direction)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_data_in_blocks_give_the_same(loss):
    """``memory`` for a datum or two at a time: every product is that of all data at once."""
    problem, rho, _, rng = case(mfpde.SHL(3), "heun", loss)
    moves = rng.standard_normal((2, *rho.theta.shape))
    start = rng.standard_normal((2, *problem.start().shape))
    layers = operator_of(problem, rho).layers(rho.theta)
    each = (HELD + 2) * bytes_per_datum(layers, 3)
    tight, found = copy(problem), []
    tight.memory = 4.0 * each
    directions = Directions(moves, rng.standard_normal((2, *rho.weights.shape)), start)
    v, x = rng.standard_normal((2, *problem.y.shape)), rng.standard_normal((5, 3))
    w = rng.standard_normal((2, 5, problem.outputs))
    for one in (problem, tight):
        point = Linearised(one, layers, one.start(), one.penalty)
        found.append(
            [
                point.outputs, point.gradient, point.start, point.push(directions),
                *point.along(directions), *point.pull(v), *point.pull(w, x),
                mfpde.hessian_product(one, rho, moves),
            ]
        )  # fmt: skip
    assert point._length(2) == 2
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)
    tight.memory = 1.9 * each
    with pytest.raises(ValueError, match=rf"memory: the states of one datum .* take {2 * each} b"):
        mfpde.hessian_product(tight, rho, moves)


def test_a_response_stays_within_its_memory():
    rng = np.random.default_rng(0)
    rho = mfpde.ParticleMeasure(rng.standard_normal((12, 4, 8)), mfpde.Depth(12, "euler"))
    x = rng.standard_normal((4_000, 4))
    peaks, memory = [], 3e6
    for bound in (None, memory):
        problem = mfpde.Problem(x, x[:, :1], block=mfpde.SHL(4, bias=False), memory=bound)
        mfpde.hessian_product(problem, rho, rho.theta)
        lending._waiting.clear()
        tracemalloc.start()
        mfpde.hessian_product(problem, rho, rho.theta)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 4_000 * 25 * 2 * 4 * 8
    assert peaks[1] < memory + 8 * x.nbytes


@pytest.mark.parametrize(("dim", "name"), [(1, "tanh"), (6, "silu"), (20, "sigmoid")])
def test_fused_tangents_are_those_of_single_evaluations(dim, name, monkeypatch):
    """More directions and data than one sweep takes, narrow and wide, with and without a bias."""
    rng = np.random.default_rng(dim)
    block, depth = mfpde.SHL(dim, name, bias=dim != 6), mfpde.Depth(2, "heun")
    x, y = rng.standard_normal((2, 270, dim))
    problem = mfpde.Problem(x, y, block=block)
    rho = mfpde.ParticleMeasure(rng.standard_normal((3, 11, block.size)), depth)
    layers = operator_of(problem, rho).layers(rho.theta)
    directions = Directions(*(rng.standard_normal((9, *s)) for s in ((3, 11, block.size), (3, 11))))

    def found():
        point = Linearised(problem, layers, problem.start(), problem.penalty)
        return [*point.along(directions), point.push(directions)]

    fused = found()
    for one in ("forward_tangents_pass", "adjoint_tangents_pass"):
        monkeypatch.setattr(mfpde.SHL, one, getattr(mfpde.Block, one))
    for got, want in zip(fused, found(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12 * np.abs(want).max())
