"""Finite networks predicted from the limit, against networks that are trained here."""

import signal
import warnings

import numpy as np
import pytest

import mfpde
from mfpde import laws, paths
from mfpde.response import expansion, stages
from mfpde.runs.status import Status

LAW = laws.Gaussian([1.0, 1.0, 1.5, 1.5, 1.0])
X = np.linspace(-1, 1, 6)[:, None]
STEP, S_END = 0.25, 2.0
HOW = {"s_end": S_END, "step": STEP, "times": 2, "particles": 512, "depth_steps": 2}
HOW |= {"progress": False}


def problem(loss="squared", decay=0.0):
    y = np.sin(3 * X) if loss == "squared" else (X[:, 0] > 0).astype(int)
    return mfpde.Problem(X, y, block=mfpde.SHL(2), loss=loss, weight_decay=decay)


def trained(given, layers, width, coupling, seeds):
    """Outputs (seeds, N, k) and losses (seeds,) of trained networks."""
    how = {"layers": layers, "width": width, "seeds": seeds, "coupling": coupling}
    run = mfpde.resnet.train(given, LAW, s_end=S_END, step=STEP, progress=False, **how)
    return run.outputs, run.loss[:, -1]


@pytest.fixture(scope="module")
def found():
    kinds = {"independent": "independent", "tied": "tied", "paths": paths.Smooth(0.3)}
    return {
        name: mfpde.finite_size(
            problem(), LAW, coupling=kind, x_new=X[:2] + 0.1, directions=8, **HOW
        )
        for name, kind in kinds.items()
    }


@pytest.mark.parametrize("name", ["independent", "tied", "paths"])
def test_deviations_means_and_bands_are_those_of_trained_networks(found, name):
    one, shape, seeds = found[name], (8, 32), 600
    outputs, losses = trained(problem(), *shape, one.coupling, seeds)
    assert np.all(one.trusted(*shape))
    measured = np.sqrt(outputs.var(axis=0, ddof=1).mean())
    predicted = np.sqrt(np.square(one.outputs_std(*shape)[-1]).mean())
    assert predicted == pytest.approx(measured, rel=0.1)
    off = np.abs(outputs.mean(axis=0) - one.mean(*shape)[-1]).max()
    assert off <= 0.25 * measured
    low, high = one.loss_band(*shape)[-1]
    assert np.mean((losses >= low) & (losses <= high)) == pytest.approx(0.95, abs=0.03)
    assert one.loss_mean(*shape)[-1] == pytest.approx(losses.mean(), rel=0.02)
    assert one.loss_quantile(0.9, *shape)[-1] == pytest.approx(np.quantile(losses, 0.9), rel=0.05)


def test_tied_layers_scatter_by_width_alone(found):
    tied, free = found["tied"], found["independent"]
    deep, shallow = tied.outputs_std(128, 16)[-1], tied.outputs_std(32, 16)[-1]
    np.testing.assert_allclose(deep, shallow, rtol=0.02)
    np.testing.assert_allclose(
        free.outputs_std(128, 16)[-1], free.outputs_std(32, 16)[-1] / 2, rtol=0.02
    )
    middle = found["paths"].outputs_std(32, 16)[-1]
    assert np.all((free.outputs_std(32, 16)[-1] < middle) & (middle < 1.02 * shallow))


def test_influence_functions_are_derivatives_of_runs(found):
    one = found["independent"]
    k, j, e = 1, 5, 1e-4
    rho0 = one.rho0

    def outputs(e):
        mass = np.zeros_like(rho0.weights)
        mass[k] = -rho0.weights[k] * e
        mass[k, j] += e
        moved = mfpde.ParticleMeasure(rho0.theta, rho0.depth, rho0.weights + mass)
        end = mfpde.solve(problem(), moved, s_end=S_END, method="gd", step=STEP, progress=False)
        both = [mfpde.predict(problem(), end.final, x) for x in (None, X[:2] + 0.1)]
        return np.concatenate(both)[:, 0]

    assert np.array_equal(one.combinations[-1], np.eye(8))
    g = one.influence[-1][:, k]
    want = (outputs(e) - outputs(-e)) / (2 * e) / rho0.depth.weights[k]
    np.testing.assert_allclose(g[:, j] - g @ rho0.weights[k], want, rtol=1e-5, atol=1e-6)


def test_new_points_are_outputs_like_others():
    kwargs = HOW | {"particles": 64, "times": 1}
    one = mfpde.finite_size(problem(), LAW, x_new=X, **kwargs)
    for function in (one.mean, one.outputs_std):
        np.testing.assert_allclose(function(8, 8), function(8, 8, at="new"), rtol=1e-10)
    with pytest.raises(ValueError, match="needs x_new"):
        mfpde.finite_size(problem(), LAW, **kwargs).mean(8, 8, at="new")


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_penalties_and_cross_entropy(loss):
    given = problem(loss, decay=0.05)
    one = mfpde.finite_size(given, LAW, coupling="tied", **HOW)
    _, losses = trained(given, 8, 64, "tied", 400)
    low, high = one.loss_band(8, 64)[-1]
    assert np.mean((losses >= low) & (losses <= high)) == pytest.approx(0.95, abs=0.035)
    assert one.loss_mean(8, 64)[-1] == pytest.approx(losses.mean(), rel=0.01)


@pytest.mark.parametrize("coupling", ["independent", "tied"])
def test_directions_and_probes_stand_for_all_rows(coupling):
    """With 120 outputs: six directions beside the influence function of every output."""
    x = np.linspace(-1, 1, 60)[:, None]
    y = np.concatenate([np.sin(3 * x), np.cos(2 * x)], axis=1)
    given = mfpde.Problem(x, y, block=mfpde.SHL(3, "gelu"), weight_decay=0.02)
    law = laws.Uniform(-2.0, 2.0, dim=7)
    how = HOW | {"times": 1, "coupling": coupling, "particles": 128}
    some, every = (mfpde.finite_size(given, law, directions=r, **how) for r in (6, 121))
    assert some.combinations[0].shape == (6, 121)
    assert len(every.influence[0]) == 121
    got, want = (one.outputs_std(64, 64) for one in (some, every))
    assert np.sqrt(np.mean(np.square(got / want - 1))) <= 0.1
    assert np.sqrt(np.square(got).mean() / np.square(want).mean()) == pytest.approx(1.0, abs=0.06)
    widths = [np.diff(one.loss_band(64, 64), axis=1)[-1, 0] for one in (some, every)]
    assert widths[0] == pytest.approx(widths[1], rel=0.06)


def test_the_second_order_mean_is_the_trace_of_the_second_derivative():
    """Exactly, by a difference for every basis vector of the noise, on few particles."""
    given, depth = problem(), mfpde.Depth(1, "midpoint")
    rho0 = mfpde.ParticleMeasure.from_law(LAW, depth, count=12)
    run = mfpde.response.trajectory.record(given, rho0, [1.0], method="gd", step=0.25)
    rows, at = expansion.Rows(given, None), [run.index(1.0)]
    got = expansion.probe(run, rows, at, True, 600, 0, lambda: None).second.mean(axis=1)[0]
    base, e, trace = expansion.along(run, rows, at)[0], 1e-3, 0.0
    for j in range(12):
        zeta = np.sqrt(1 / 12) * (np.eye(12)[j] - 1 / 12)
        ends = [
            mfpde.solve(
                given,
                mfpde.ParticleMeasure(rho0.theta, depth, rho0.weights + sign * e * zeta),
                s_end=1.0,
                method="gd",
                step=0.25,
                progress=False,
            ).final
            for sign in (1, -1)
        ]
        outputs = [mfpde.predict(given, end)[:, 0] for end in ends]
        trace = trace + 0.5 * (outputs[0] - 2 * base + outputs[1]) / e**2
    np.testing.assert_allclose(got, trace, atol=0.15 * np.abs(trace).max())


def test_sizes_reach_their_probability_and_smaller_ones_do_not(found):
    for name in ("independent", "tied"):
        one = found[name]
        loss = 1.02 * one.limit_loss[-1]
        size = one.size_for(loss, 0.9)
        assert (
            one.probability(loss, *size) >= 0.9 > one.probability(loss, size.layers, size.width - 1)
        )
        assert one.size_for(loss, 0.9, layers=size.layers) == size
        _, losses = trained(problem(), *size, name, 400)
        assert np.mean(losses <= loss) == pytest.approx(0.9, abs=0.05)
    with pytest.raises(ValueError, match="is not reached by networks"):
        one.size_for(0.9 * one.limit_loss[-1], 0.9)


def test_what_is_strained_is_said(found):
    one = found["tied"]
    assert one.success
    assert one.status is Status.PREDICTED
    assert not np.any(one.trusted(3, 10**4))
    with pytest.warns(UserWarning, match="3 layers and width 64 are beyond the expansion"):
        one.outputs_std(3, 64)
    assert not np.all(one.trusted(8, 1))
    for ask in (one.mean, one.outputs_std, one.loss_mean, one.loss_band):
        with pytest.warns(UserWarning, match="are beyond the expansion about the limit at s = "):
            ask(8, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.loss_band(8, 64)
    assert np.all(one.validity(8, 64) < one.validity(8, 16))
    assert "holds from four layers and M = " in one.message
    assert not np.any(one.trusted(8, 10**9))
    assert one.plot().axes


@pytest.mark.parametrize("coupling", ["independent", "tied"])
def test_three_runs_of_the_limit_are_enough(coupling):
    """Adjoints among them, beside 32 probes on a sixteenth of the limit's points."""
    cost = mfpde.finite_size(problem(), LAW, coupling=coupling, **HOW).cost
    assert cost["runs"] + cost["adjoints"] <= 3.0
    assert cost["probes"] <= 2.0 + 1e-12


@pytest.mark.parametrize("name", ["independent", "tied"])
def test_a_single_layer_is_the_mean_field_two_layer_network(found, name):
    """Where couplings do not differ: each has M draws."""
    one = found[name]
    outputs, losses = trained(problem(), 1, 64, name, 500)
    assert np.all(one.trusted(1, 64))
    measured = np.sqrt(outputs.var(axis=0, ddof=1).mean())
    assert np.sqrt(np.square(one.outputs_std(1, 64)[-1]).mean()) == pytest.approx(measured, rel=0.1)
    assert np.abs(outputs.mean(axis=0) - one.mean(1, 64)[-1]).max() <= 0.25 * measured
    low, high = one.loss_band(1, 64)[-1]
    assert np.mean((losses >= low) & (losses <= high)) == pytest.approx(0.95, abs=0.03)


def test_paths_with_a_kink_need_no_more_depth():
    """Four steps of rk4 give ∬ Cov(G_t, G_t′) as sixteen do, which their quadrature does not."""
    path, rows = paths.Exponential(0.4), expansion.Rows(problem(), None)
    found = []
    for steps in (4, 16):
        depth = mfpde.Depth(steps, "rk4")
        rho0 = mfpde.ParticleMeasure.from_law(LAW, depth, count=512, coupling=path)
        run = mfpde.response.trajectory.descended(problem(), rho0, [1.0], 0.25)
        g = expansion.influences(run, rows, [4], [np.eye(6)])[0]
        found += [np.trace(expansion.covariance(g, rho0, c).matrix) for c in (path, "tied")]
    coarse, plain, fine, _ = np.sqrt(found)
    assert coarse == pytest.approx(fine, rel=0.04)
    assert abs(coarse / fine - 1) <= 0.6 * abs(plain / fine - 1)


@pytest.mark.parametrize("kind", ["paths", "independent"])
def test_files_keep_everything(found, kind, tmp_path):
    one = found[kind]
    one.save(tmp_path / "found.h5")
    other = mfpde.FiniteSize.load(tmp_path / "found.h5")
    assert (other.coupling, other.errors, other.cost) == (one.coupling, one.errors, one.cost)
    np.testing.assert_array_equal(other.loss_band(8, 64), one.loss_band(8, 64))
    np.testing.assert_array_equal(other.influence[-1], one.influence[-1])
    np.testing.assert_array_equal(other.rho0.theta, one.rho0.theta)
    assert repr(other) == repr(one)
    with pytest.raises(ValueError, match="mfpde finite size"):
        mfpde.Limit.load(tmp_path / "found.h5")


def test_a_dataset_has_limit_bias_and_deviation(found):
    pytest.importorskip("xarray")
    one = found["independent"]
    table = one.to_xarray()
    assert table.attrs["status"] == "PREDICTED"
    np.testing.assert_allclose(
        table["deviation"].values / 2**13, one.outputs_std(2**20, 64), rtol=1e-4
    )
    np.testing.assert_allclose(table["limit"].values, one.mean(2**30, 2**20), rtol=1e-5)


def test_an_interrupted_prediction_rests_on_its_probes(monkeypatch):
    asked = []

    def late(*_):
        asked.append(1)
        raise stages._Stopped

    monkeypatch.setattr(stages.Stages, "_by_adjoints", late)
    one = mfpde.finite_size(problem(), LAW, **HOW | {"particles": 128})
    assert asked == [1]
    assert one.status is Status.INTERRUPTED
    assert not one.success
    assert one.influence is None
    assert "random probes alone" in one.message
    assert np.all(one.outputs_std(16, 64) > 0)


def test_ctrl_c_before_anything_is_known():
    """The run under way is ended, and no number of a run that did not reach its end is used."""

    def press(*_):
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            mfpde.finite_size(problem(), LAW, **HOW | {"particles": 4096, "s_end": 500.0})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_depth_terms_are_exact_for_quadratics():
    rng = np.random.default_rng(0)
    limit, a, b = rng.standard_normal((3, 2, 4))
    euler = [limit + a / n + b / n**2 for n in expansion.DEPTHS]
    got = expansion.depth_terms(limit, euler)
    np.testing.assert_allclose(got, (a, b), rtol=1e-10)


def test_relu_is_probed_and_has_no_adjoint():
    """Its second derivative is all in the kink, which no Hessian product sees."""
    given = mfpde.Problem(X, np.sin(3 * X), block=mfpde.SHL(2, "relu"))
    one = mfpde.finite_size(given, LAW, **HOW | {"times": 1, "particles": 1024})
    assert one.influence is None
    outputs, _ = trained(given, 8, 64, "independent", 200)
    measured = np.sqrt(outputs.var(axis=0, ddof=1).mean())
    assert np.sqrt(np.square(one.outputs_std(8, 64)).mean()) == pytest.approx(measured, rel=0.2)
    with pytest.raises(ValueError, match="has no second derivative"):
        mfpde.sensitivity(given, LAW, s_end=1.0)


def test_times_are_whole_steps():
    one = mfpde.finite_size(problem(), LAW, **HOW | {"times": [0.3, 1.1], "particles": 32})
    assert one.s.tolist() == [0.25, 1.0, 2.0]
    other = mfpde.finite_size(problem(), LAW, **HOW | {"times": 2, "particles": 32, "s_end": 2.1})
    np.testing.assert_allclose(other.s, [2.1 * 4 / 9, 2.1])  # nine steps, as train takes them
    with pytest.raises(ValueError, match="step must be <= s_end"):
        mfpde.finite_size(problem(), LAW, **HOW | {"s_end": 0.1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coupling": "loose"}, "coupling must be one of"),
        ({"coupling": paths.Exponential(1e-3)}, "do not resolve"),
        ({"coupling": paths.Shared(0.5)}, "do not resolve"),
        ({"times": [3.0]}, "times must lie in"),
        ({"x_new": np.zeros((2, 3))}, "x_new must have shape"),
        ({"particles": 4}, "particles must be"),
        ({"directions": 2, "probes": 3}, "probes must be"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        mfpde.finite_size(problem(), LAW, **(HOW | change))


def test_linear_blocks_near_a_saddle_are_not_trusted_where_one_network_leaves_it_early():
    """diag(1.8, 1.8, −.72), which linear layers reach late: L = 8, M = 32 is refused."""
    x = np.random.default_rng(3).standard_normal((12, 3))
    problem = mfpde.Problem(x, x @ np.diag([1.8, 1.8, -0.72]), block=mfpde.Linear(3))
    law = mfpde.laws.Gaussian(0.35, dim=6)
    found = mfpde.finite_size(problem, law, s_end=2.7, step=0.1, particles=256)
    assert found.validity(8, 32)[-1] > 0.35 > found.validity(64, 256)[-1]
