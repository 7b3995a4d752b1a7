"""The first run says that kernels are compiled, and counts that time as compilation."""

import os
import subprocess
import sys

RUN = """
import numpy as np, mfpde
x = np.linspace(-1, 1, 4)[:, None]
block = mfpde.Linear(1)
problem = mfpde.Problem(x, x, block=block)
rho = mfpde.JointMeasure.from_law(mfpde.laws.Gaussian(1.0, dim=2), count=4)
sol = mfpde.solve(problem, rho, s_end=0.1, method="rk45", progress=True)
print(sol.stats["seconds"]["compilation"])
"""


def first(folder):
    """A run in a fresh interpreter with this folder as numba's cache."""
    found = subprocess.run(
        [sys.executable, "-c", RUN],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(found.stdout), found.stderr


def test_an_empty_cache_is_told_once_and_a_full_one_not_at_all(tmp_path):
    seconds, told = first(tmp_path)
    assert seconds > 0.0
    assert told.count("compiling kernels") == 1
    seconds, told = first(tmp_path)
    assert seconds == 0.0
    assert "compiling" not in told
