"""Pictures of a run: what the axes show, and the style it is saved in."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib import pyplot as plt
from problems import gaussian_measure, sine

import mfpde
from mfpde import plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("first", [1e-12, 1e-3])
def test_a_stiff_run_shows_no_negative_time(first):
    s = np.concatenate([[0.0], np.geomspace(first, 1e4, 50)])
    _, axes = plt.subplots()
    plots.curve(axes, s, np.exp(-s / 1e3))
    assert axes.get_xlim() == (0.0, 1e4)
    assert axes.get_xscale() == "symlog"
    ends = axes.transData.transform([[0.0, 1.0], [1e4, 1.0]])[:, 0]
    box = axes.get_window_extent()
    np.testing.assert_allclose(ends, [box.x0, box.x1])
    linear = axes.transData.transform([[axes.xaxis.get_transform().linthresh, 1.0]])[0, 0]
    assert (linear - box.x0) < 0.25 * box.width  # the decades get the room


def test_a_short_run_is_linear_in_s():
    s = np.linspace(0.0, 5.0, 11)
    _, axes = plt.subplots()
    plots.curve(axes, s, np.exp(-s))
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert axes.get_xlim() == (0.0, 5.0)


def test_the_style_is_kept_when_the_caller_saves(tmp_path):
    problem = sine(4)
    rho = gaussian_measure(problem, mfpde.Depth(1), count=4)
    figure = mfpde.solve(problem, rho, s_end=1.0, progress=False).plot()
    figure.savefig(tmp_path / "own.png")
    with plots.style():
        figure.savefig(tmp_path / "styled.png")
    pictures = [matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("own", "styled")]
    np.testing.assert_array_equal(*pictures)
    assert pictures[0].shape[1] > 1900  # 6.8 in at the style's 300 dpi, not pyplot's 100
