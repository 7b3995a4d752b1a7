"""Optimisers against steps computed by hand, against torch's own, and against exact laws."""

import numpy as np
import pytest

import mfpde
from mfpde import laws
from mfpde.resnet import SGD, Adam, GradientDescent, Langevin, Momentum
from mfpde.resnet.optimizers import OPTIMIZERS, get_optimizer

THETA, RATES = np.array([1.0, -2.0]), np.array([1.0, 0.5])
FIRST, SECOND = np.array([4.0, 8.0]), np.array([-2.0, 4.0])


def two_steps(optimizer, h=0.1, noise=None, theta=THETA, gradients=(FIRST, SECOND), rates=RATES):
    slots = tuple(0.0 * theta for _ in range(optimizer.slots))
    for n, g in enumerate(gradients, start=1):
        theta, slots = optimizer.step(theta, g, slots, noise, n, h, rates)
    return theta


@pytest.mark.parametrize("optimizer", [GradientDescent(), SGD(batch=2)])
def test_gradient_descent_by_hand(optimizer):
    # 1 − .1·4 − .1·(−2), −2 − .1·.5·8 − .1·.5·4
    np.testing.assert_allclose(two_steps(optimizer), [0.8, -2.6], rtol=1e-15)


def test_momentum_by_hand():
    # v = (2, 4), then (0, 4): 1 − .1·2 − 0, −2 − .05·4 − .05·4
    np.testing.assert_allclose(two_steps(Momentum(beta=0.5)), [0.8, -2.4], rtol=1e-15)


def test_adam_by_hand():
    # First step: ± h R. Second: m̂ = ((.5·2 − 1)/.75, (.5·4 + 2)/.75), v̂ = ((.75·4 + 1)/.4375, …)
    found = two_steps(Adam(beta1=0.5, beta2=0.75, epsilon=1e-300))
    m, v = np.array([0.0, 4.0]) / 0.75, np.array([4.0, 16.0]) / 0.4375
    np.testing.assert_allclose(found, THETA - 0.1 * RATES * (1 + m / np.sqrt(v)), rtol=1e-14)


def test_langevin_by_hand():
    # √(2·.2·.1) = .2, and √.5 in the slower coordinate.
    found = two_steps(Langevin(temperature=0.2), noise=np.array([1.0, -1.0]))
    np.testing.assert_allclose(found, [0.8 + 0.4, -2.6 - 0.4 * np.sqrt(0.5)], rtol=1e-15)


@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_torch_takes_the_same_steps(kind):
    torch = pytest.importorskip("torch")
    gradients = np.random.default_rng(0).standard_normal((6, 2))
    leaf = torch.tensor(THETA, requires_grad=True)
    if kind == "Adam":
        theirs, mine, h = torch.optim.Adam([leaf], lr=0.1), Adam(), 0.1
    else:  # the heavy ball: rate h (1 − β)
        theirs, mine, h = torch.optim.SGD([leaf], lr=0.01, momentum=0.9), Momentum(0.9), 0.1
    for g in gradients:
        leaf.grad = torch.tensor(g)
        theirs.step()
    found = two_steps(mine, h=h, gradients=gradients, rates=np.ones(2))
    np.testing.assert_allclose(found, leaf.detach().numpy(), rtol=1e-13)


@pytest.mark.parametrize(
    "optimizer", [GradientDescent(), Momentum(), Adam(), Langevin(0.3)], ids=lambda o: o.name
)
def test_steps_are_pure_and_the_same_on_tensors(optimizer):
    torch = pytest.importorskip("torch")
    before = THETA.copy()
    plain = two_steps(optimizer, noise=FIRST)
    tensors = [torch.tensor(v) for v in (THETA, FIRST, SECOND, RATES, FIRST)]
    found = two_steps(
        optimizer, theta=tensors[0], gradients=tensors[1:3], rates=tensors[3], noise=tensors[4]
    )
    np.testing.assert_allclose(found.numpy(), plain, rtol=1e-15)
    np.testing.assert_array_equal(THETA, before)
    np.testing.assert_array_equal(tensors[0].numpy(), before)


def test_langevin_has_the_variance_of_its_chain():
    """x = 0 under linear blocks leaves an Ornstein–Uhlenbeck process, known step by step."""
    problem = mfpde.Problem(
        np.zeros((2, 2)), np.zeros((2, 1)), block=mfpde.Linear(2), weight_decay=2.0
    )
    run = mfpde.resnet.train(
        problem, laws.Dirac(0.0, dim=4), layers=3, width=800, seeds=2, s_end=2.0, step=0.1,
        optimizer=Langevin(temperature=0.5), rates=[1.0, 1.0, 2.0, 2.0],
    )  # fmt: skip
    for rate, part in ((1.0, run.theta[..., :2]), (2.0, run.theta[..., 2:])):
        shrink = (1 - 0.2 * rate) ** 2
        expected = 0.1 * rate * (1 - shrink**20) / (1 - shrink)
        assert abs(part.var() / expected - 1) < 4 * np.sqrt(2 / part.size)
    assert abs(np.corrcoef(run.theta[0].ravel(), run.theta[1].ravel())[0, 1]) < 0.05


def test_names_and_options_are_checked():
    assert get_optimizer("adam", 10, 0.0) == Adam()
    assert get_optimizer("langevin", 10, 0.4) == Langevin(0.4)
    assert set(OPTIMIZERS) == {"gd", "sgd", "momentum", "adam", "langevin"}
    for given, message in (
        ("sgd", "needs a batch"),
        ("langevin", "needs a temperature"),
        ("adamm", "did you mean 'adam'"),
        (SGD(batch=11), "batch must be <= 10"),
    ):
        with pytest.raises(ValueError, match=message):
            get_optimizer(given, 10, 0.0)
    with pytest.raises(ValueError, match="needs noise: optimizer='langevin'"):
        get_optimizer("gd", 10, 0.4)
    with pytest.raises(ValueError, match=r"must be the problem's, 0\.4"):
        get_optimizer(Langevin(0.3), 10, 0.4)
    with pytest.raises(TypeError, match="a name or an optimiser"):
        get_optimizer(GradientDescent, 10, 0.0)
    for make in (
        lambda: SGD(batch=0),
        lambda: Momentum(beta=1.0),
        lambda: Adam(beta2=-0.1),
        lambda: Adam(epsilon=0.0),
        lambda: Langevin(temperature=-1.0),
        lambda: Adam(batch=0),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()
