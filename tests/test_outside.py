"""A limiter from outside the package serves runs like the ones inside."""

import numpy as np
import pytest

import mfpde
from mfpde import laws
from mfpde.flows.schemes import grid as schemes
from mfpde.volumes import limiters


def superbee(near, b, a):
    """Half of Roe's slope, cut so that no face takes more than twice its cell."""
    if a * b <= 0.0:
        return 0.0
    small, large = min(abs(a), abs(b)), max(abs(a), abs(b))
    slope = max(min(2.0 * small, large), small)
    half = 0.5 * slope if a > 0.0 else -0.5 * slope
    return min(max(half, -near), near)


def smooth(near, b, a):
    """van Leer's formula, written again."""
    return a * b / (a + b) if a * b > 0.0 else 0.0


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(limiters, "LIMITERS", dict(limiters.LIMITERS))
    monkeypatch.setattr(schemes, "LIMITERS", limiters.LIMITERS)
    before = dict(schemes.SCHEMES)
    for name, formula in (("superbee", superbee), ("smooth", smooth)):
        limiters.register(name, formula)
        schemes.register(f"muscl_{name}", name)
    yield
    schemes.SCHEMES.clear()
    schemes.SCHEMES.update(before)


def run(method, **how):
    block = mfpde.SHL(1, bias=False)
    x = np.linspace(-1, 1, 6)[:, None]
    problem = mfpde.Problem(x, 0.5 * x, block=block)
    rho = mfpde.GridMeasure.from_law(
        laws.Gaussian(0.8, dim=2), mfpde.Depth(2, "heun"), cells=12, box=[(-4, 4)] * 2
    )
    return mfpde.solve(problem, rho, s_end=0.5, method=method, **how)


def test_a_limiter_from_outside(registered, tmp_path):
    ours, theirs = run("muscl_smooth"), run("muscl")
    np.testing.assert_allclose(ours.final.masses, theirs.final.masses, atol=1e-15)
    sol = run("muscl_superbee", checkpoint=tmp_path / "run.h5")
    assert sol.success
    assert sol.stats["energy_rise"] == 0.0
    assert sol.stats["mass_drift"] < 1e-13
    assert np.abs(sol.final.masses - theirs.final.masses).max() > 1e-8
    longer = mfpde.resume(tmp_path / "run.h5", s_end=0.6)
    assert longer.loss[-1] < sol.loss[-1]


def test_bad_limiters_are_refused(registered):
    with pytest.raises(ValueError, match="'minmod' is taken"):
        limiters.register("minmod", smooth)
    with pytest.raises(ValueError, match="empties cells"):
        limiters.register("greedy", lambda near, b, a: 3.0 * near)
    with pytest.raises(ValueError, match="limiter must be one of"):
        schemes.register("muscl_new", "unknown")
