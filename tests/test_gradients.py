"""The discrete gradient is exact: central differences, autograd, and its many identities."""

import numpy as np
import pytest
from problems import Cubic, random_case

import mfpde
from mfpde.passes import carry

BLOCKS = [
    *(mfpde.SHL(3, name) for name in ("tanh", "sigmoid", "softplus", "gelu", "silu", "sin")),
    mfpde.SHL(2, "tanh", bias=False),
    mfpde.Linear(3),
    Cubic(),
]
METHODS = ["euler", "heun", "rk4", "midpoint"]
LOSSES = ["squared", "cross_entropy"]


@pytest.mark.parametrize("block", BLOCKS, ids=repr)
def test_check_block_accepts_every_block(block):
    assert mfpde.check_block(block) < 1e-8


def test_check_block_finds_a_wrong_derivative():
    class Wrong(Cubic):
        def pull_state(self, x, theta, q):
            return 1.01 * super().pull_state(x, theta, q)

    with pytest.raises(ValueError, match=r"block\.pull_state disagrees with central differences"):
        mfpde.check_block(Wrong())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block", BLOCKS, ids=repr)
def test_gradient_against_central_differences(block, method, loss):
    problem, rho = random_case(block, method, loss)
    direction = np.random.default_rng(1).standard_normal(rho.theta.shape)

    def energy(h):
        return mfpde.loss(problem, rho.with_state(rho.theta + h * direction))

    h = 1e-4
    # Fourth-order central difference along a random direction.
    numeric = (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h)
    mass = (rho.depth.weights[:, None] * rho.weights)[:, :, None]
    exact = float((mass * mfpde.gradient(problem, rho) * direction).sum())
    assert abs(numeric - exact) <= 1e-7 * max(1.0, abs(exact))


@pytest.mark.parametrize("method", METHODS)
def test_gradient_is_the_slope_of_the_first_variation(method):
    problem, rho = random_case(mfpde.SHL(3), method, "squared")
    gradient, h = mfpde.gradient(problem, rho), 1e-5
    for c in range(rho.dim):
        shift = h * np.eye(rho.dim)[c]
        up = mfpde.first_variation(problem, rho, rho.theta + shift)
        down = mfpde.first_variation(problem, rho, rho.theta - shift)
        np.testing.assert_allclose((up - down) / (2 * h), gradient[:, :, c], atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_first_variation_is_the_derivative_in_mass(method):
    """E_h((1−ε)ρ + εν) has the slope ∫∫ V d(ν − ρ) at ε = 0."""
    problem, rho = random_case(mfpde.SHL(3), method, "squared")
    other = np.random.default_rng(2).standard_normal((rho.levels, 3, rho.dim))
    theta, h = np.concatenate([rho.theta, other], axis=1), 1e-6

    def energy(eps):
        new = np.full((rho.levels, 3), eps / 3)
        weights = np.concatenate([(1 - eps) * rho.weights, new], axis=1)
        return mfpde.loss(problem, mfpde.ParticleMeasure(theta, rho.depth, weights))

    own = mfpde.first_variation(problem, rho, rho.theta)
    change = mfpde.first_variation(problem, rho, other).mean(axis=1) - (rho.weights * own).sum(1)
    one_sided = (4 * energy(h) - energy(2 * h) - 3 * energy(0.0)) / (2 * h)
    assert abs(one_sided - rho.depth.weights @ change) < 1e-7


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "block", [*(b for b in BLOCKS if not isinstance(b, Cubic)), mfpde.SHL(3, "relu")], ids=repr
)
def test_loss_and_gradient_against_autograd(block, loss):
    torch = pytest.importorskip("torch")
    from mfpde.resnet.engines.autograd import Autograd

    problem, rho = random_case(block, "euler", loss)
    equal = mfpde.ParticleMeasure(rho.theta, rho.depth)
    plain = mfpde.Problem(
        problem.x, problem.y, block=block, embed=problem.embed, readout=problem.readout, loss=loss
    )
    value, _, slope = Autograd(plain, "float64", "cpu").gradient(torch.tensor(equal.theta[None]))
    assert abs(mfpde.loss(plain, equal) / value.item() - 1) < 1e-12
    gradient = mfpde.gradient(plain, equal)
    assert np.abs(gradient - slope[0].numpy()).max() < 1e-12 * np.abs(gradient).max()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block", [mfpde.SHL(3), mfpde.Linear(2), Cubic()], ids=repr)
def test_kernel_is_the_product_of_pull_and_push(block, method):
    """K e_r = push(pull(e_r)) column by column: three unrelated passes agree."""
    problem, rho = random_case(block, method, "squared")
    carried = carry(problem, rho)
    kernel = carried.kernel
    assert np.linalg.eigvalsh(kernel)[0] > -1e-12
    for r, column in enumerate(kernel.T):
        v = np.eye(len(kernel))[r].reshape(problem.y.shape)
        pushed = carried.push(carried.pull(v))
        np.testing.assert_allclose(pushed.ravel(), column, rtol=1e-11, atol=1e-12)


def test_float32_follows_float64():
    problem, rho = random_case(mfpde.SHL(3), "rk4", "squared")
    single = mfpde.ParticleMeasure(rho.theta, rho.depth, rho.weights, dtype=np.float32)
    gradient = mfpde.gradient(problem, single)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, mfpde.gradient(problem, rho), rtol=2e-4, atol=2e-5)
