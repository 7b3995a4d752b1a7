"""The validation script, small, with its verdicts, and its figure by its data."""

import pytest
from scripts import script

pytest.importorskip("sklearn")


def test_claims_hold_and_the_figure_shows_the_data(tmp_path):
    assert script("validation", "entropic_grid").main(["--quick", "--out", str(tmp_path)]) == 0
    module = script("figures", "entropic_grid")
    assert module.main(["--data", str(tmp_path)]) == 0
    assert (tmp_path / "entropic_grid.pdf").stat().st_size > 5000
    first, _, third, fitted, *densities = module.draw(tmp_path).axes
    assert [line.get_ydata()[-1] < 1e-5 for line in first.lines[:3]] == [True] * 3
    assert [line.get_ydata()[-1] < 1e-5 for line in third.lines[:3]] == [False, True, True]
    assert len(fitted.lines) == 4  # the data and three curves
    assert len(densities) == 2


def test_the_damping_that_contracts_is_the_one_of_the_theory(tmp_path):
    assert script("validation", "picard_threshold").main(["--quick", "--out", str(tmp_path)]) == 0
    module = script("figures", "picard_threshold")
    assert module.main(["--data", str(tmp_path)]) == 0
    _, converged, failed, _ = module.draw(tmp_path).axes[0].lines
    assert converged.get_ydata().max() < 2 / 0.3 - 1 < failed.get_ydata().min()
