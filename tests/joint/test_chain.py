"""Passes through single blocks: compiled against loops, gradients against differences."""

import numpy as np
import pytest
from problems import Cubic

import mfpde
from mfpde.blocks import Block
from mfpde.flows.kinds import flow_class

MEASURES = (mfpde.JointMeasure, mfpde.OrderedBlocks)


def case(block, measure, count=9, **terms):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 6, min(block.dim, 2)))
    problem = mfpde.Problem(x, y, block=block, **terms)
    return problem, measure(rng.standard_normal((count, block.size)), rng.random(count), beta=0.7)


def point(problem, rho):
    return flow_class(rho)(problem, rho).at(rho.state)


@pytest.mark.parametrize("activation", ["tanh", "softplus", "sin"])
@pytest.mark.parametrize("bias", [True, False])
def test_compiled_passes_equal_the_loops(activation, bias):
    block = mfpde.SHL(3, activation, bias=bias)
    rng = np.random.default_rng(0)
    theta, steps = rng.standard_normal((7, block.size)), rng.random(7)
    start, terminal = rng.standard_normal((2, 3, 10))
    path = block.chain_forward(theta, steps, start)
    np.testing.assert_allclose(path, Block.chain_forward(block, theta, steps, start), atol=1e-13)
    found = block.chain_adjoint(theta, steps, path, terminal)
    expected = Block.chain_adjoint(block, theta, steps, path, terminal)
    for ours, looped in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, looped, atol=1e-12)
    rows = block.chain_rows(theta, path, found[0])
    np.testing.assert_allclose(rows, Block.chain_rows(block, theta, path, found[0]), atol=1e-13)
    np.testing.assert_allclose(rows.sum(axis=2), found[1], atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("block", [mfpde.SHL(3), mfpde.Linear(2), Cubic()], ids=repr)
def test_gradients_are_exact_within_an_order(block, measure):
    """θ of both models and t of the published algorithm against central differences."""
    problem, rho = case(block, measure, weight_decay=0.1, quartic_decay=0.02)
    flow = flow_class(rho)(problem, rho)
    found = flow.at(rho.state).gradient
    h, numeric = 1e-6, np.zeros_like(found)
    for entry in np.ndindex(found.shape):
        up, down = rho.state, rho.state
        up[entry] += h
        down[entry] -= h
        numeric[entry] = (flow.at(up).loss - flow.at(down).loss) / (2 * h)
    numeric *= rho.count * flow.operator.mobility
    np.testing.assert_allclose(found[:, :-1], numeric[:, :-1], atol=1e-6)
    if measure is mfpde.OrderedBlocks:
        np.testing.assert_allclose(found[:, -1], numeric[:, -1], atol=1e-6)
    else:
        assert np.all(numeric[:, -1] == 0.0)  # E depends on the order only


@pytest.mark.parametrize("measure", MEASURES)
def test_gradients_against_autograd(measure):
    torch = pytest.importorskip("torch")
    problem, rho = case(mfpde.SHL(3), measure)
    order, _, _, _ = rho.ordered()
    theta, t = (torch.tensor(part, requires_grad=True) for part in (rho.theta, rho.t))
    x, before = torch.tensor(problem.start()), torch.zeros((), dtype=torch.float64)
    for j in order.tolist():
        step = 1.0 / rho.count if measure is mfpde.JointMeasure else t[j] - before
        x = x + step * theta[j, :3] * torch.tanh(x @ theta[j, 3:6] + theta[j, 6])[:, None]
        before = t[j]
    residual = x @ torch.tensor(problem.readout).T - torch.tensor(problem.y)
    (0.5 * (residual**2).sum(dim=1).mean()).backward()
    found = mfpde.gradient(problem, rho)
    np.testing.assert_allclose(found[:, :-1], rho.count * theta.grad.numpy(), atol=1e-12)
    if measure is mfpde.OrderedBlocks:
        expected = rho.count * t.grad.numpy() / rho.beta**2
        np.testing.assert_allclose(found[:, -1], expected, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_jacobian_pulls_pushes_and_makes_the_kernel(measure, loss):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((6, 2))
    y = rng.standard_normal((6, 2)) if loss == "squared" else np.arange(6) % 2
    problem = mfpde.Problem(x, y, block=mfpde.SHL(3), loss=loss, readout="last")
    rho = measure(rng.standard_normal((9, 7)), rng.random(9), beta=0.7)
    flow = flow_class(rho)(problem, rho)
    at = flow.at(rho.state)
    pulled = flow.pull_outputs(at, at.slope / problem.size)
    np.testing.assert_allclose(pulled, at.gradient, atol=1e-12)
    change, v = rng.standard_normal(rho.state.shape), rng.standard_normal(at.slope.shape)
    left = float((flow.push(at, change) * v).sum())
    assert left == pytest.approx(flow.inner(change, flow.pull_outputs(at, v)), rel=1e-11)
    image = flow.push(at, flow.pull_outputs(at, v))
    np.testing.assert_allclose((at.kernel @ v.ravel()).reshape(v.shape), image, atol=1e-11)


def test_verbs_agree_with_particles():
    problem, rho = case(mfpde.SHL(3), mfpde.JointMeasure, count=24, weight_decay=0.2)
    layers = rho.to_particles()
    new = np.random.default_rng(3).standard_normal((4, 2))
    for x in (None, new):
        ours, theirs = mfpde.predict(problem, rho, x), mfpde.predict(problem, layers, x)
        np.testing.assert_allclose(ours, theirs, atol=1e-13)
    assert mfpde.loss(problem, rho) == pytest.approx(mfpde.loss(problem, layers), rel=1e-13)
    order = rho.ordered().order
    np.testing.assert_allclose(
        mfpde.gradient(problem, rho)[order, :-1], mfpde.gradient(problem, layers)[:, 0], atol=1e-12
    )
