"""What the search is made of: files of runs, what is observed, runs in a hurry, the flow of u."""

from contextlib import suppress

import numba
import numpy as np
import pytest

import mfpde
from mfpde import laws
from mfpde.limits import hurried, lazy, scrambled, study
from mfpde.limits.law_in_depth import LawInDepth
from mfpde.limits.scrambled import grown
from mfpde.limits.sizes import Scrambles
from mfpde.limits.watch import Watch
from mfpde.runs.status import Status

LAW = laws.Uniform([-1] * 3, [1] * 3)
X = np.array([[-0.7], [0.1], [0.6]])
Y = np.sin(2 * X)


def size(problem, rho):
    return np.sqrt((rho.weights[:, :, None] * rho.theta**2).sum(axis=(1, 2)).mean())


OBSERVE = {"test": (X, Y), "size": size}


@pytest.fixture(scope="module")
def problem():
    x = np.linspace(-1, 1, 6)[:, None]
    return mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1))


@pytest.fixture(scope="module")
def relu(problem):
    return mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(dim=1, activation="relu"))


@pytest.fixture(scope="module")
def silent():
    """u = 0 and five Gaussian coordinates: scrambles, in a hurry, beside the flow of u alone."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3))
    task = mfpde.Problem(x, np.sin(x @ [1.0, 0.5, -0.5]), block=mfpde.SHL(dim=4), readout="last")
    return task, laws.Product(laws.Dirac(0.0, dim=4), laws.Gaussian(1.0, dim=5))


# -- observe --------------------------------------------------------------------------------------


def test_what_is_observed_is_that_of_the_measure(problem, tmp_path):
    found = mfpde.limit(problem, LAW, s_end=1.0, rtol=1e-3, times=3, observe=OBSERVE)
    scores = mfpde.evaluate(problem, found.final, X, Y)
    for name in ("loss", "rmse"):
        assert found.observed[f"test_{name}"][-1] == pytest.approx(scores[name], rel=1e-12)
    assert found.observed["size"][-1] == pytest.approx(size(problem, found.final), rel=1e-12)
    plain = mfpde.limit(problem, LAW, s_end=1.0, rtol=1e-3, times=3)
    np.testing.assert_array_equal(found.loss, plain.loss)
    found.save(tmp_path / "limit.h5")
    again = mfpde.Limit.load(tmp_path / "limit.h5")
    table = again.to_xarray()
    for name, values in found.observed.items():
        np.testing.assert_array_equal(again.observed[name], values)
        np.testing.assert_array_equal(table[f"{name}_error"], found.observed_error[name])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_bars_of_what_is_observed(problem, activation):
    task = mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(1, activation))
    how = {"s_end": 1.0, "times": 3, "observe": OBSERVE}
    rough = mfpde.limit(task, LAW, rtol=3e-2, **how)
    sharp = mfpde.limit(task, LAW, rtol=3e-3, seed=5, **how)
    for name in ("test_loss", "test_rmse", "size"):
        off = np.abs(rough.observed[name] - sharp.observed[name])
        bar = rough.observed_error[name] + sharp.observed_error[name]
        assert np.all(off <= bar + 1e-14)
        assert np.all(bar <= 0.3 * np.abs(sharp.observed[name]).max())


def test_an_accuracy_counts_data_near_the_border():
    """Runs that agree in every class say nothing where outputs do not settle it."""
    x = np.linspace(-1, 1, 8)[:, None]
    task = mfpde.Problem(x, np.where(x > 0, 1.0, -1.0), block=mfpde.SHL(1), loss="logistic")
    near = {"test": (np.array([[-0.9], [1e-9], [0.9]]), np.array([[-1.0], [1.0], [1.0]]))}
    found = mfpde.limit(task, laws.Gaussian(1.0, dim=3), s_end=1.0, rtol=1e-2, observe=near)
    assert found.observed_error["test_accuracy"][-1] == pytest.approx(1 / 3)


# -- files of runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tensor", "relu", "silent"])
def test_a_search_goes_on_bit_for_bit(kind, problem, relu, silent, tmp_path):
    task, law = {"tensor": (problem, LAW), "relu": (relu, LAW), "silent": silent}[kind]
    observe = {} if kind == "silent" else OBSERVE
    how = {"s_end": 1.0, "rtol": 3e-3 if kind == "tensor" else 5e-2, "times": 3}
    straight = mfpde.limit(task, law, **how, observe=observe)
    path = tmp_path / "search.h5"
    for share in (3, 2):
        again = {"checkpoint": path, "resume": path.exists(), "max_work": straight.work // share}
        with suppress(ValueError):  # it may be too early for a result
            cut = mfpde.limit(task, law, **how, observe=observe, **again)
            assert cut.status is Status.BUDGET_SPENT
    found = mfpde.limit(task, law, **how, observe=observe, checkpoint=path, resume=True)
    for name in ("outputs", "loss", "loss_error", "outputs_error", "work"):
        np.testing.assert_array_equal(getattr(found, name), getattr(straight, name))
    for name, values in straight.observed_error.items():
        np.testing.assert_array_equal(found.observed_error[name], values)
    new = found.predict(task.x + 0.1), straight.predict(task.x + 0.1)
    np.testing.assert_array_equal(*(np.array(one) for one in new))


def test_another_search_is_refused(problem, tmp_path):
    path, how = tmp_path / "search.h5", {"s_end": 0.5, "rtol": 3e-2, "times": 2}
    mfpde.limit(problem, LAW, **how, checkpoint=path)
    again = mfpde.limit(problem, LAW, **how | {"rtol": 1e-2}, checkpoint=path, resume=True)
    assert again.success
    other = mfpde.Problem(problem.x, -problem.y, block=problem.block)
    moved = laws.Uniform([-1] * 3, [1, 1, 1.1])
    for task, law, more, word in (
        (other, LAW, {}, "problem"),
        (problem, moved, {}, "law"),
        (problem, lambda t: laws.Uniform([-1] * 3, [1, 1, 1 + 0.1 * t]), {}, "law"),
        (problem, LAW, {"s_end": 0.6}, "s_end"),
        (problem, LAW, {"seed": 1}, "seed"),
        (problem, LAW, {"rates": (0.5, 1.0, 1.0)}, "problem"),
        (problem, LAW, {"optimizer": mfpde.optimizers.HeavyBall(1.0)}, "method or optimizer"),
        (problem, LAW, {"observe": OBSERVE}, "observe"),
    ):
        with pytest.raises(ValueError, match=f"another {word}"):
            mfpde.limit(task, law, **how | more, checkpoint=path, resume=True)
    with pytest.raises(FileNotFoundError):
        mfpde.limit(problem, LAW, **how, checkpoint=tmp_path / "absent.h5", resume=True)
    with pytest.raises(ValueError, match="needs checkpoint"):
        mfpde.limit(problem, LAW, **how, resume=True)


# -- scrambles ------------------------------------------------------------------------------------


def test_runs_in_a_hurry_keep_their_place(silent):
    """Order two in their steps; and a flow that they cannot follow is no number."""
    task, law = silent
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(2), count=64, coupling="independent")
    s, watch = np.linspace(0, 4.0, 5), Watch(task, {"test": (task.x, task.y)})
    exact = mfpde.solve(task, rho, s_end=4.0, rtol=1e-8, save=s[1:].tolist())
    outputs = np.array([mfpde.predict(task, exact.at(v)) for v in s])
    errors = []
    for steps in (8, 16):
        run = hurried.run(task, rho, s, np.linspace(0, 4.0, steps + 1), watch, lambda s: None)
        errors.append(np.abs(run.outputs - outputs).max())
        assert run.gradients == 2 * steps
        np.testing.assert_allclose(run.watched["test"], run.outputs, atol=1e-14)
    assert errors[0] < 2e-2
    assert errors[1] < 0.4 * errors[0]
    wild = hurried.run(task, rho, s, np.array([0, 1, 2, 3, 4]) * 1e200, watch, lambda s: None)
    assert np.isnan(wild.outputs).all()


def _flow(alone, kernel):
    return alone._outputs(alone._x, kernel, alone._pulls(kernel))


def test_the_flow_of_u_alone_is_exact(silent):
    """Its kernel against many points, its outputs against a flow in which only u can move."""
    task, law = silent
    s = np.linspace(0, 2.0, 5)
    exact = lazy.Lazy(task, law, s)
    many = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(1), count=1 << 15)
    new = np.concatenate([task.start(), task.start()[:3] + 0.2])
    for x in (task.start(), new):
        kernel = exact._kernel(law, x, lazy.NODES[-1])
        sampled = exact._of_sample(many, many.theta[:, :, 4:], x)
        np.testing.assert_allclose(sampled, kernel, atol=3e-4)
    kernel = kernel[:8]
    # To first order in s the flow itself is that of u.
    run = mfpde.solve(task, many, s_end=1e-3, rtol=1e-6)
    short = lazy.Lazy(task, law, np.array([0.0, 1e-3]))
    moved = mfpde.predict(task, run.final) - mfpde.predict(task, many)
    found = _flow(short, kernel)
    np.testing.assert_allclose(moved, found[1] - found[0], atol=2e-6)
    slower = lazy.Lazy(task.under([0.5, 1.0, 1.0]), law, np.array([0.0, 1e-3]))
    np.testing.assert_allclose(_flow(slower, kernel)[1], 0.5 * found[1], atol=1e-8)
    assert lazy.of(task, laws.Gaussian(1.0, dim=9), s).alone(many) is None
    for block in (mfpde.Linear(1), mfpde.SHL(1, "relu")):
        assert lazy.of(mfpde.Problem(X, Y, block=block), LAW, s) is None


def test_scrambles_of_silent_laws_take_both_and_are_true(silent, monkeypatch):
    task, law = silent
    found = mfpde.limit(task, law, s_end=2.0, rtol=2e-3, times=2)
    assert found.sizes.points.hurry > 0
    monkeypatch.setattr(scrambled, "LADDER", ())
    monkeypatch.setattr(lazy, "of", lambda *args: None)
    plain = mfpde.limit(task, law, s_end=2.0, rtol=2e-3, times=2, seed=3)
    assert plain.sizes.points.hurry == 0
    assert 2 * found.work < plain.work
    off = np.sqrt(np.mean((found.outputs - plain.outputs) ** 2, axis=(1, 2)))
    assert np.all(off <= found.outputs_error + plain.outputs_error)
    # What is returned as ρ is fewer particles' worth, of runs in full.
    scale = np.sqrt(np.mean(task.y**2))
    away = mfpde.predict(task, found.final) - found.outputs[-1]
    assert np.sqrt(np.mean(away**2)) <= 0.1 * scale


@pytest.mark.parametrize("moving", [False, True])
def test_new_points_have_what_the_outputs_have(silent, moving, tmp_path):
    """At the data they are the outputs, elsewhere they and their bars are as good."""
    task, still = silent
    law = (lambda t: laws.Gaussian([0] * 4 + [1 + t] * 5)) if moving else still
    new = np.random.default_rng(1).standard_normal((40, 3))
    how = {"s_end": 2.0, "rtol": 2e-2, "times": 2}
    found = mfpde.limit(task, law, **how, observe={"new": (new, np.zeros((40, 1)))})
    np.testing.assert_allclose(found.predict(task.x).outputs, found.outputs[-1], atol=1e-6)
    np.testing.assert_allclose(found.predict().outputs, found.outputs[-1], atol=1e-6)
    outputs, error = found.predict(new)
    assert np.mean(outputs**2) / 2 == pytest.approx(found.observed["new_loss"][-1], rel=1e-5)
    rho = mfpde.ParticleMeasure.from_law(
        law, found.final.depth, count=8192, coupling="independent", seed=3
    )
    sharp = mfpde.predict(task, mfpde.solve(task, rho, s_end=2.0, rtol=1e-4).final, new)
    assert np.all(np.abs(outputs - sharp) <= error)
    assert 0.2 <= np.sqrt(np.mean(error**2)) / found.outputs_error[-1] <= 5.0
    found.save(tmp_path / "limit.h5")
    again = mfpde.Limit.load(tmp_path / "limit.h5")
    for one, other in zip(again.predict(new), found.predict(new), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_wide_runs_in_single_precision_are_as_good(silent, monkeypatch):
    task, law = silent
    double = mfpde.limit(task, law, s_end=2.0, rtol=2e-2, times=2)
    monkeypatch.setattr(study, "LARGE", 0)
    single = mfpde.limit(task, law, s_end=2.0, rtol=2e-2, times=2)
    assert any(run.final.dtype == np.float32 for _, run in single.terms)
    np.testing.assert_allclose(single.outputs, double.outputs, atol=1e-5)
    assert not np.array_equal(single.outputs, double.outputs)
    assert single.final.dtype == np.float64


def test_sizes_grow_by_what_they_promise():
    small = Scrambles(256, 8)
    assert grown(small, 1.1)[0].total <= 4 * small.total
    assert grown(small, 100.0)[0].total <= 16 * small.total
    for excess in (1.1, 2.0, 10.0):
        options = grown(small, excess)
        assert all(one.total > small.total for one in options)
        assert [one.total for one in options] == sorted(one.total for one in options)[::-1]


# -- jumps and kinks in depth ---------------------------------------------------------------------


def test_the_order_in_depth_is_the_laws():
    def order(shift):
        return LawInDepth(lambda t: laws.Gaussian(1.0, shift(t), dim=2), 2).order()

    assert order(lambda t: float(t > 0.37)) == 1.0
    assert order(lambda t: abs(t - 0.61)) == 2.0
    assert order(lambda t: np.sin(5 * t)) == 4.0
    assert order(lambda t: t * t) == 4.0


@pytest.mark.parametrize("kind", ["kink", "jump"])
def test_bars_of_laws_that_are_not_smooth_in_depth(problem, kind):
    def law(t):
        shift = float(t > 0.4137) if kind == "jump" else 2.0 * abs(t - 0.4137)
        return laws.Gaussian([0.0, 0.7, 0.5], np.array([0.6, -0.7, 0.5]) * shift)

    found = mfpde.limit(problem, law, s_end=1.0, rtol=1e-2, times=2)
    rho = mfpde.ParticleMeasure.from_law(
        law, mfpde.Depth(600), count=(1, 8, 8), rule="gauss", coupling="tied"
    )
    exact = mfpde.predict(problem, mfpde.solve(problem, rho, s_end=1.0, rtol=1e-4).final)
    off = np.sqrt(np.mean((found.outputs[-1] - exact) ** 2))
    assert off <= found.outputs_error[-1]


def test_scrambles_on_threads_of_their_own(silent, tmp_path):
    """The same to the last bit on two threads, and a budget ends all that is under way."""
    task, law = silent
    how = {"s_end": 1.0, "rtol": 2e-2, "times": 2}
    before = numba.get_num_threads()
    found = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        found.append(mfpde.limit(task, law, **how, checkpoint=tmp_path / f"{threads}.h5"))
        with pytest.raises(ValueError, match="max_seconds"):
            mfpde.limit(task, law, **how, max_seconds=1e-3)
    numba.set_num_threads(before)
    one, two = found
    np.testing.assert_array_equal(one.outputs, two.outputs)
    np.testing.assert_array_equal(one.outputs_error, two.outputs_error)
    assert one.work == two.work
