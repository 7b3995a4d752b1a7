"""Momentum and Adam as flows: the plain ODE by SciPy, torch's optimisers, orders, energies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import mfpde
from mfpde.optimizers import AdamFlow, HeavyBall

X = np.linspace(-1.0, 1.0, 7)[:, None]
Y = np.sin(3.0 * X)
ETA = np.array([1.0, 0.5, 2.0, 1.5, 0.7])
DECAY = 0.05
L, M = 3, 5
FLOWS = {"heavy ball": HeavyBall(0.8), "adam": AdamFlow(0.3, 1.1, epsilon=1e-2)}


def problem(**terms):
    return mfpde.Problem(X, Y, block=mfpde.SHL(2), readout="last", **terms)


def particles(layers=L, width=M, seed=0):
    theta = np.random.default_rng(seed).standard_normal((layers, width, 5))
    return mfpde.ParticleMeasure(theta, mfpde.Depth(layers, "euler"))


def loss_and_slope(theta, decay=0.0):
    """E of the network and L·M·∂E/∂θ, in NumPy."""
    states, kept = [np.pad(X, ((0, 0), (0, 1)))], []
    for layer in theta:
        u, w, b = layer[:, :2], layer[:, 2:4], layer[:, 4]
        s = np.tanh(states[-1] @ w.T + b)
        kept.append((u, w, s))
        states.append(states[-1] + s @ u / theta[0, :, 0].size / len(theta))
    r = states[-1][:, 1:] - Y
    p = np.pad(r, ((0, 0), (1, 0))) / len(X)
    out = np.empty_like(theta)
    for k in reversed(range(len(theta))):
        u, w, s = kept[k]
        t = (p @ u.T) * (1 - s**2)
        out[k] = np.column_stack([s.T @ p, t.T @ states[k], t.sum(axis=0)])
        p = p + t @ w / theta[0, :, 0].size / len(theta)
    loss = 0.5 * np.mean(r**2) + 0.5 * decay * np.mean((theta**2).sum(axis=2))
    return loss, out + decay * theta


def plain(flow, eta, decay):
    """The right-hand side in NumPy, averages without a start at s = 0 as the docs state them."""

    def rate(s, state):
        theta, *averages = state.reshape(-1, L, M, 5)
        g = loss_and_slope(theta, decay)[1]
        if isinstance(flow, HeavyBall):
            (m,) = averages
            return np.stack([-eta * m, (g - m) / flow.memory]).ravel()
        m, v = averages
        hats = g, g**2
        if s > 0.0:
            hats = (
                m / (1 - np.exp(-s / flow.memory)),
                np.maximum(v / (1 - np.exp(-s / flow.memory_of_squares)), 0.0),
            )
        speed = hats[0] / (np.sqrt(hats[1]) + flow.epsilon)
        moved = -eta * speed, (g - m) / flow.memory, (g**2 - v) / flow.memory_of_squares
        return np.stack(moved).ravel()

    return rate


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("rated", [False, True])
def test_the_flow_is_the_plain_ode(flow, rated):
    eta = ETA if rated else np.ones(5)
    task = problem(rates=eta, weight_decay=DECAY)
    start = particles()
    first = np.concatenate([start.theta[None], np.zeros((flow.slots, L, M, 5))])
    found = solve_ivp(
        plain(flow, eta, DECAY), (0.0, 2.0), first.ravel(), "DOP853", rtol=1e-10, atol=1e-12
    )
    exact = found.y[:, -1].reshape(-1, L, M, 5)
    run = mfpde.solve(task, start, s_end=2.0, optimizer=flow, rtol=1e-8, save="steps")
    assert run.success
    np.testing.assert_allclose(run.final.theta, exact[0], atol=2e-5)
    np.testing.assert_allclose(run.states[-1], exact, atol=2e-5)
    errors = []
    for rtol in (1e-3, 1e-6):
        loose = mfpde.solve(task, start, s_end=2.0, optimizer=flow, rtol=rtol)
        errors.append(np.abs(loose.final.theta - exact[0]).max())
    assert errors[0] < 2e-2
    assert errors[1] < errors[0] / 5


@pytest.mark.parametrize(("method", "order"), [("gd", 1), ("heun", 2), ("rk4", 4)])
def test_orders_of_fixed_steps(method, order):
    task, start, flow = problem(), particles(), FLOWS["heavy ball"]
    exact = mfpde.solve(task, start, s_end=1.0, optimizer=flow, rtol=1e-11).final.theta
    steps = (0.05, 0.025)
    errors = [
        np.abs(
            mfpde.solve(
                task, start, s_end=1.0, optimizer=flow, method=method, step=h
            ).final.theta - exact
        ).max()
        for h in steps
    ]  # fmt: skip
    assert order - 0.3 < np.log2(errors[0] / errors[1]) < order + 0.7
    assert errors[1] < 0.03


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_its_own_steps_are_those_of_torch(flow):
    torch = pytest.importorskip("torch")
    task, start, h, count = problem(), particles(), 0.05, 12
    beta = np.exp(-h / flow.memory)
    theta = torch.tensor(start.theta, requires_grad=True)
    if isinstance(flow, HeavyBall):
        optimizer = torch.optim.SGD([theta], lr=h * (1 - beta), momentum=beta)
    else:
        second = float(np.exp(-h / flow.memory_of_squares))
        optimizer = torch.optim.Adam([theta], lr=h, betas=(float(beta), second), eps=flow.epsilon)
    x, y = torch.tensor(X), torch.tensor(Y)
    for _ in range(count):
        state = torch.nn.functional.pad(x, (0, 1))
        for layer in theta:
            u, w, b = layer[:, :2], layer[:, 2:4], layer[:, 4]
            state = state + torch.tanh(state @ w.T + b) @ u / (L * M)
        optimizer.zero_grad()
        (L * M * 0.5 * ((state[:, 1:] - y) ** 2).mean()).backward()
        optimizer.step()
    run = mfpde.solve(task, start, s_end=h * count, optimizer=flow, method="gd", step=h)
    np.testing.assert_allclose(run.final.theta, theta.detach().numpy(), atol=1e-11)
    trained = mfpde.resnet.train(
        task, start=start.theta[None], s_end=h * count, step=h, optimizer=flow
    )
    np.testing.assert_allclose(trained.theta[0], run.final.theta, atol=1e-11)
    np.testing.assert_allclose(trained.loss[0], run.loss, atol=1e-12)


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_networks_of_small_steps_converge_at_order_one(flow):
    task, start = problem(rates=ETA), particles()
    exact = mfpde.solve(task, start, s_end=1.0, optimizer=flow, rtol=1e-9).loss[-1]
    errors = [
        abs(
            mfpde.resnet.train(
                task, start=start.theta[None], s_end=1.0, step=h, optimizer=flow
            ).loss[0, -1] - exact
        )
        for h in (0.02, 0.01, 0.005)
    ]  # fmt: skip
    for ratio in (errors[0] / errors[1], errors[1] / errors[2]):
        assert ratio == pytest.approx(2.0, abs=0.3)
    assert errors[2] < 0.02 * exact


def test_the_loss_may_rise_and_the_whole_energy_falls():
    task, start = problem(), particles(2, 32)
    run = mfpde.solve(task, start, s_end=200.0, optimizer=HeavyBall(50.0), save="steps")
    assert np.diff(run.loss).max() > 1e-4  # it swings
    assert np.all(np.diff(run.energy) < 0.0)
    speed = np.array([np.mean((state[1] ** 2).sum(axis=-1)) for state in run.states])
    np.testing.assert_allclose(run.energy - run.loss, 25.0 * speed, rtol=1e-12, atol=1e-15)
    fine = mfpde.solve(task, start, s_end=1.0, optimizer=HeavyBall(1.0), method="rk4", step=0.01,
                       save="steps")  # fmt: skip
    rate = np.array([np.mean((state[1] ** 2).sum(axis=-1)) for state in fine.states])
    fall = -np.diff(fine.energy) / fine.step[1:]
    np.testing.assert_allclose(fall[20:], 0.5 * (rate[1:] + rate[:-1])[20:], rtol=1e-3)


def test_a_short_memory_is_the_gradient_flow():
    task, start = problem(rates=ETA), particles()
    exact = mfpde.solve(task, start, s_end=1.0, rtol=1e-9).final.theta
    gaps = [
        np.abs(
            mfpde.solve(task, start, s_end=1.0, optimizer=HeavyBall(tau), rtol=1e-8).final.theta
            - exact
        ).max()
        for tau in (0.04, 0.02)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("how", [{}, {"method": "gd", "step": 0.02}])
def test_a_resumed_run_is_the_straight_one(flow, how, tmp_path):
    task, start, path = problem(), particles(), tmp_path / "run.h5"
    straight = mfpde.solve(task, start, s_end=2.0, optimizer=flow, **how)

    def stop(run):
        return run.control.s > 0.7

    mfpde.solve(task, start, s_end=2.0, optimizer=flow, checkpoint=path, callback=stop, **how)
    again = mfpde.resume(path)
    np.testing.assert_array_equal(again.loss, straight.loss)
    np.testing.assert_array_equal(again.control.state, straight.control.state)
    loaded = mfpde.Solution.load(path)
    at = float(straight.s[len(straight.s) // 2])
    every = mfpde.solve(task, start, s_end=2.0, optimizer=flow, save="steps", **how)
    k = int(np.searchsorted(every.s, at))
    np.testing.assert_array_equal(loaded.at(at).theta, every.states[k][0])
    assert every.states[k].shape == (1 + flow.slots, L, M, 5)
    assert loaded.options.optimizer == straight.options.optimizer


def test_dense_output_and_xarray():
    pytest.importorskip("xarray")
    run = mfpde.solve(problem(), particles(), s_end=1.0, optimizer=FLOWS["adam"], save=[0.31, 0.77])
    fine = mfpde.solve(problem(), particles(), s_end=0.31, optimizer=FLOWS["adam"], rtol=1e-8)
    np.testing.assert_allclose(run.at(0.31).theta, fine.final.theta, atol=1e-3)
    found = run.to_xarray()
    assert found["theta"].shape == (3, L, M, 5)
    assert found["averages"].shape == (3, 2, L, M, 5)


def test_a_block_of_one_parameter():
    """Positions with one average are as wide as positions with weights: they are told apart."""

    class Shift(mfpde.Block):
        dim, coordinates = 1, ("u",)

        def value(self, x, theta):
            return np.tanh(x)[:, None, :] * theta[None, :, :]

        def pull_state(self, x, theta, q):
            return (q / np.cosh(x) ** 2)[:, None, :] * theta[None]

        def pull_parameter(self, x, theta, q):
            return np.repeat((q * np.tanh(x))[:, None, :], len(theta), axis=1)

    task = mfpde.Problem(X, 2.0 * X, block=Shift())
    rho = mfpde.ParticleMeasure(np.ones((2, 3, 1)), mfpde.Depth(2, "euler"))
    run = mfpde.solve(task, rho, s_end=1.0, optimizer=HeavyBall(0.5))
    np.testing.assert_array_equal(run.final.weights, rho.weights)
    assert run.final.theta.shape == (2, 3, 1)
    assert run.loss[-1] < run.loss[0]


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_limit_and_networks_beside_it(flow, tmp_path):
    law = mfpde.laws.Gaussian(std=[1.0, 1.0, 1.0, 0.0, 0.0])
    task = problem()
    found = mfpde.limit(task, law, s_end=1.0, rtol=0.03, optimizer=flow, times=4, progress=False)
    assert found.success
    fresh = mfpde.ParticleMeasure.from_law(
        law, mfpde.Depth(8, "rk4"), count=1024, coupling="independent", seed=9
    )
    run = mfpde.solve(task, fresh, s_end=1.0, optimizer=flow, rtol=1e-5)
    assert abs(run.loss[-1] - found.loss[-1]) < found.loss_error[-1] + 5e-4
    plain = mfpde.solve(task, fresh, s_end=1.0).loss[-1]
    assert abs(plain - found.loss[-1]) > 3 * found.loss_error[-1]
    found.save(tmp_path / "limit.h5")
    assert mfpde.Limit.load(tmp_path / "limit.h5").optimizer == flow


def test_what_does_not_go_together_is_refused():
    task, flow = problem(), HeavyBall(1.0)
    rho = particles()
    law = mfpde.laws.Uniform([-1.0] * 3, [1.0] * 3)
    small = mfpde.Problem(X, Y, block=mfpde.SHL(1))
    grid = mfpde.GridMeasure.from_law(law, mfpde.Depth(1), box=[(-1.5, 1.5)] * 3, cells=4)
    calls = {
        "optimizer needs a ParticleMeasure": lambda: mfpde.solve(
            small, grid, s_end=1.0, optimizer=flow
        ),
        "combined with reaction": lambda: mfpde.solve(
            task, rho, s_end=1.0, optimizer=flow, reaction=0.5
        ),
        "global_error needs optimizer=None": lambda: mfpde.solve(
            task, rho, s_end=1.0, optimizer=flow, global_error=True
        ),
        "method must be one of": lambda: mfpde.solve(
            task, rho, s_end=1.0, optimizer=flow, method="implicit"
        ),
        "step must be given": lambda: mfpde.solve(
            task, rho, s_end=1.0, optimizer=flow, method="rk4"
        ),
        "optimizer kind must be": lambda: mfpde.solve(
            task, rho, s_end=1.0, optimizer={"kind": "sgd"}
        ),
        "memory must be": lambda: HeavyBall(-1.0),
    }
    for said, call in calls.items():
        with pytest.raises((TypeError, ValueError), match=said):
            call()


def test_a_table_of_a_case_file_names_an_optimizer():
    given = {"kind": "adam", "memory": 0.3, "memory_of_squares": 1.1, "epsilon": 0.01}
    runs = [
        mfpde.solve(problem(), particles(), s_end=0.5, optimizer=one)
        for one in (given, FLOWS["adam"])
    ]
    np.testing.assert_array_equal(runs[0].final.theta, runs[1].final.theta)
    assert runs[0].options.optimizer == given


def test_the_optimiser_s_own_steps_are_never_cut():
    how = {"s_end": 1.2, "step": 0.1, "method": "gd", "optimizer": FLOWS["adam"]}
    with pytest.raises(ValueError, match=r"multiples of step=0\.1 .*; given 0\.05"):
        mfpde.solve(problem(), particles(), save=[0.05, 0.3], **how)
    run = mfpde.solve(problem(), particles(), save=[0.3, 0.7], **how)
    straight = mfpde.solve(problem(), particles(), **how)
    np.testing.assert_allclose(run.final.theta, straight.final.theta, rtol=1e-11)
    np.testing.assert_allclose(run.at(0.3).theta, straight.at(0.3).theta, rtol=1e-11)
