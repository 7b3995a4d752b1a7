"""Blocks from functions of torch and JAX: SHL's formula against SHL, others through networks."""

import sys

import numpy as np
import pytest
from problems import gaussian_measure

import mfpde
from mfpde import losses
from mfpde.blocks import from_jax, from_torch

torch = pytest.importorskip("torch")
pytest.importorskip("jax")
LIBRARIES = ["torch", "jax"]
D = 3
X = np.random.default_rng(0).standard_normal((6, D))
DEPTH = mfpde.Depth(2, "rk4")


def torch_shl(x, theta):
    d = x.shape[0]
    return theta[:d] * torch.tanh(theta[d : 2 * d] @ x + theta[2 * d])


def jax_shl(x, theta):
    import jax.numpy as jnp

    d = x.shape[0]
    return theta[:d] * jnp.tanh(theta[d : 2 * d] @ x + theta[2 * d])


def radial(x, theta):
    """u exp(−|x − c|²)."""
    return theta[:D] * torch.exp(-((x - theta[D:]) ** 2).sum())


def gated(x, theta):
    """(W x) ⊙ sigmoid(V x), whose last product is of two things that both depend on x."""
    w, v = theta[: D * D].view(D, D), theta[D * D :].view(D, D)
    return (w @ x) * torch.sigmoid(v @ x)


def module():
    torch.manual_seed(0)
    layers = torch.nn.Linear(D, 4), torch.nn.Tanh(), torch.nn.Linear(4, D)
    return torch.nn.Sequential(*layers).double()


class Normed(torch.nn.Module):
    """W₂(silu(W₁z) ⊙ Vz) for z = LN(x): torch pushes through the pull of neither SiLU nor LN."""

    def __init__(self):
        super().__init__()
        how = {"bias": False, "dtype": torch.float64}
        self.norm = torch.nn.LayerNorm(D, eps=0.1, dtype=torch.float64)
        self.up, self.gate = (torch.nn.Linear(D, 2, **how) for _ in range(2))
        self.down = torch.nn.Linear(2, D, **how)

    def forward(self, x):
        z = self.norm(x)
        return self.down(torch.nn.functional.silu(self.up(z)) * self.gate(z))


def shl_of(library, **how):
    make, f = {"torch": (from_torch, torch_shl), "jax": (from_jax, jax_shl)}[library]
    return make(f, dim=D, size=2 * D + 1, **how)


def others():
    return {
        "radial": from_torch(radial, dim=D, size=2 * D),
        "gated": from_torch(gated, dim=D, size=2 * D * D),
        "module": from_torch(module(), dim=D),
        "normed": from_torch(Normed(), dim=D),
    }


def problem(block, **how):
    return mfpde.Problem(X, np.sin(X[:, :1] - X[:, 1:2]), block=block, **how)


@pytest.mark.parametrize(("library", "memory"), [("torch", 1 << 24), ("torch", 200), ("jax", 200)])
def test_every_sum_is_that_of_shl(library, memory):
    block, own = shl_of(library, memory=memory), mfpde.SHL(D)
    rng = np.random.default_rng(1)
    x, q, dx = rng.standard_normal((3, 5, D))
    theta, dtheta = rng.standard_normal((2, 7, 2 * D + 1))
    a = rng.dirichlet(np.ones(7))
    many = [np.stack([one, 2 * one[::-1]]) for one in (dx, dtheta, q)]
    calls = {
        "value": (x, theta),
        "pull_state": (x, theta, q),
        "pull_parameter": (x, theta, q),
        "field": (x, theta, a),
        "backward": (x, theta, a, q),
        "potential": (x, theta, q),
        "gradient": (x, theta, q),
        "tangent": (x, theta, a, dx, dtheta),
        "tangents": (x, theta, a, *many[:2], None),
        "backward_tangents": (x, theta, a, q, *many, np.stack([a, a[::-1]])),
    }
    for name, given in calls.items():
        for _ in range(7):  # the first calls run as they are, later ones as a trace
            found = getattr(block, name)(*given)
        expected = getattr(own, name)(*given)
        pairs = (
            zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
        )
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12, err_msg=name)
    masses = np.where(np.arange(7) < 2, 0.0, a)  # no division by a weight of zero
    for one, other in zip(
        block.backward(x, theta, masses, q), own.backward(x, theta, masses, q), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_verb_is_that_of_shl(library):
    one, other = problem(shl_of(library)), problem(mfpde.SHL(D))
    rho = gaussian_measure(other, DEPTH, count=8)
    for verb in (mfpde.predict, mfpde.gradient, mfpde.first_variation, mfpde.theory.tangent_kernel):
        np.testing.assert_allclose(verb(one, rho), verb(other, rho), rtol=1e-12, atol=1e-12)
    single = mfpde.ParticleMeasure(rho.theta, DEPTH, dtype=np.float32)
    found, expected = (mfpde.gradient(task, single) for task in (one, other))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("library", "method"),
    [*(("torch", name) for name in ("gd", "heun", "rk4", "rk45", "implicit")), ("jax", "rk45")],
)
def test_every_method_runs_as_with_shl(library, method):
    how = {"step": 0.1} if method in ("gd", "heun", "rk4") else {"rtol": 1e-3}
    tasks = [problem(shl_of(library)), problem(mfpde.SHL(D))]
    rho = gaussian_measure(tasks[1], DEPTH, count=8)
    runs = [mfpde.solve(task, rho, s_end=0.5, method=method, **how) for task in tasks]
    assert runs[0].loss[-1] == pytest.approx(runs[1].loss[-1], rel=1e-9)
    assert runs[0].loss[-1] < 0.95 * runs[0].loss[0]


@pytest.mark.parametrize("name", ["radial", "gated", "module", "normed"])
def test_other_blocks_have_the_derivatives_of_their_function(name):
    block = others()[name]
    assert mfpde.check_block(block) < 1e-6
    task = problem(block)
    rho = gaussian_measure(task, DEPTH, count=5)
    way = np.random.default_rng(2).standard_normal(rho.theta.shape)

    def energy(h):
        return mfpde.loss(task, rho.with_state(rho.theta + h * way))

    h = 1e-4
    numeric = (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h)
    mass = (rho.depth.weights[:, None] * rho.weights)[:, :, None]
    assert numeric == pytest.approx((mass * mfpde.gradient(task, rho) * way).sum(), rel=1e-7)


def test_values_are_those_of_the_module():
    net = module()
    block = from_torch(net, dim=D)
    theta = torch.cat([value.detach().ravel() for value in net.parameters()]).numpy()
    with torch.no_grad():
        expected = net(torch.tensor(X)).numpy()
    np.testing.assert_allclose(block.value(X, theta[None])[:, 0], expected, rtol=1e-13)
    assert block.size == len(theta) == 31
    assert block.coordinates[:2] == ("0.weight0,0", "0.weight0,1")


def test_the_last_product_is_found_where_there_is_one():
    inner = {name: block._inner for name, block in others().items()}
    assert inner == {"radial": 1, "gated": D, "module": 5, "normed": 2}
    assert from_torch(torch_shl, dim=D, size=7)._inner == 1


def test_torch_networks_train_a_block_of_torch():
    block, own = shl_of("torch"), mfpde.SHL(D)
    law = mfpde.laws.Gaussian(0.7, dim=own.size)
    how = {"layers": 2, "width": 4, "seeds": 2, "s_end": 0.5, "step": 0.1, "device": "cpu"}
    runs = [
        mfpde.resnet.train(problem(block), law, engine="autograd", **how),
        mfpde.resnet.train(problem(block), law, backend="particles", **how),
        mfpde.resnet.train(problem(own), law, backend="particles", **how),
    ]
    for run in runs[:2]:
        np.testing.assert_allclose(run.loss, runs[2].loss, rtol=1e-11)


def test_limit_of_a_block_of_torch():
    law = mfpde.laws.Gaussian(0.5, dim=7)
    tasks = [problem(shl_of("torch")), problem(mfpde.SHL(D))]
    found = [mfpde.limit(task, law, s_end=0.1, rtol=1e-1).loss[-1] for task in tasks]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


# -- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_run_files_find_the_function_by_its_path(library, tmp_path, monkeypatch):
    task = problem(shl_of(library))
    run = mfpde.solve(task, gaussian_measure(task, DEPTH, count=8), s_end=0.2, method="rk45")
    run.save(tmp_path / "run.h5")
    loaded = mfpde.Solution.load(tmp_path / "run.h5")
    assert repr(loaded.problem) == repr(task)
    assert mfpde.loss(loaded.problem, loaded.final) == run.loss[-1]
    assert mfpde.resume(tmp_path / "run.h5", s_end=0.3).s[-1] == 0.3
    here, name = sys.modules[__name__], f"{library}_shl"
    original = getattr(here, name)
    monkeypatch.setattr(here, name, lambda x, theta: 1.001 * original(x, theta))
    with pytest.raises(ValueError, match="computes something else now"):
        mfpde.Solution.load(tmp_path / "run.h5")
    monkeypatch.delitem(sys.modules, __name__)
    with pytest.raises(ValueError, match=f"import {__name__} first"):
        mfpde.Solution.load(tmp_path / "run.h5")


def test_a_function_without_a_path_is_handed_over(tmp_path):
    block = from_torch(lambda x, theta: theta * x, dim=D, size=D)
    task = problem(block)
    run = mfpde.solve(task, gaussian_measure(task, DEPTH, count=4), s_end=0.1)
    run.save(tmp_path / "run.h5")
    with pytest.raises(ValueError, match="hand it over as block="):
        mfpde.Solution.load(tmp_path / "run.h5")
    loaded = mfpde.Solution.load(tmp_path / "run.h5", block=block)
    assert mfpde.loss(loaded.problem, loaded.final) == run.loss[-1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_torch(torch_shl, dim=D), "size must be given for a function"),
        (lambda: from_torch(module(), dim=D, size=5), "size must be 31"),
        (lambda: from_torch(lambda x, t: x[:2], dim=D, size=1), r"to \(3,\); it returned shape"),
        (lambda: from_torch(torch_shl, dim=0, size=1), "dim must be a whole number >= 1"),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_loss_from_a_function_is_the_packages_own(library):
    if library == "torch":
        loss = losses.from_torch(lambda z, y: 0.5 * ((z - y) ** 2).sum(), name="half")
    else:
        loss = losses.from_jax(lambda z, y: 0.5 * ((z - y) ** 2).sum(), name="half")
    losses.register(loss)
    try:
        tasks = [problem(mfpde.SHL(D), loss=name) for name in ("half", "squared")]
        rho = gaussian_measure(tasks[0], DEPTH, count=8)
        for method, tol in (("rk45", 1e-9), ("implicit", 1e-6)):  # systems solved by other ways
            runs = [mfpde.solve(task, rho, s_end=0.3, method=method) for task in tasks]
            assert runs[0].loss[-1] == pytest.approx(runs[1].loss[-1], rel=tol)
        if library == "torch":
            how = {"layers": 2, "width": 4, "seeds": 1, "s_end": 0.3, "step": 0.1}
            law = mfpde.laws.Gaussian(0.7, dim=7)
            nets = [mfpde.resnet.train(task, law, backend="torch", **how) for task in tasks]
            np.testing.assert_allclose(nets[0].loss, nets[1].loss, rtol=1e-12)
    finally:
        del losses.LOSSES["half"]
