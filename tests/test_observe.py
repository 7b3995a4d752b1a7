"""Scores on held-out data, and what a run records of them: series, files, resume, pictures."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from problems import gaussian_measure, sine

import mfpde
from mfpde import laws

X = np.array([[-0.55], [0.15], [0.85]])
Y = np.sin(np.pi * X)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def spread(problem, rho):
    return np.sqrt((rho.theta**2).mean(axis=(0, 1)))


def run(problem=None, **how):
    problem = problem or sine(8)
    rho = gaussian_measure(problem, mfpde.Depth(2, "rk4"))
    how = {"s_end": 2.0, "rtol": 1e-3, "observe": {"test": (X, Y), "spread": spread}, **how}
    return mfpde.solve(problem, rho, **how)


# -- scores ---------------------------------------------------------------------------------------


def test_accuracy_counts_classes_also_where_the_data_lack_one():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((30, 2)), np.arange(30) % 3
    problem = mfpde.Problem(x, labels, block=mfpde.SHL(3), loss="cross_entropy")
    rho = gaussian_measure(problem, mfpde.Depth(2, "euler"))
    largest = mfpde.predict(problem, rho).argmax(axis=1)
    assert mfpde.evaluate(problem, rho)["accuracy"] == pytest.approx((largest == labels).mean())
    some = labels != 1
    found = mfpde.evaluate(problem, rho, x[some], labels[some])
    assert found["accuracy"] == pytest.approx((largest == labels)[some].mean())
    assert found["loss"] == mfpde.loss(problem.on(x[some], labels[some]), rho)
    weights = np.arange(1.0, some.sum() + 1)
    found = mfpde.evaluate(problem, rho, x[some], labels[some], weights)
    right = (largest == labels)[some]
    assert found["accuracy"] == pytest.approx((weights @ right) / weights.sum())


def test_two_classes_by_sign():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((12, 1)), rng.choice([-1.0, 1.0], 12)
    problem = mfpde.Problem(x, y, block=mfpde.SHL(1), loss="logistic")
    rho = gaussian_measure(problem, mfpde.Depth(2, "euler"))
    right = np.sign(mfpde.predict(problem, rho)[:, 0]) == y
    assert mfpde.evaluate(problem, rho)["accuracy"] == pytest.approx(right.mean())


def test_one_of_x_and_y_is_refused():
    problem = sine(8)
    rho = gaussian_measure(problem, mfpde.Depth(2, "euler"))
    for given in ({"x": X}, {"y": Y}, {"weights": np.ones(8)}):
        with pytest.raises(ValueError, match="x and y must be given together"):
            mfpde.evaluate(problem, rho, **given)


# -- along a run ----------------------------------------------------------------------------------


def test_series_are_the_scores_of_the_states_and_change_nothing():
    sol = run(save="steps")
    assert set(sol.observed) == {"test_loss", "test_rmse", "spread"}
    for k, s in enumerate(sol.s):
        found = mfpde.evaluate(sol.problem, sol.at(s), X, Y)
        assert sol.observed["test_loss"][k] == found["loss"]
        assert sol.observed["test_rmse"][k] == found["rmse"]
        np.testing.assert_array_equal(sol.observed["spread"][k], spread(None, sol.at(s)))
    np.testing.assert_array_equal(sol.loss, run(observe=None).loss)
    assert run(observe=None).observed == {}


def test_files_and_resuming_keep_them(tmp_path):
    path, watched = tmp_path / "run.h5", {"spread": spread}
    straight = run()
    stopped = run(callback=lambda sol: sol.s.size == 2, checkpoint=path)
    assert stopped.observed["spread"].shape == (2, 5)
    again = mfpde.Solution.load(path)
    for name, values in stopped.observed.items():
        np.testing.assert_array_equal(again.observed[name], values)
    with pytest.raises(ValueError, match=r"functions, \['spread'\], whose code"):
        mfpde.resume(path)
    with pytest.raises(ValueError, match="functions"):
        mfpde.resume(path, observe={**watched, "more": spread})
    rest = mfpde.resume(path, observe=watched)
    for sol in (rest, mfpde.Solution.load(path)):
        for name, values in straight.observed.items():
            np.testing.assert_array_equal(sol.observed[name], values)


@pytest.mark.parametrize("kind", ["grid", "joint"])
def test_other_measures_are_observed_as_well(kind):
    problem, law = sine(6), laws.Uniform([-1] * 2, [1] * 2)
    if kind == "grid":
        problem = mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(1, bias=False))
        rho = mfpde.GridMeasure.from_law(law, mfpde.Depth(2), cells=6)
    else:
        rho = mfpde.JointMeasure.from_law(laws.Gaussian(1.0, dim=5), count=6)
    sol = mfpde.solve(problem, rho, s_end=0.2, observe={"test": (X, Y)}, progress=False)
    assert sol.observed["test_loss"][-1] == mfpde.evaluate(problem, sol.final, X, Y)["loss"]
    assert sol.observed["test_loss"].shape == sol.s.shape


def test_pictures_and_labelled_arrays_show_them():
    pytest.importorskip("xarray")
    sol = run()
    left, _, right = sol.plot().axes
    assert [line.get_label() for line in left.lines] == ["loss", "test_loss"]
    assert [line.get_label() for line in right.lines] == ["test_rmse"]
    table = sol.to_xarray()
    np.testing.assert_array_equal(table.test_loss, sol.observed["test_loss"])
    assert table.spread.dims == ("s", "spread_0")


@pytest.mark.parametrize(
    ("observe", "error", "word"),
    [
        ({"test": (X, Y[:2])}, ValueError, r"observe\['test'\]: y must have as many rows"),
        ({"test": X}, TypeError, r"observe\['test'\] must be data"),
        ({"loss": spread}, ValueError, "none of s, loss"),
        ({"u0": spread}, ValueError, "none of s, loss"),
        ({"a b": spread}, ValueError, "identifiers"),
        ({"word": lambda p, rho: "much"}, TypeError, r"observe\['word'\] must return a number"),
        ({"none": lambda p, rho: None}, TypeError, r"observe\['none'\] must return a number"),
        ({"one": lambda rho: 1.0}, TypeError, r"observe\['one'\] must be a function of \(problem"),
        ({"test": (X, Y), "test_loss": spread}, ValueError, "a series 'test_loss' of its own"),
    ],
)
def test_what_cannot_be_observed_is_refused(observe, error, word):
    with pytest.raises(error, match=word):
        run(observe=observe)


def test_a_shape_that_changes_is_refused():
    count = iter(range(1, 100))
    with pytest.raises(ValueError, match="one shape"):
        run(observe={"odd": lambda problem, rho: np.zeros(next(count))})


def test_networks_record_scores_on_other_data(tmp_path):
    problem, law = sine(8), laws.Gaussian(1.0, dim=5)
    how = {"layers": 3, "width": 4, "seeds": 2, "s_end": 1.0, "step": 0.1, "record": 5}
    path, observe = tmp_path / "run.h5", {"test": (X, Y)}
    found = mfpde.resnet.train(problem, law, observe=observe, save=[0.5], checkpoint=path, **how)
    assert found.observed["test_rmse"].shape == (2, 3)
    for k, s in enumerate(found.saved_s):
        for index in (0, 1):
            scores = mfpde.evaluate(problem, found.at(s, index), X, Y)
            assert found.observed["test_loss"][index, k] == pytest.approx(scores["loss"], rel=1e-14)
            assert found.observed["test_rmse"][index, k] == pytest.approx(scores["rmse"], rel=1e-14)
    again = mfpde.resnet.resume(path, observe=observe)
    np.testing.assert_array_equal(again.observed["test_loss"], found.observed["test_loss"])
    with pytest.raises(TypeError, match=r"observe\['test'\] must be data"):
        mfpde.resnet.train(problem, law, observe={"test": 3}, **how)
