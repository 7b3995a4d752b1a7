"""What ``mfpde.stationary`` returns besides the state: observed series, files, pictures."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

import mfpde
from mfpde import entropic
from mfpde.measures import Grid

X, X_TEST = np.linspace(-1.5, 1.5, 7)[:, None], np.linspace(-1.2, 1.3, 4)[:, None]
PROBLEM = mfpde.Problem(
    X, np.tanh(2 * X), block=mfpde.Linear(1), weight_decay=0.2, quartic_decay=0.1, temperature=0.1
)
NU = entropic.prior(PROBLEM, mfpde.Depth(2, "heun"), Grid.of_box([[-3.0, 3.0]] * 2, 12))


def masses(problem, rho):
    return rho.masses


def solved(**how):
    watched = {"test": (X_TEST, np.tanh(2 * X_TEST)), "masses": masses}
    return mfpde.stationary(PROBLEM, NU, observe=watched, **how)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("how", [{}, {"continuation": True}, {"method": "anderson"}])
def test_what_is_observed_are_numbers_of_the_iterates(how):
    found, plain = solved(**how), mfpde.stationary(PROBLEM, NU, **how)
    assert found.history == plain.history  # looking changes nothing
    seen = found.observed
    assert set(seen) == {"test_loss", "test_rmse", "masses"}
    assert all(len(values) == len(found.history) for values in seen.values())
    np.testing.assert_allclose(seen["masses"][0], NU.masses, atol=1e-14)
    np.testing.assert_array_equal(seen["masses"][-1], found.final.masses)
    for k in (0, len(found.history) // 2, -1):
        rho = NU.with_state(seen["masses"][k])
        outputs = mfpde.predict(PROBLEM, rho, X_TEST)
        rmse = np.sqrt(np.mean((outputs - np.tanh(2 * X_TEST)) ** 2))
        assert seen["test_rmse"][k] == pytest.approx(rmse, rel=1e-12)
        assert seen["test_loss"][k] > 0.5 * rmse**2  # the penalty is part of it


def test_files_keep_all_of_it(tmp_path):
    found, path = solved(), tmp_path / "found.h5"
    found.save(path)
    again = entropic.Stationary.load(path)
    assert repr(again) == repr(found)
    assert again.history == found.history
    for name in ("status", "fit", "J", "energy", "residual", "iterations", "message"):
        assert getattr(again, name) == getattr(found, name)
    np.testing.assert_array_equal(again.final.masses, found.final.masses)
    np.testing.assert_array_equal(again.kl, found.kl)
    np.testing.assert_array_equal(again.observed["masses"], found.observed["masses"])
    assert mfpde.loss(again.problem, again.final) == mfpde.loss(PROBLEM, found.final)
    longer = mfpde.stationary(again.problem, again.final, tol=1e-10)  # a state is a start
    assert pytest.approx(found.J, abs=1e-7) == longer.J
    with pytest.raises(ValueError, match="not a run file of mfpde run but of mfpde stationary"):
        mfpde.Solution.load(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="cut short"):
        entropic.Stationary.load(path)


def test_pictures_and_labelled_arrays():
    pytest.importorskip("xarray")
    found = solved(continuation=True)
    figure = found.plot()
    figure.canvas.draw()
    assert len(figure.axes) == 4
    line = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(line, [row.residual for row in found.history])
    np.testing.assert_array_equal(figure.axes[-1].lines[0].get_ydata(), found.kl)
    table = found.to_xarray()
    assert table.mass.dims == ("t", *PROBLEM.block.coordinates)
    np.testing.assert_array_equal(table.mass, found.final.masses)
    np.testing.assert_array_equal(table.test_loss, found.observed["test_loss"])
    np.testing.assert_array_equal(table.J, [row.J for row in found.history])


@pytest.mark.parametrize(
    ("observe", "words"),
    [
        ({"J": masses}, "observe must have names"),
        ({"mass": masses}, "observe must have names"),
        ({"test": (X_TEST, X_TEST), "test_loss": masses}, "a series 'test_loss' of its own"),
    ],
)
def test_taken_names_are_refused(observe, words):
    with pytest.raises(ValueError, match=words):
        mfpde.stationary(PROBLEM, NU, observe=observe)
