"""What ``import mfpde`` leaves out, what comes when asked for, and compilation ahead of time."""

import subprocess
import sys

import numpy as np
import pytest
from problems import gaussian_measure, sine
from rooms import public

import mfpde

SCIPY = ("linalg", "special", "sparse", "stats", "integrate", "optimize")
OTHERS = ("matplotlib", "h5py", "torch", "ot", "tqdm", "sklearn", "mfpde.transport", "mfpde.theory")
HEAVY = (*(f"scipy.{name}" for name in SCIPY), *OTHERS)


def test_a_cold_import_brings_nothing_heavy():
    code = f"import sys, mfpde; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in public(mfpde):
        assert getattr(mfpde, name) is not None
        assert name in dir(mfpde)
    assert mfpde.cot_distance is mfpde.transport.cot_distance
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mfpde.nothing  # noqa: B018


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
@pytest.mark.parametrize("method", ["rk45", "implicit"])
def test_after_warmup_a_run_compiles_nothing(activation, method):
    assert mfpde.warmup() > 0
    problem = sine(8, activation=activation)
    rho0 = gaussian_measure(problem, mfpde.Depth(2, "rk4"))
    run = mfpde.solve(problem, rho0, s_end=0.5, method=method)
    assert run.stats["seconds"]["compilation"] == 0


@pytest.mark.parametrize("method", ["muscl", "upwind", "implicit"])
def test_after_warmup_a_grid_compiles_nothing(method):
    mfpde.warmup()
    law = mfpde.laws.Uniform([-1] * 3, [1] * 3)
    problem = mfpde.Problem(np.ones((3, 1)), np.ones((3, 1)), block=mfpde.SHL(1))
    rho0 = mfpde.GridMeasure.from_law(law, mfpde.Depth(2), cells=8)
    run = mfpde.solve(problem, rho0, s_end=0.2, method=method)
    assert run.stats["seconds"]["compilation"] == 0
