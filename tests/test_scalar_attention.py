"""Attention with two parameters a head: torch's derivatives, symmetries, an exact solution."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import mfpde
from mfpde.blocks import check_block, from_spec, is_own, spec_of

T, D = 4, 3


def draws(block, data=5, particles=6, seed=0):
    rng = np.random.default_rng(seed)
    x, q = rng.standard_normal((2, data, block.dim))
    return x, rng.standard_normal((particles, 2)), rng.dirichlet(np.ones(particles)), q


def on_sphere(rng, count, tokens, dim):
    z = rng.standard_normal((count, tokens, dim))
    return (z / np.linalg.norm(z, axis=2, keepdims=True)).reshape(count, -1)


def fixed(v, beta, steps):
    """The point law (v, β) at every depth."""
    depth = mfpde.Depth(steps, "rk4")
    theta = np.broadcast_to(np.array([v, beta], float), (len(depth.nodes), 1, 2))
    return mfpde.ParticleMeasure(theta, depth)


def problem(x, tokens, dim, **how):
    block = mfpde.ScalarAttention(tokens, dim, **how)
    return mfpde.Problem(x, np.zeros((len(x), 1)), block=block, readout="first")


@pytest.mark.parametrize("sphere", [True, False])
def test_every_sum_is_torchs(sphere, monkeypatch):
    torch = pytest.importorskip("torch")
    block = mfpde.ScalarAttention(T, D, sphere=sphere)
    x, theta, a, q = given = draws(block)
    tx, tt, ta, tq = (torch.tensor(one, requires_grad=True) for one in given)

    def heads(x, theta):
        """f(x_i, θ_j), one pair at a time, as it is written."""
        rows = []
        for z in x.view(-1, T, D):
            for v, beta in theta:
                out = v * torch.softmax(beta * z @ z.T, -1) @ z
                if sphere:
                    out = torch.stack([o - t * (t @ o) for t, o in zip(z, out, strict=True)])
                rows.append(out.flatten())
        return torch.stack(rows).view(len(x), len(theta), -1)

    each = heads(tx, tt)
    np.testing.assert_allclose(block.value(x, theta), each.detach(), rtol=1e-12, atol=1e-13)
    pairing = torch.einsum("nmd,m,nd->", each, ta, tq)
    state, potential = torch.autograd.grad(pairing, (tx, ta), retain_graph=True)
    (change,) = torch.autograd.grad(torch.einsum("nmd,nd->", each, tq), tt)
    form = block.torch_form()(torch)(tx[None], tt[None])[0].detach()
    for chunk in (1 << 22, 1):  # all particles at once, and one by one
        monkeypatch.setattr("mfpde.blocks.scalar_attention.CHUNK", chunk)
        found = [*block.backward(x, theta, a, q), block.potential(x, theta, q)]
        found += [block.gradient(x, theta, q), block.field(x, theta, np.full(6, 1 / 6))]
        for one, other in zip(found, [state, change, potential, change, form], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def test_it_is_one_of_the_package_s_blocks():
    block = mfpde.ScalarAttention(T, D, sphere=False)
    assert is_own(block)
    assert check_block(block) < 1e-7
    assert repr(from_spec(spec_of(block))) == repr(block)
    assert repr(block) == "ScalarAttention(tokens=4, dim=3, sphere=False)"
    with pytest.raises(ValueError, match="tokens"):
        mfpde.ScalarAttention(0, 3)


def test_tokens_stay_on_the_sphere_and_rotations_commute():
    rng = np.random.default_rng(0)
    x = on_sphere(rng, 3, T, D)
    turn = np.linalg.qr(rng.standard_normal((D, D)))[0]
    rho = fixed(1.0, 4.0, 32)
    found = [
        mfpde.trajectories(problem(z, T, D), rho).hidden[-1].reshape(3, T, D)
        for z in (x, (x.reshape(3, T, D) @ turn).reshape(3, -1))
    ]
    np.testing.assert_allclose(np.linalg.norm(found[0], axis=2), 1.0, atol=1e-6)
    np.testing.assert_allclose(found[0] @ turn, found[1], atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.0, 9.0])
def test_orthogonal_tokens_follow_the_equiangular_equation(beta):
    n, end = 5, 3.0
    x = np.eye(n).reshape(1, -1)

    def equation(_, g):
        few = np.exp(beta * (g - 1.0))
        return 2 * few * (1 - g) * ((n - 1) * g + 1) / (1 + (n - 1) * few)

    exact = solve_ivp(equation, (0, end), [0.0], method="DOP853", rtol=1e-12, atol=1e-13).y[0, -1]
    errors = []
    for steps in (16, 32, 64):
        z = mfpde.trajectories(problem(x, n, n), fixed(end, beta, steps)).hidden[-1].reshape(n, n)
        angles = (z @ z.T)[~np.eye(n, dtype=bool)]
        assert np.ptp(angles) < 1e-12
        errors.append(abs(angles[0] - exact))
    assert np.log2(errors[1] / errors[2]) == pytest.approx(4.0, abs=0.3)
    assert errors[2] < 2e-6


def test_a_law_of_temperatures_is_trained_by_particles_and_on_a_grid():
    x = on_sphere(np.random.default_rng(1), 6, T, D)
    block = mfpde.ScalarAttention(T, D)
    task = mfpde.Problem(x, x[:, :1] * x[:, 3:4], block=block, readout="first")
    law, depth = mfpde.laws.Gaussian([0.5, 1.0], dim=2), mfpde.Depth(2, "midpoint")
    losses = []
    for rho in (
        mfpde.ParticleMeasure.from_law(law, depth, count=400, rule="gauss"),
        mfpde.GridMeasure.from_law(law, depth, cells=64),
    ):
        run = mfpde.solve(task, rho, s_end=2.0, rtol=1e-5, progress=False)
        assert run.loss[-1] < 0.99 * run.loss[0]
        losses.append(run.loss[-1])
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
