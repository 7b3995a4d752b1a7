"""The scripts on homogeneity, support, traps and certificates, small, and their figures."""

import numpy as np
import pytest
from scripts import script

NAMES = (
    "homogeneous_descent",
    "full_support",
    "depth_traps",
    "certified_width",
    "wider_certificates",
)


@pytest.mark.parametrize("name", NAMES)
def test_claims_hold_and_the_figure_shows_the_data(name, tmp_path):
    assert script("validation", name).main(["--quick", "--out", str(tmp_path)]) == 0
    module = script("figures", name)
    assert module.main(["--data", str(tmp_path)]) == 0
    assert {path.suffix for path in tmp_path.glob(f"{name}.*")} == {".pdf", ".png"}
    axes = module.draw(tmp_path).axes
    assert len(axes) == 2
    for one in axes:
        assert one.get_xlabel()
        assert one.get_ylabel()
        drawn = [np.asarray(line.get_ydata(), float) for line in one.lines]
        assert all(np.isfinite(values).all() for values in drawn)
