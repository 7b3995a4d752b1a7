"""The scripts on rates and optimisers, small, with their verdicts, and their figures."""

import pytest
from scripts import held_and_drawn

FIGURES = {"phase_diagram": 3, "optimisers": 4}


@pytest.mark.parametrize("name", FIGURES)
def test_claims_hold_and_the_figure_shows_the_data(name, tmp_path):
    assert len(held_and_drawn(name, tmp_path)[1]) == FIGURES[name]
