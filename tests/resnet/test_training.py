"""Training finite networks: one algorithm in several codes, and everything a run can be asked."""

import numpy as np
import pytest
from networks import random_problem, random_start
from problems import Cubic, sine

import mfpde
from mfpde import checks, laws
from mfpde.resnet import SGD, Adam, Langevin, Momentum, observables, train

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
    np.testing.assert_allclose(run.final[0].theta, solved.final.theta, atol=1e-13)
    np.testing.assert_allclose(run.outputs[0], mfpde.predict(problem, run.final[0]), atol=1e-13)


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
        ({"width": 1.5}, "width must be a whole number"),
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


# -- published scalings ---------------------------------------------------------------------------


def chizat(x, y, u, v, steps):
    """Chizat 2025 as published: tanh(UᵀH/D), steps D·η, gradients without the factor 1/(LM)."""
    (layers, d, width), n = u.shape, x.shape[1]
    u, v, losses = u.copy(), v.copy(), []
    for k in range(steps + 1):
        path, sigma = [x], []
        for a, b in zip(u, v, strict=True):
            sigma.append(np.tanh(a.T @ path[-1] / d))
            path.append(path[-1] + b @ sigma[-1] / (layers * width))
        losses.append(np.square(path[-1] - y).sum() / (n * d))
        p = (path[-1] - y) / (n * d)
        for k in reversed(range(layers)):
            g = (v[k].T @ p) * (1 - sigma[k] ** 2)
            dv, du = p @ sigma[k].T, path[k] @ g.T / d
            p = p + u[k] @ g / d / (layers * width)
            v[k] -= d * dv
            u[k] -= d * du
    return np.array(losses), path[-1]


@pytest.mark.parametrize("backend", ["particles", "torch"])
def test_rates_express_a_published_metric(backend):
    if backend == "torch":
        pytest.importorskip("torch")
    rng, d = np.random.default_rng(0), 4
    x, y = rng.standard_normal((2, d, 5))
    u, v = 2.0 * rng.standard_normal((2, 6, d, 3))
    losses, end = chizat(x, y, u, v, 7)
    problem = mfpde.Problem(x.T, y.T, block=mfpde.SHL(d, bias=False))
    start = np.concatenate([v, u / d], axis=1).swapaxes(1, 2)[None]
    run = train(
        problem, start=start, s_end=7, step=1, rates=[1.0] * d + [1 / d**2] * d, backend=backend
    )
    np.testing.assert_allclose(2 / d * run.loss[0], losses, rtol=1e-13)
    np.testing.assert_allclose(run.outputs[0], end.T, rtol=1e-12)


def test_tied_layers_start_equal():
    law = laws.Product(laws.Dirac(0.0, dim=2), laws.Gaussian(1.0, dim=3))
    run = train(sine(6), law, coupling="tied", seeds=2, save=1, **SHAPE)
    start = run.saved[:, 0]
    np.testing.assert_array_equal(start, np.broadcast_to(start[:, :1], start.shape))
    assert np.ptp(start[..., 2]) > 0
    jumps = train(
        sine(6), law, coupling="tied", seeds=2, **SHAPE,
        observe={"jump": observables.largest_jump},
    ).observed["jump"]  # fmt: skip
    np.testing.assert_array_equal(jumps[:, 0], 0.0)
    assert np.all(jumps[:, -1] > 0)


@pytest.mark.parametrize("decay", [{"weight_decay": 0.3}, {"quartic_decay": 0.2}])
@pytest.mark.parametrize("engine", ["layers", "particles", "adjoint", "autograd"])
def test_penalties_are_the_flows_own(decay, engine):
    if engine in ("adjoint", "autograd"):
        pytest.importorskip("torch")
    block = mfpde.SHL(2)
    problem, start = random_problem(block, **decay), random_start(block, count=1)
    rho0 = mfpde.ParticleMeasure(start[0], mfpde.Depth(3, "euler"))
    how = {"s_end": 0.5, "step": 0.05, "vanishing_decay": 0.2}
    solved = mfpde.solve(problem, rho0, method="gd", **how)
    run = train(problem, start=start, engine=engine, device="cpu", **how)
    np.testing.assert_allclose(run.loss[0], solved.loss, rtol=1e-12)
    np.testing.assert_allclose(run.theta[0], solved.final.theta, rtol=1e-11, atol=1e-13)


# -- optimisers, seeds, precision -----------------------------------------------------------------

OPTIMIZERS = [SGD(batch=5), Momentum(batch=5), Adam(), Langevin(0.05, batch=5)]


@pytest.mark.parametrize("engine", ["layers", "particles", "adjoint"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.name)
def test_randomness_belongs_to_the_seed(optimizer, engine):
    if engine == "adjoint":
        pytest.importorskip("torch")
    problem, law = sine(12), laws.Gaussian(1.0, dim=5)
    how = {**SHAPE, "optimizer": optimizer, "engine": engine, "device": "cpu"}
    together = train(problem, law, seeds=[7, 2, 9], **how)
    alone = train(problem, law, seeds=[2], **how)
    np.testing.assert_allclose(alone.loss[0], together.loss[1], rtol=1e-12)
    np.testing.assert_allclose(alone.theta[0], together.theta[1], rtol=1e-10, atol=1e-12)
    again = train(problem, law, seeds=[2], **how)
    np.testing.assert_array_equal(again.theta, alone.theta)
    other = train(problem, law, seeds=[3], **how)
    assert np.abs(other.theta - alone.theta).max() > 0.01


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.name)
def test_engines_train_alike_under_every_optimizer(optimizer):
    pytest.importorskip("torch")
    problem, law = sine(12), laws.Gaussian(1.0, dim=5)
    runs = [
        train(problem, law, seeds=2, optimizer=optimizer, engine=engine, device="cpu", **SHAPE)
        for engine in ("layers", "adjoint", "autograd", "particles")
    ]
    for run in runs[1:]:
        np.testing.assert_allclose(run.loss, runs[0].loss, rtol=1e-9)


def test_a_batch_of_all_data_is_gradient_descent():
    problem, law = sine(8), laws.Gaussian(1.0, dim=5)
    whole = train(problem, law, seeds=2, **SHAPE)
    shuffled = train(problem, law, seeds=2, optimizer=SGD(batch=8), **SHAPE)
    np.testing.assert_allclose(shuffled.loss, whole.loss, rtol=1e-12)


def test_an_epoch_sees_every_datum_once():
    from mfpde.resnet.randomness import minibatch

    drawn = np.concatenate([minibatch(3, n, 5, 12) for n in range(12)])
    for epoch in drawn.reshape(5, 12):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(12))
    assert not np.array_equal(drawn[:12], drawn[12:24])


@pytest.mark.parametrize("backend", ["particles", "torch"])
def test_float32_follows_float64_through_training(backend):
    if backend == "torch":
        pytest.importorskip("torch")
    problem, law = sine(8), laws.Gaussian(1.0, dim=5)
    double, single = (
        train(problem, law, seeds=2, dtype=dtype, backend=backend, **SHAPE)
        for dtype in ("float64", "float32")
    )
    assert single.theta.dtype == np.float32
    np.testing.assert_allclose(single.loss, double.loss, rtol=1e-5)


def test_the_fastest_engine_is_found_and_named():
    run = train(sine(8), laws.Gaussian(1.0, dim=5), engine="fastest", backend="particles", **SHAPE)
    assert run.engine in ("layers", "particles")


# -- what is recorded -----------------------------------------------------------------------------


def test_records_observables_and_saved_states():
    problem, law = sine(8), laws.Gaussian(1.0, dim=5)
    seen = []
    run = train(
        problem, law, seeds=2, record=6, save=[0.0, 0.52, 2.0], **SHAPE,
        observe={
            "z": observables.outputs,
            "moved": observables.displacement,
            "by_layer": observables.change_per_layer,
            "s": lambda state: seen.append(state) or np.full(2, state.s),
        },
    )  # fmt: skip
    np.testing.assert_allclose(run.s, [0.0, 0.6, 1.2, 1.8, 2.0], rtol=1e-14)
    np.testing.assert_array_equal(run.observed["s"], np.tile(run.s, (2, 1)))
    every = train(problem, law, seeds=2, **SHAPE)
    np.testing.assert_array_equal(run.loss, every.loss[:, [0, 6, 12, 18, 20]])
    np.testing.assert_array_equal(run.observed["z"][:, -1], run.outputs)
    np.testing.assert_allclose(run.saved_s, [0.0, 0.5, 2.0], rtol=1e-14)
    np.testing.assert_array_equal(run.saved[:, -1], run.theta)
    change = np.square(run.theta - run.saved[:, 0]).sum(-1)
    np.testing.assert_allclose(run.observed["moved"][:, -1], np.sqrt(change.mean((1, 2))))
    np.testing.assert_allclose(run.observed["by_layer"][:, -1], np.sqrt(change.mean(2)))
    np.testing.assert_array_equal(run.observed["moved"][:, 0], 0.0)
    np.testing.assert_array_equal(run.at(0.5, 1).theta, run.saved[1, 1])
    with pytest.raises(ValueError, match="s must be a time at which parameters were saved"):
        run.at(0.4, 1)
    assert seen[0].measures()[0].depth == mfpde.Depth(5, "euler")


def test_distance_to_its_own_flow_is_zero():
    problem, law = sine(8), laws.Gaussian(1.0, dim=5)
    rho0 = mfpde.ParticleMeasure.from_law(
        law, mfpde.Depth(5, "euler"), count=7, rule="iid", coupling="independent", seed=0
    )
    flow = mfpde.solve(problem, rho0, s_end=2.0, method="gd", step=0.1, save="steps")
    run = train(
        problem, law, seeds=2, record=10, **SHAPE,
        observe={"cot": observables.distance_to(flow.at)},
    )  # fmt: skip
    assert np.abs(run.observed["cot"][0]).max() < 1e-7  # the root of a rounding
    assert run.observed["cot"][1].min() > 0.1
    expected = mfpde.cot_distance(run.final[1], flow.final)
    assert abs(run.observed["cot"][1, -1] / expected - 1) < 1e-12


def test_shapes_are_trained_batch_by_batch():
    problem, law = sine(8), laws.Gaussian(1.0, dim=5)
    how = {"s_end": 1.0, "step": 0.1}
    runs = mfpde.resnet.train_shapes(problem, law, [(2, 3), (4, 5), (2, 3)], seeds=2, **how)
    assert list(runs) == [(2, 3), (4, 5)]
    alone = train(problem, law, layers=4, width=5, seeds=2, **how)
    np.testing.assert_array_equal(runs[4, 5].theta, alone.theta)


def test_a_diverged_run_keeps_its_last_finite_record():
    base, law = sine(6), laws.Gaussian(1.0, dim=5)
    problem = mfpde.Problem(base.x, base.y, block=mfpde.SHL(2, "softplus"))
    how = {"layers": 8, "width": 8, "s_end": 1e6, "step": 1e4, "seeds": 2, "record": 2}
    with np.errstate(all="ignore"):
        run = train(problem, law, raise_on_failure=False, **how)
        assert not run.success
        assert "smaller step" in run.message
        assert np.all(np.isfinite(run.loss))
        assert np.all(np.isfinite(run.theta))
        with pytest.raises(mfpde.resnet.TrainingError) as caught:
            train(problem, law, **how)
        np.testing.assert_array_equal(caught.value.training.theta, run.theta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": np.zeros((1, 2, 3, 4))}, "start replaces law"),
        ({"law": None, "layers": None, "width": None}, "law must be given, or explicit"),
        ({"coupling": "same"}, "coupling must be one of"),
        ({"rates": [1.0, 2.0]}, "rates must be 5 numbers"),
        ({"rates": [1.0, 2.0, 3.0, 4.0, -1.0]}, "rates must be >= 0"),
        ({"save": [0.0, 3.0]}, r"save must hold times in \[0, s_end = 2\]"),
        ({"record": 0}, "record must be a whole number >= 1"),
        ({"observe": {"one": lambda state: 1.0}}, r"observe\['one'\] must return"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"law": laws.Gaussian(1.0, dim=4)}, r"law must live on R\^5"),
    ],
)
def test_bad_options(change, message):
    given = {"law": laws.Gaussian(1.0, dim=5), **SHAPE, **change}
    with pytest.raises(ValueError, match=message):
        train(sine(6), given.pop("law"), **given)


def test_a_device_that_is_not_there_is_said():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match="torch sees no GPU here"):
        train(sine(6), laws.Gaussian(1.0, dim=5), device="cuda", **SHAPE)


def test_a_start_without_a_finite_loss_is_said():
    base = sine(6)
    problem = mfpde.Problem(base.x, base.y, block=mfpde.SHL(2, "softplus"))
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="not finite at the start"):
        train(problem, start=np.full((1, 50, 2, 5), 1e200), s_end=1.0, step=0.1)


def test_bad_starts():
    how = {"s_end": 1.0, "step": 0.1}
    for given, message in (
        ({"start": np.zeros((1, 2, 3, 4))}, r"start must have shape \(S, L, M, 5\)"),
        ({"start": np.zeros((0, 2, 3, 5))}, "start must not be empty"),
        ({"start": np.zeros((2, 2, 3, 5)), "seeds": [1]}, "seeds must name the 2 networks"),
    ):
        with pytest.raises(ValueError, match=message):
            train(sine(6), **given, **how)


def test_a_step_larger_than_the_machine_is_refused(monkeypatch):
    monkeypatch.setattr(checks, "memory_limit", lambda: 1e6)
    law, how = mfpde.laws.Gaussian(1.0, dim=5), {"layers": 3, "s_end": 1.0, "step": 0.5, "seeds": 2}
    remedy = (
        r"a step on 400 data would take 1\.\d+ MB of memory; this machine has 1 MB: take an opt"
    )
    with pytest.raises(ValueError, match=remedy):
        train(sine(400), law, width=100, engine="layers", **how)
    assert train(sine(400), law, width=20, engine="layers", **how).success


@pytest.mark.parametrize("engine", ["layers", "particles", "adjoint"])
def test_training_respects_the_memory_of_its_problem(engine, tmp_path):
    """Networks in turn where they do not fit at once, refused where one does not."""
    if engine == "adjoint":
        pytest.importorskip("torch")
    x = np.linspace(-1, 1, 40)[:, None]
    law, how = mfpde.laws.Gaussian(1.0, dim=5), {"layers": 3, "width": 8, "s_end": 1.0, "step": 0.5}
    how |= {"seeds": 3, "engine": engine, "device": "cpu"}
    numbers = 40 * max(2 * 4 * 2 + 3 * 8, 2 * (2 + 8))  # of one network

    def trained(memory, **more):
        problem = mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(2), memory=memory)
        return mfpde.resnet.train(problem, law, **how, **more)

    whole = trained(None)
    np.testing.assert_allclose(trained(8.0 * numbers).theta, whole.theta, rtol=1e-13)
    with pytest.raises(ValueError, match=rf"memory: .* 40 data takes {8 * numbers} bytes"):
        trained(8.0 * numbers - 1)
    if engine != "layers":
        with pytest.raises(ValueError, match=rf"3 network.* takes {24 * numbers} bytes"):
            trained(8.0 * numbers, checkpoint=tmp_path / "run.h5")
    small = trained(8.0 * 40 * 2 * (2 + 8), optimizer=mfpde.resnet.SGD(4))
    assert small.theta.shape == whole.theta.shape
