"""Each loss against differences and autograd, through every method; weighted data as copies."""

import numpy as np
import pytest
from problems import gaussian_measure

import mfpde
from mfpde import losses
from mfpde.losses import LOSSES, Loss

OWN = {
    "squared": LOSSES["squared"],
    "cross_entropy": LOSSES["cross_entropy"],
    "logistic": LOSSES["logistic"],
    "huber": LOSSES["huber"],
    "huber 0.3": losses.Huber(0.3),
}
METHODS = ("gd", "heun", "rk4", "rk45", "implicit")
DEPTH = mfpde.Depth(2, "rk4")
X = np.linspace(-1.0, 1.0, 6)[:, None]


def rows(name, n=7, seed=0):
    """Outputs and targets that the loss allows, away from the kinks of Huber's derivative."""
    rng = np.random.default_rng(seed)
    k = 1 if name == "logistic" else 3
    z = 2 * rng.standard_normal((n, k))
    if name == "logistic":
        return z, np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
    if name == "cross_entropy":
        return z, rng.dirichlet(np.ones(k), n)
    return z, z + rng.choice([-1.0, 1.0], z.shape) * rng.choice([0.1, 0.2, 0.7, 2.0], z.shape)


def problem(name, **how):
    y = np.sin(3 * X)
    target = {"logistic": np.sign(y), "cross_entropy": (y[:, 0] > 0).astype(int)}.get(name, y)
    how = {"x": X, "y": target, **how}
    return mfpde.Problem(how.pop("x"), how.pop("y"), block=mfpde.SHL(2), loss=OWN[name], **how)


def slope(f, h=1e-3):
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


@pytest.mark.parametrize("name", OWN)
def test_derivatives_are_central_differences(name):
    loss, (z, y) = OWN[name], rows(name)
    hessian = loss.hessian(z, y)
    hessian = np.eye(3)[None] if hessian is None else hessian
    v = np.random.default_rng(1).standard_normal((2, *z.shape))
    for c, unit in enumerate(np.eye(z.shape[1])):
        pairs = [
            (slope(lambda h, u=unit: loss.value(z + h * u, y)), loss.gradient(z, y)[:, c]),
            (slope(lambda h, u=unit: loss.gradient(z + h * u, y)), hessian[:, :, c]),
            (slope(lambda h, u=unit: loss.value(z, y + h * u)), loss.target_gradient(z, y)[:, c]),
        ]
        mixed = slope(lambda h, u=unit: loss.gradient(z, y + h * u))
        pairs.append(((v * mixed).sum(axis=-1), loss.target_push(z, y, v)[..., c]))
        for numeric, exact in pairs:
            np.testing.assert_allclose(*np.broadcast_arrays(numeric, exact), atol=1e-9)
    for one in ("target_gradient", "target_push"):
        given = (z, y) if one == "target_gradient" else (z, y, v)
        generic, exact = getattr(Loss, one)(loss, *given), getattr(loss, one)(*given)
        np.testing.assert_allclose(generic, exact, atol=1e-9)


@pytest.mark.parametrize("name", OWN)
def test_torch_forms_are_autograds(name):
    torch = pytest.importorskip("torch")
    loss, (z, y) = OWN[name], rows(name)
    form = loss.torch_form(torch)
    leaf, there = torch.tensor(z, requires_grad=True), torch.tensor(y)
    value = form.value(leaf, there)
    np.testing.assert_allclose(value.detach().numpy(), loss.value(z, y), rtol=1e-13)
    (by_autograd,) = torch.autograd.grad(value.sum(), leaf)
    for found in (by_autograd, form.gradient(leaf.detach(), there)):
        np.testing.assert_allclose(found.numpy(), loss.gradient(z, y), rtol=1e-12, atol=1e-14)


def test_far_outputs_neither_overflow_nor_cancel():
    z, y = np.array([[800.0], [-800.0], [40.0]]), np.ones((3, 1))
    loss = OWN["logistic"]
    np.testing.assert_allclose(loss.value(z, y), [0.0, 800.0, np.exp(-40.0)], rtol=1e-12)
    np.testing.assert_allclose(loss.gradient(z, y)[:, 0], [0.0, -1.0, -np.exp(-40.0)], rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["logistic", "huber 0.3"])
def test_every_method_follows_the_same_flow(name, method):
    """E at s = 1 as by an independent loop of small rk4 steps on the verb ``gradient``."""
    task = problem(name)
    rho = gaussian_measure(task, DEPTH, count=8)
    how = {"step": 0.02} if method in ("gd", "heun", "rk4") else {"rtol": 1e-4}
    run = mfpde.solve(task, rho, s_end=1.0, method=method, **how)
    theta, h = rho.theta, 0.1

    def rate(theta):
        return -mfpde.gradient(task, rho.with_state(theta))

    for _ in range(10):
        a = rate(theta)
        b = rate(theta + h / 2 * a)
        c = rate(theta + h / 2 * b)
        theta = theta + h / 6 * (a + 2 * b + 2 * c + rate(theta + h * c))
    expected = mfpde.loss(task, rho.with_state(theta))
    assert run.loss[-1] == pytest.approx(expected, rel=2e-2 if method == "gd" else 1e-3)
    assert expected < 0.9 * run.loss[0]


# -- weights ----------------------------------------------------------------------------------

COPIES = np.array([1, 3, 2, 1, 2, 1])


def pair(name, **how):
    """A weighted problem, and the one with copies of its data."""
    one = problem(name, weights=5.0 * COPIES, **how)
    y = one.y if name != "cross_entropy" else one.y.argmax(axis=1)
    many = problem(name, x=X.repeat(COPIES, axis=0), y=y.repeat(COPIES, axis=0), **how)
    return one, many


@pytest.mark.parametrize("name", OWN)
def test_weights_are_copies_for_the_verbs(name):
    one, many = pair(name, weight_decay=0.1)
    rho = gaussian_measure(one, DEPTH)
    assert one.weights.mean() == pytest.approx(1.0, abs=1e-15)
    assert mfpde.loss(one, rho) == pytest.approx(mfpde.loss(many, rho), rel=1e-14)
    np.testing.assert_allclose(mfpde.gradient(one, rho), mfpde.gradient(many, rho), atol=1e-14)
    box = mfpde.GridMeasure.from_law(
        mfpde.laws.Gaussian(0.2, dim=5), DEPTH, cells=3, box=[[-1, 1]] * 5
    )
    v = [mfpde.first_variation(task, box) for task in (one, many)]
    np.testing.assert_allclose(*v, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["squared", "logistic"])
def test_weights_are_copies_for_every_method(name, method):
    one, many = pair(name)
    rho = gaussian_measure(one, DEPTH, count=8)
    how = {"step": 0.1} if method in ("gd", "heun", "rk4") else {}
    runs = [mfpde.solve(task, rho, s_end=1.0, method=method, **how) for task in (one, many)]
    # An adaptive step reads rounding; the step itself does not depend on the number of data.
    assert runs[0].loss[-1] == pytest.approx(runs[1].loss[-1], rel=1e-3)
    assert runs[0].loss[1] == pytest.approx(runs[1].loss[1], rel=1e-3)


def test_weights_are_copies_in_theory():
    one, many = pair("squared")
    rho = gaussian_measure(one, DEPTH)
    found = [mfpde.theory.kernel_spectrum(task, rho) for task in (one, many)]
    n = len(found[0].eigenvalues)
    np.testing.assert_allclose(found[0].eigenvalues, found[1].eigenvalues[:n], atol=1e-13)
    assert found[0].rate == pytest.approx(found[1].rate, rel=1e-10)
    with pytest.raises(ValueError, match="no weights"):
        mfpde.theory.certificate(one, rho)


@pytest.mark.parametrize("backend", ["particles", "torch"])
@pytest.mark.parametrize("name", ["squared", "logistic", "huber 0.3"])
def test_weights_are_copies_for_networks(name, backend):
    if backend == "torch":
        pytest.importorskip("torch")
    how = {"layers": 3, "width": 4, "seeds": 2, "s_end": 1.0, "step": 0.1, "device": "cpu"}
    law = mfpde.laws.Gaussian(0.7, dim=5)
    runs = [mfpde.resnet.train(task, law, backend=backend, **how) for task in pair(name)]
    np.testing.assert_allclose(runs[0].loss, runs[1].loss, rtol=1e-11)


def test_limit_of_a_weighted_robust_problem():
    one, many = pair("huber 0.3")
    law = mfpde.laws.Gaussian(0.7, dim=5)
    found = [mfpde.limit(task, law, s_end=0.5, rtol=3e-2) for task in (one, many)]
    assert found[0].loss[-1] == pytest.approx(found[1].loss[-1], rel=6e-2)


@pytest.mark.parametrize("name", OWN)
def test_run_files_keep_the_loss_and_the_weights(name, tmp_path):
    task = problem(name, weights=COPIES)
    rho = gaussian_measure(task, DEPTH, count=8)
    run = mfpde.solve(task, rho, s_end=0.2, method="rk4", step=0.05)
    run.save(tmp_path / "run.h5")
    again = mfpde.Solution.load(tmp_path / "run.h5").problem
    assert losses.spec_of(again.loss) == losses.spec_of(task.loss)
    np.testing.assert_array_equal(again.weights, task.weights)
    assert mfpde.loss(again, run.final) == run.loss[-1]


def test_a_loss_by_its_spec():
    assert losses.named({"name": "huber", "delta": 0.3}) == losses.Huber(0.3)
    with pytest.raises(ValueError, match="Huber delta must be finite and > 0"):
        losses.named({"name": "huber", "delta": -1})
    with pytest.raises(ValueError, match=r"loss 'huber': .*unexpected keyword"):
        losses.named({"name": "huber", "width": 1})
