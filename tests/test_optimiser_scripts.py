"""The scripts on rates and optimisers, small, with their verdicts, and their figures."""

import numpy as np
import pytest
from scripts import script

FIGURES = {"phase_diagram": 3, "optimisers": 4}


@pytest.mark.parametrize("name", FIGURES)
def test_claims_hold_and_the_figure_shows_the_data(name, tmp_path):
    assert script("validation", name).main(["--quick", "--out", str(tmp_path)]) == 0
    module = script("figures", name)
    assert module.main(["--data", str(tmp_path)]) == 0
    assert (tmp_path / f"{name}.pdf").stat().st_size > 5000
    axes = module.draw(tmp_path).axes
    assert len(axes) == FIGURES[name]
    for one in axes:
        assert one.get_xlabel()
        assert one.get_ylabel()
        drawn = [np.asarray(line.get_ydata(), float) for line in one.lines]
        assert all(np.isfinite(values).all() for values in drawn if values.size > 1)
