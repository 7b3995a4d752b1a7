"""The main job in miniature, as a user runs it, and its figure by its data."""

import numpy as np
import pytest
from scripts import script
from study import Claim, pooled, verdict

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
    for name in ("networks", "depth", "gaps", "ends", "descent"):
        assert (out / f"{name}.csv").stat().st_size > 50


def test_networks_go_to_zero_loss_beside_the_limit(out):
    columns = script("figures", "zero_loss").columns
    ends, gaps = columns(out / "ends.csv"), columns(out / "gaps.csv")
    many = ends["layers"] * ends["width"] > 24
    assert np.all(ends["loss"][many] <= 1e-10)
    assert np.all(ends["seen"][many] < 1e-4)
    assert np.all(ends["unseen"] > ends["uncertain"])
    assert np.all(ends["unseen"] < 0.5)
    riding = (gaps["layers"] == 4) & (gaps["width"] <= 16)
    assert np.array_equal(np.isfinite(gaps["cot"]), riding)
    first, last = (gaps["cot"][riding & (gaps["s"] == s)] for s in (1.0, 1e4))
    assert np.all(first < 0.05 * last)  # common random numbers: apart only as training goes on


def test_pooled_uncertainty_is_that_of_the_mean():
    draws = np.random.default_rng(0).standard_normal((4, 500, 3))
    mean, uncertain = pooled(draws)
    np.testing.assert_allclose(mean, draws.mean(axis=0))
    assert uncertain == pytest.approx(np.sqrt(np.mean(mean**2)), rel=0.1)


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


def test_a_goal_that_is_missed_is_reported(capsys, tmp_path):
    """The exit status is that of the claims, not of the script's end."""
    assert verdict([Claim("a", "b", True)], tmp_path) == 0
    assert verdict([Claim("a", "b", True), Claim("c", "d", False)], tmp_path) == 1
    capsys.readouterr()
    assert verdict([Claim("a", "b", True), Claim("c", "d", None)], tmp_path) == 0
    assert "1 claim(s) not resolved." in capsys.readouterr().out
    written = (tmp_path / "claims.csv").read_text().splitlines()
    assert written == ["verdict,claim,measured", "holds,a,b", "open,c,d"]
