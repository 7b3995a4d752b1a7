"""Every test runs with floating-point errors raised: a silent NaN is a failure."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
for _folder in ("tests", "validation", "figures"):
    sys.path.insert(0, str(ROOT / _folder))


@pytest.fixture(autouse=True)
def _raise_floating_point_errors():
    with np.errstate(all="raise", under="ignore"):
        yield


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
