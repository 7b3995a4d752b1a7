"""The calibration of the limit's error bars, small, and its figure."""

import numpy as np
from scripts import script
from study import Sizes


def test_bars_hold_and_the_figure_shows_the_data(tmp_path):
    module = script("validation", "limit_calibration")
    assert module.measure(Sizes(seed=11, cases=2), tmp_path)
    rows = np.genfromtxt(tmp_path / "cases.csv", delimiter=",", names=True)
    assert np.all(rows["true"] <= rows["claimed"])
    assert np.all(rows["claimed"] <= rows["rtol"])
    figure = script("figures", "limit_calibration").draw(tmp_path)
    drawn = figure.axes[0].lines[0].get_ydata().size + figure.axes[0].lines[1].get_ydata().size
    assert drawn == 2
