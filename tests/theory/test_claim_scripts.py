"""The scripts on homogeneity, support, traps and certificates, small, and their figures."""

import pytest
from scripts import held_and_drawn

NAMES = (
    "homogeneous_descent",
    "full_support",
    "depth_traps",
    "certified_width",
    "wider_certificates",
)


@pytest.mark.parametrize("name", NAMES)
def test_claims_hold_and_the_figure_shows_the_data(name, tmp_path):
    assert len(held_and_drawn(name, tmp_path)[1]) == 2
