"""Finite-width networks: autograd and the particle path are one algorithm in two codes."""

import numpy as np
import pytest
from problems import Cubic, sine

import mfpde
from mfpde import laws

SHAPE = {"layers": 5, "width": 7, "s_end": 2.0, "step": 0.1}


@pytest.mark.parametrize(
    ("block", "loss"),
    [(mfpde.SHL(4, "gelu"), "squared"), (mfpde.Linear(4), "cross_entropy")],
    ids=repr,
)
def test_torch_and_particles_agree_to_round_off(block, loss):
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    y = np.arange(20) % 3 if loss == "cross_entropy" else rng.standard_normal((20, 3))
    x = rng.standard_normal((20, 4))
    problem = mfpde.Problem(x, y, block=block, loss=loss, weight_decay=0.1)
    law = laws.Gaussian(1.0, dim=block.size)
    torch, particles = (
        mfpde.resnet.train(problem, law, seeds=3, backend=backend, **SHAPE)
        for backend in ("torch", "particles")
    )
    for name in ("loss", "outputs", "theta"):
        np.testing.assert_allclose(
            getattr(torch, name), getattr(particles, name), rtol=1e-11, atol=1e-12
        )
    assert np.all(np.diff(torch.loss, axis=1) < 0)


def test_a_network_is_the_euler_flow_of_gradient_descent():
    problem, law = sine(8), laws.Gaussian(1.0, dim=5)
    run = mfpde.resnet.train(problem, law, seeds=[3], backend="particles", **SHAPE)
    rho0 = mfpde.ParticleMeasure.from_law(
        law, mfpde.Depth(5, "euler"), count=7, rule="iid", coupling="independent", seed=3
    )
    solved = mfpde.solve(problem, rho0, s_end=2.0, method="gd", step=0.1)
    np.testing.assert_allclose(run.loss[0], solved.loss, rtol=1e-13)
    np.testing.assert_allclose(run.measure().theta, solved.final.theta, atol=1e-13)
    np.testing.assert_allclose(run.outputs[0], mfpde.predict(problem, run.measure()), atol=1e-13)


def test_seeds_do_not_depend_on_their_company():
    problem, law = sine(8), laws.Gaussian(1.0, dim=5)
    together = mfpde.resnet.train(problem, law, seeds=3, **SHAPE)
    alone = mfpde.resnet.train(problem, law, seeds=[2], **SHAPE)
    np.testing.assert_allclose(alone.loss[0], together.loss[2], rtol=1e-13)


def test_user_block_takes_the_particle_path():
    x = np.linspace(-1, 1, 6)[:, None]
    problem = mfpde.Problem(x, x, block=Cubic())
    law = laws.Gaussian(0.5, dim=2)
    assert mfpde.resnet.train(problem, law, seeds=1, **SHAPE).backend == "particles"
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="use backend='particles'"):
        mfpde.resnet.train(problem, law, seeds=1, backend="torch", **SHAPE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, "layers must be a whole number >= 1"),
        ({"width": 1.5}, "width must be a whole number >= 1"),
        ({"seeds": 0}, "seeds must be a whole number >= 1"),
        ({"seeds": []}, "seeds must not be empty"),
        ({"step": 3.0}, "step must be <= s_end = 2; given 3"),
        ({"optimizer": "adamm"}, "optimizer must be one of"),
        ({"backend": "jax"}, "backend must be one of"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        mfpde.resnet.train(sine(6), laws.Gaussian(1.0, dim=5), **{**SHAPE, **change})


@pytest.mark.parametrize("backend", ["auto", "particles"])
def test_divergence_is_an_error(backend):
    base, law = sine(6), laws.Gaussian(1.0, dim=5)
    problem = mfpde.Problem(base.x, base.y, block=mfpde.SHL(2, "softplus"))
    how = {"layers": 8, "width": 8, "s_end": 1e6, "step": 1e4, "seeds": 1, "backend": backend}
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="a smaller step"):
        mfpde.resnet.train(problem, law, **how)
