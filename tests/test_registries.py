"""One activation, one loss and one block kind from outside, through everything a run can meet."""

import numpy as np
import pytest

import mfpde
from mfpde import activations, blocks, losses
from mfpde.cli import main
from mfpde.resnet import engines

X = np.linspace(-1.0, 1.0, 6)[:, None]
Y = np.sin(np.pi * X)
DEPTH = mfpde.Depth(2, "rk4")


def softsign(z):
    return z / (1 + np.abs(z))


SOFTSIGN = activations.Activation(
    "softsign",
    forms=(
        softsign,
        lambda z: (1 + np.abs(z)) ** -2.0,
        lambda z: -2 * np.sign(z) * (1 + np.abs(z)) ** -3.0,
    ),
    torch=lambda torch: torch.nn.functional.softsign,
    bound=1.0,
    slope=1.0,
)


class Charbonnier(losses.Loss):
    """Σ_c √(1 + (z − y)²) − 1."""

    name = "charbonnier"

    def value(self, z, y):
        return (np.sqrt(1 + (z - y) ** 2) - 1).sum(axis=1)

    def gradient(self, z, y):
        return (z - y) / np.sqrt(1 + (z - y) ** 2)

    def hessian(self, z, y):
        return ((1 + (z - y) ** 2) ** -1.5)[:, :, None] * np.eye(z.shape[1])

    def torch_value(self, torch):
        return lambda z, y: (torch.sqrt(1 + (z - y) ** 2) - 1).sum(-1)


class Gated(mfpde.Block):
    """f(x, (u, g)) = u g·x: the state times a scalar gate, coordinate by coordinate."""

    def __init__(self, dim):
        self.dim = dim
        self.coordinates = (*(f"u{i}" for i in range(dim)), *(f"g{i}" for i in range(dim)))

    def spec(self):
        return {"kind": "gated", "dim": self.dim}

    def parts(self, theta):
        return theta[:, : self.dim], theta[:, self.dim :]

    def value(self, x, theta):
        u, g = self.parts(theta)
        return (x @ g.T)[:, :, None] * u

    def pull_state(self, x, theta, q):
        u, g = self.parts(theta)
        return (q @ u.T)[:, :, None] * g

    def pull_parameter(self, x, theta, q):
        u, g = self.parts(theta)
        by_u = (x @ g.T)[:, :, None] * q[:, None, :]
        by_g = (q @ u.T)[:, :, None] * x[:, None, :]
        return np.concatenate([by_u, by_g], axis=2)

    def torch_form(self):
        d = self.dim
        return lambda torch: (
            lambda x, theta: (x @ theta[..., d:].mT) @ theta[..., :d] / theta.shape[1]
        )


@pytest.fixture(autouse=True)
def registered():
    """The three, for one test each time."""
    activations.register(SOFTSIGN)
    losses.register(Charbonnier())
    blocks.register("gated", Gated)
    yield
    del activations.ACTIVATIONS["softsign"], losses.LOSSES["charbonnier"], blocks.BLOCKS["gated"]


def problems():
    return {
        "softsign": mfpde.Problem(X, Y, block=mfpde.SHL(2, "softsign")),
        "charbonnier": mfpde.Problem(X, Y, block=mfpde.SHL(2), loss="charbonnier"),
        "gated": mfpde.Problem(X, Y, block=Gated(2), loss="charbonnier"),
    }


def start(problem, depth=DEPTH):
    law = mfpde.laws.Gaussian(0.7, dim=problem.block.size)
    return mfpde.ParticleMeasure.from_law(law, depth, count=8, seed=0)


@pytest.mark.parametrize("method", ["gd", "rk45", "implicit"])
@pytest.mark.parametrize("name", ["softsign", "charbonnier", "gated"])
def test_solve_save_load_resume(name, method, tmp_path):
    problem = problems()[name]
    how = {"method": method, **({"step": 0.1} if method == "gd" else {})}
    whole = mfpde.solve(problem, start(problem), s_end=2.0, **how)
    half = mfpde.solve(problem, start(problem), s_end=1.0, **how)
    half.save(tmp_path / "run.h5")
    loaded = mfpde.Solution.load(tmp_path / "run.h5")
    assert repr(loaded.problem) == repr(problem)
    assert mfpde.loss(loaded.problem, loaded.final) == half.loss[-1]
    rest = mfpde.resume(tmp_path / "run.h5", s_end=2.0)
    assert rest.loss[-1] < half.loss[-1] < half.loss[0]
    assert rest.loss[-1] == pytest.approx(whole.loss[-1], rel=3e-2)


CASE = """
[data]
source = "data.npz"
[block]
kind = "{kind}"
dim = 2
{more}
[problem]
loss = "{loss}"
[depth]
steps = 2
method = "rk4"
[law]
kind = "gaussian"
std = 0.7
dim = {size}
[measure]
count = 8
seed = 0
[solve]
s_end = 1.0
"""


@pytest.mark.parametrize("name", ["softsign", "charbonnier", "gated"])
def test_command_line(name, tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    problem = problems()[name]
    kind, more = ("gated", "") if name == "gated" else ("shl", "")
    if name == "softsign":
        more = 'activation = "softsign"'
    case = CASE.format(kind=kind, more=more, loss=problem.loss.name, size=problem.block.size)
    (tmp_path / "case.toml").write_text(case)
    out = tmp_path / "run.h5"
    assert main(["solve", str(tmp_path / "case.toml"), "--out", str(out)]) == 0
    assert repr(mfpde.Solution.load(out).problem) == repr(problem)
    assert main(["resume", str(out), "--s-end", "1.5"]) == 0
    assert mfpde.Solution.load(out).s[-1] == 1.5


@pytest.mark.parametrize("name", ["softsign", "charbonnier", "gated"])
def test_torch_trains_the_same_network(name, tmp_path):
    pytest.importorskip("torch")
    problem, law = problems()[name], mfpde.laws.Gaussian(0.7, dim=problems()[name].block.size)
    how = {"layers": 3, "width": 4, "seeds": 1, "s_end": 1.0, "step": 0.1, "device": "cpu"}
    runs = []
    for engine in engines.available(problem, "torch", "float64", "cpu"):
        if engine != "compiled":
            runs.append(mfpde.resnet.train(problem, law, engine=engine, **how))
    runs.append(mfpde.resnet.train(problem, law, backend="particles", **how))
    assert len(runs) == (2 if name == "gated" else 3)
    for run in runs[1:]:
        np.testing.assert_allclose(run.loss, runs[0].loss, rtol=1e-10)
    assert runs[0].loss[0, -1] < runs[0].loss[0, 0]


def test_softsign_through_every_sum_and_every_measure():
    assert mfpde.check_block(mfpde.SHL(3, "softsign")) < 1e-6
    block = mfpde.SHL(1, "softsign")
    problem = mfpde.Problem(X, Y, block=block)
    rng = np.random.default_rng(0)
    rho = mfpde.ParticleMeasure(rng.standard_normal((2, 4, 3)), mfpde.Depth(2, "euler"))
    x = X
    for theta in rho.theta:
        u, w, b = theta.T
        x = x + softsign(x * w + b) @ u[:, None] / 8
    np.testing.assert_allclose(mfpde.predict(problem, rho), x, rtol=1e-13)
    theta = rng.standard_normal((6, 3))
    chain = mfpde.JointMeasure(theta, np.arange(6) / 6)
    x = X
    for u, w, b in theta:
        x = x + u * softsign(w * x + b) / 6
    np.testing.assert_allclose(mfpde.predict(problem, chain), x, rtol=1e-13)
    grid = mfpde.GridMeasure.from_law(
        mfpde.laws.Uniform([-1.0] * 3, [1.0] * 3), DEPTH, cells=4, box=[[-1, 1]] * 3
    )
    by_particles = mfpde.predict(problem, grid.to_particles())
    np.testing.assert_allclose(mfpde.predict(problem, grid), by_particles, rtol=1e-12)
    with pytest.raises(ValueError, match="Meshed needs an activation that the kernels know"):
        mfpde.Meshed(block, 0.1)


def test_a_file_whose_code_is_not_registered_is_refused(tmp_path):
    problem = problems()["gated"]
    mfpde.solve(problem, start(problem), s_end=0.1).save(tmp_path / "run.h5")
    kept = blocks.BLOCKS.pop("gated")
    try:
        with pytest.raises(ValueError, match="block kind must be one of"):
            mfpde.Solution.load(tmp_path / "run.h5")
    finally:
        blocks.BLOCKS["gated"] = kept


class Unknown(Charbonnier):
    name = "unknown"

    def torch_value(self, torch):
        return None


class Mixed(Charbonnier):
    name = "mixed"

    def torch_value(self, torch):
        return lambda z, y: ((z - y) ** 2).sum(-1)


class Steep(Charbonnier):
    name = "steep"

    def gradient(self, z, y):
        return 1.01 * super().gradient(z, y)


def test_what_torch_does_not_know_or_knows_otherwise_is_refused():
    torch = pytest.importorskip("torch")
    how = {
        "layers": 2,
        "width": 4,
        "seeds": 1,
        "s_end": 0.1,
        "step": 0.1,
        "backend": "torch",
        "device": "cpu",
    }
    law = mfpde.laws.Gaussian(1.0, dim=5)
    for loss, message in (
        (Unknown(), "loss 'unknown' has no torch form; use backend='particles'"),
        (Mixed(), "loss 'mixed': torch's value differs from NumPy's"),
    ):
        losses.register(loss)
        try:
            problem = mfpde.Problem(X, Y, block=mfpde.SHL(2), loss=loss.name)
            with pytest.raises(ValueError, match=message):
                mfpde.resnet.train(problem, law, **how)
        finally:
            del losses.LOSSES[loss.name]
    wrong = activations.Activation("odd", forms=SOFTSIGN.forms, torch=lambda t: t.tanh)
    with pytest.raises(ValueError, match="torch's form differs from NumPy's"):
        wrong.torch_form(torch)
    without = activations.Activation("bare", forms=SOFTSIGN.forms)
    activations.register(without)
    try:
        problem = mfpde.Problem(X, Y, block=mfpde.SHL(2, "bare"))
        with pytest.raises(ValueError, match="backend='torch' has no SHL"):
            mfpde.resnet.train(problem, law, **how)
    finally:
        del activations.ACTIVATIONS["bare"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: activations.register(activations.Activation("tanh", SOFTSIGN.forms)), "already"),
        (lambda: activations.register(activations.Activation("none")), "must have forms"),
        (
            lambda: activations.register(
                activations.Activation("w", (np.tanh, np.cos, lambda z: -np.sin(z)))
            ),
            "σ′ disagrees with central differences",
        ),
        (
            lambda: activations.register(
                activations.Activation("s", (np.sin, np.cos, lambda z: -np.sin(z)), slope=0.5)
            ),
            "slope = 0.5 is passed: 1",
        ),
        (lambda: losses.register(Steep()), "gradient is off by"),
        (lambda: losses.register("mine"), "loss must be a mfpde.losses.Loss; given str"),
        (
            lambda: mfpde.Problem(X, Y, block=mfpde.SHL(2), loss=Unknown()),
            r"loss 'unknown' is not registered: mfpde.losses.register",
        ),
    ],
)
def test_what_cannot_be_registered_is_said(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
