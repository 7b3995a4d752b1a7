"""Particle–mesh sums: an exact block of its own, of fourth order beside the block it stands for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfpde
from mfpde import laws
from mfpde.blocks.base import Block
from mfpde.flows.particle_flow import ParticleFlow

SHAPES = ((1, True), (1, False), (2, True), (2, False), (3, False))


def setting(dim, bias, seed=0, activation="tanh"):
    """A block, states, cotangents, particles and weights."""
    rng = np.random.default_rng(seed)
    block = mfpde.SHL(dim, activation, bias=bias)
    x, q = rng.standard_normal((2, 5, dim))
    return block, x, q, rng.standard_normal((20, block.size)), rng.dirichlet(np.ones(20))


def task(spacing=None, data=8, method="rk4", dim=1):
    """sin(2x) on [−1, 1] (or its lift), and 27 particles; direct sums where spacing is None."""
    x = np.linspace(-1, 1, data)[:, None]
    block = mfpde.SHL(dim)
    law = laws.Gaussian(1.0, dim=block.size)
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(2, method), count=27)
    return mfpde.Problem(
        x, np.sin(2 * x), block=mfpde.Meshed(block, spacing) if spacing else block
    ), rho


@pytest.mark.parametrize(("dim", "bias"), SHAPES)
def test_is_a_block_whose_derivatives_are_its_own(dim, bias):
    block, x, q, theta, a = setting(dim, bias)
    meshed = mfpde.Meshed(block, 0.4)
    assert mfpde.check_block(meshed) < 1e-9
    change = theta[::-1].copy()
    for name, given_ in (
        ("field", (x, theta, a)),
        ("backward", (x, theta, a, q)),
        ("potential", (x, theta, q)),
        ("gradient", (x, theta, q)),
        ("tangent", (x, theta, a, q, change)),
        ("sensitivity", (x, theta, a, np.stack([q, 2 * q[::-1]], axis=1))),
    ):
        fast, plain = getattr(meshed, name)(*given_), getattr(Block, name)(meshed, *given_)
        pairs = zip(fast, plain, strict=True) if isinstance(fast, tuple) else [(fast, plain)]
        for found, expected in pairs:
            np.testing.assert_allclose(found, expected, atol=1e-12 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize(("dim", "bias"), SHAPES)
def test_order_four_in_the_spacing(dim, bias):
    block, x, q, theta, a = setting(dim, bias)
    spacings = (0.2, 0.1, 0.05) if dim + bias < 3 else (0.2, 0.14, 0.1)
    errors = []
    for spacing in spacings:
        meshed = mfpde.Meshed(block, spacing)
        value = np.abs(meshed.value(x, theta) - block.value(x, theta))
        slope = np.abs(meshed.gradient(x, theta, q) - block.gradient(x, theta, q))
        field = np.abs(meshed.field(x, theta, a) - block.field(x, theta, a))
        errors.append([np.sqrt(np.mean(e**2)) for e in (value, slope, field)])
    ratio = np.log(spacings[0] / spacings[-1])
    orders = np.log(np.array(errors[0]) / errors[-1]) / ratio
    assert np.all(orders > [3.7, 2.7, 3.7]), orders
    assert np.all(np.array(errors[-1]) < [5e-5, 1e-3, 1e-5]), errors[-1]


@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "sin"])
def test_other_activations(activation):
    block, x, _, theta, _ = setting(2, True, activation=activation)
    gap = np.abs(mfpde.Meshed(block, 0.2).value(x, theta) - block.value(x, theta))
    assert gap.max() < 5e-3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), far=st.floats(-40, 40))
def test_neither_the_window_nor_other_particles_matter(seed, far):
    block, x, _, theta, a = setting(1, True, seed)
    meshed = mfpde.Meshed(block, 0.25)
    stranger = np.array([[1.0, far, -far]])
    alone = meshed.field(x, theta, a)
    joined = meshed.field(x, np.concatenate([theta, stranger]), np.append(a, 0.0))
    np.testing.assert_allclose(joined, alone, atol=1e-13)


@pytest.mark.parametrize("method", ["euler", "rk4"])
@pytest.mark.parametrize("dim", [1, 2])
def test_the_gradient_is_that_of_the_discrete_energy(method, dim):
    problem, rho = task(0.4, method=method, dim=dim)
    change = np.random.default_rng(0).standard_normal(rho.theta.shape)
    slope = mfpde.gradient(problem, rho)
    scale = (rho.depth.weights[:, None] * rho.weights)[:, :, None]
    h = 1e-5
    ends = [mfpde.loss(problem, rho.with_state(rho.theta + s * h * change)) for s in (1, -1)]
    exact = (ends[0] - ends[1]) / (2 * h)
    assert abs((scale * slope * change).sum() - exact) < 1e-8 * np.abs(scale * slope).sum()


def test_tangent_and_kernel_belong_to_the_gradient():
    problem, rho = task(0.4)
    flow = ParticleFlow(problem, rho)
    point = flow.at(rho.theta)
    rng = np.random.default_rng(1)
    change, v = rng.standard_normal(rho.theta.shape), rng.standard_normal((8, 1))
    left = float((flow.push(point, change) * v).sum())
    assert abs(left - flow.inner(change, flow.pull_outputs(point, v))) < 1e-12 * abs(left)
    image = flow.push(point, flow.pull_outputs(point, v)).ravel()
    np.testing.assert_allclose(point.kernel @ v.ravel(), image, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["rk45", "implicit"])
def test_runs_descend_and_converge_to_the_direct_ones(method):
    direct, rho = task()
    keys = {"s_end": 2.0, "method": method, "rtol": 1e-6, "progress": False}
    exact = mfpde.solve(direct, rho, **keys).loss[-1]
    errors = []
    for spacing in (0.4, 0.2, 0.1):
        run = mfpde.solve(task(spacing)[0], rho, **keys)
        assert np.all(np.diff(run.energy) <= 0)
        errors.append(abs(run.loss[-1] / exact - 1.0))
    assert errors[0] < 1e-3
    assert errors[-1] < 1e-5
    assert errors[-1] < errors[0] / 30


def test_survives_a_file_and_goes_on_bit_for_bit(tmp_path):
    problem, rho = task(0.3)
    path, keys = (
        tmp_path / "run.h5",
        {"s_end": 2.0, "method": "rk45", "rtol": 1e-7, "progress": False},
    )
    whole = mfpde.solve(problem, rho, **keys)
    mfpde.solve(problem, rho, **keys, callback=lambda sol: sol.control.steps == 2, checkpoint=path)
    assert repr(mfpde.Solution.load(path).problem.block) == repr(problem.block)
    resumed = mfpde.resume(path, progress=False)
    assert resumed.control.steps > 2
    assert np.array_equal(resumed.final.theta, whole.final.theta)


def test_single_precision_particles():
    problem, rho = task(0.3)
    single = mfpde.ParticleMeasure(rho.theta, rho.depth, dtype=np.float32)
    run = mfpde.solve(problem, single, s_end=0.5, rtol=1e-3, method="rk45", progress=False)
    assert run.final.dtype == np.float32
    assert abs(mfpde.loss(problem, single) / mfpde.loss(problem, rho) - 1) < 1e-5


def test_bad_input_and_particles_too_far_apart():
    with pytest.raises(TypeError, match="block must be an SHL"):
        mfpde.Meshed(mfpde.Linear(2), 0.1)
    with pytest.raises(ValueError, match="at most 3 coordinates"):
        mfpde.Meshed(mfpde.SHL(3), 0.1)
    with pytest.raises(ValueError, match="spacing"):
        mfpde.Meshed(mfpde.SHL(1), 0.0)
    block, x, q, theta, a = setting(1, True)
    meshed = mfpde.Meshed(block, 0.1)
    theta[0, 1:] = 1e4
    with pytest.warns(UserWarning, match="use a larger spacing"):
        assert np.isnan(meshed.field(x, theta, a)).all()
    theta[0, 1] = np.nan
    for found in (meshed.potential(x, theta, q), meshed.gradient(x, theta, q)):
        assert np.isnan(found).all()
