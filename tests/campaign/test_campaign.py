"""A small random part of every campaign, another one at each run; all of it: ``make campaign``."""

import os
from pathlib import Path

import everything
import numpy as np
import pytest

# Shares that take a few seconds each on one core.
SHARES = {"numbers": 0.02, "damage": 0.004, "kills": 0.015, "nan": 0.015, "exploits": 0.05}


@pytest.fixture(autouse=True)
def _as_users_run():
    """Floating-point errors as NumPy sets them; back to this folder at the end."""
    here = Path.cwd()
    with np.errstate(all="ignore"):
        yield
    os.chdir(here)


@pytest.mark.parametrize("campaign", SHARES)
def test_a_random_part_of_the_campaign(campaign):
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")  # shown where the test fails
    counts = everything.run(campaign, SHARES[campaign], seed)
    assert counts["right"] + counts["clear"] == sum(counts.values()) > 0
