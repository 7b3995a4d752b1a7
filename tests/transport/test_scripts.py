"""The validation scripts hold in their small versions, and the figure draws from their data."""

import numpy as np
import pytest
from scripts import held_and_drawn, script


def test_every_claim_on_conditional_transport_holds(tmp_path):
    study = script("validation", "conditional_ot")
    assert study.main(["--quick", "--out", str(tmp_path)]) == 0
    figure = script("figures", "conditional_ot")
    moved = figure.columns(tmp_path / "rays.csv")
    assert np.unique(moved["t"]).size == 3
    assert figure.main(["--data", str(tmp_path)]) == 0
    assert {path.suffix for path in tmp_path.glob("conditional_ot.*")} == {".pdf", ".png"}


def test_every_claim_on_the_metric_holds(tmp_path):
    assert script("validation", "transport_metric").main(["--quick", "--out", str(tmp_path)]) == 0
    figure = script("figures", "transport_metric")
    ratio = figure.draw(tmp_path).axes[0].lines[1].get_ydata()
    assert np.all(np.diff(ratio) >= -1e-12)
    assert abs(ratio[-1] - 1.0) < 1e-12
    assert figure.main(["--data", str(tmp_path)]) == 0


def test_every_claim_on_the_proximal_step_holds(tmp_path):
    assert script("validation", "proximal_step").main(["--quick", "--out", str(tmp_path)]) == 0
    figure = script("figures", "proximal_step")
    left, right = figure.draw(tmp_path).axes
    moved, apart = (np.log(line.get_ydata()) for line in left.lines[:2])
    h = np.log(left.lines[0].get_xdata())
    assert abs(np.polyfit(h, moved, 1)[0] - 1) < 0.1
    assert abs(np.polyfit(h, apart, 1)[0] - 2) < 0.2
    assert right.has_data()
    assert figure.main(["--data", str(tmp_path)]) == 0


@pytest.mark.parametrize("name", ["stability", "depth_regularity", "depth_growth"])
def test_every_claim_on_the_flow_holds_and_is_drawn(name, tmp_path):
    bound, *grown = (line.get_ydata() for line in held_and_drawn(name, tmp_path)[1][0].lines)
    if name == "stability":
        assert all(np.all(one <= 1.01 * bound) for one in grown)
