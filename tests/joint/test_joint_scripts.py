"""The validation scripts hold in their small versions, and the figures draw from their data."""

import pytest
from scripts import held_and_drawn


@pytest.mark.parametrize("name", ["joint_velocity", "depth_waves", "joint_flow", "joint_grid"])
def test_every_claim_holds_and_is_drawn(name, tmp_path):
    assert all(axes.has_data() for axes in held_and_drawn(name, tmp_path)[1])
