"""The validation scripts hold in their small versions, and the figures draw from their data."""

import pytest
from scripts import script


@pytest.mark.parametrize("name", ["joint_velocity", "depth_waves", "joint_flow", "joint_grid"])
def test_every_claim_holds_and_is_drawn(name, tmp_path):
    assert script("validation", name).main(["--quick", "--out", str(tmp_path)]) == 0
    figure = script("figures", name)
    assert all(axes.has_data() for axes in figure.draw(tmp_path).axes)
    assert figure.main(["--data", str(tmp_path)]) == 0
    assert {path.suffix for path in tmp_path.glob(f"{name}.*")} == {".pdf", ".png"}
