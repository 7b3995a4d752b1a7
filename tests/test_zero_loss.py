"""The main job in miniature, as a user runs it, and its figure by its data."""

import numpy as np
import pytest
from scripts import script
from study import Claim, verdict

import mfpde

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zero_loss")
    assert script("validation", "zero_loss").main(["--quick", "--out", str(folder)]) == 0
    return folder


def test_writes_what_it_says(out):
    limit = mfpde.Solution.load(out / "limit.h5")
    assert limit.loss[-1] <= 1e-10
    assert np.all(np.diff(limit.loss) <= 0)
    for name in ("networks", "curves", "depth", "reference"):
        assert (out / f"{name}.csv").stat().st_size > 50


def test_figure_draws_the_data(out):
    module = script("figures", "zero_loss")
    assert module.main(["--data", str(out)]) == 0
    assert (out / "zero_loss.pdf").stat().st_size > 5000
    left, _, middle, right = module.draw(out).axes
    curve = left.lines[0].get_ydata()
    assert curve[0] / curve[-1] > 1e9
    assert len(middle.lines) == 7  # three depths with their fits, and the slope
    x, y = right.lines[0].get_data()
    assert np.polyfit(np.log(x), np.log(y), 1)[0] == pytest.approx(-1.0, abs=0.15)


def test_a_goal_that_is_missed_is_reported(capsys):
    """The exit status is that of the claims, not of the script's end."""
    assert verdict([Claim("a", "b", True)]) == 0
    assert verdict([Claim("a", "b", True), Claim("c", "d", False)]) == 1
    capsys.readouterr()
    assert verdict([Claim("a", "b", True), Claim("c", "d", None)]) == 0
    assert "1 claim(s) not resolved." in capsys.readouterr().out
