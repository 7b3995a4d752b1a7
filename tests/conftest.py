"""Every test runs with floating-point errors raised: a silent NaN is a failure."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _raise_floating_point_errors():
    with np.errstate(all="raise", under="ignore"):
        yield
