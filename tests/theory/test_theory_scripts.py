"""Each validation script of the room, small, with its verdicts, and its figure by its data."""

import numpy as np
import pytest
from scripts import held_and_drawn

FIGURES = {
    "linear_exact": 2,
    "polyak_lojasiewicz": 3,
    "certificate": 3,
    "no_bad_minima": 2,
    "shallow_comparison": 2,
}


@pytest.mark.parametrize("name", FIGURES)
def test_claims_hold_and_the_figure_shows_the_data(name, tmp_path):
    axes = held_and_drawn(name, tmp_path)[1]
    assert len(axes) == FIGURES[name]
    if name == "linear_exact":
        x, y = axes[0].lines[0].get_data()
        assert np.polyfit(np.log(x), np.log(y), 1)[0] == pytest.approx(-1.0, abs=0.1)
