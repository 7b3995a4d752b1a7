"""What a run says of its whole error, against the same flow at a far tighter tolerance."""

from dataclasses import replace

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde.flows import companion
from mfpde.flows.particle_flow import ParticleFlow

DEPTH = mfpde.Depth(2, "rk4")


def plateau():
    """sin 2πx: the flow leaves a plateau and magnifies what errs there."""
    x = np.linspace(-1, 1, 12)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * np.pi * x), block=mfpde.SHL(2))
    return problem, gaussian_measure(problem, DEPTH, count=24), 60.0, "rk45"


def classes():
    problem = sine(10, loss="cross_entropy")
    return problem, gaussian_measure(problem, DEPTH), 30.0, "auto"


def stiff():
    problem = sine(8, weight_decay=0.01)
    return problem, gaussian_measure(problem, DEPTH), 40.0, "implicit"


@pytest.mark.parametrize("case", [plateau, classes, stiff])
def test_the_estimate_is_about_the_error(case):
    problem, rho0, s_end, method = case()
    how = {"s_end": s_end, "save": 3}
    run = mfpde.solve(problem, rho0, method=method, rtol=1e-3, global_error=True, **how)
    exact = mfpde.solve(problem, rho0, method="rk45", rtol=1e-8, atol=1e-12, **how)
    flow = ParticleFlow(problem, rho0)
    pairs = list(zip(run.states, exact.states, strict=True))
    state = [flow.norm(a - b) for a, b in pairs]
    loss = [abs(flow.at(a).loss / flow.at(b).loss - 1) for a, b in pairs]
    np.testing.assert_array_equal(run.errors.s, run.saved_s)
    assert run.errors.loss[0] == run.errors.state[0] == 0.0
    assert 0.3 <= run.errors.loss.max() / max(loss) <= 11.0
    assert 0.3 <= run.errors.state.max() / max(state) <= 11.0
    assert run.error == run.errors.loss[-1]
    assert f"at most at {run.errors.loss.max():.1e}" in run.message


def short():
    problem = sine(8)
    return problem, gaussian_measure(problem, DEPTH, count=16)


def test_the_run_itself_is_not_touched_and_files_keep_the_errors(tmp_path):
    problem, rho0 = short()
    how = {"s_end": 4.0, "rtol": 1e-3, "save": 2}
    alone = mfpde.solve(problem, rho0, **how)
    path = tmp_path / "run.h5"
    run = mfpde.solve(problem, rho0, global_error=True, checkpoint=path, **how)
    assert alone.error is None
    assert alone.errors is None
    np.testing.assert_array_equal(run.loss, alone.loss)
    np.testing.assert_array_equal(run.final.theta, alone.final.theta)
    for one, other in zip(run.errors, mfpde.Solution.load(path).errors, strict=True):
        np.testing.assert_array_equal(one, other)
    onward = mfpde.resume(path, s_end=6.0)
    assert onward.errors.s[-1] == 6.0
    np.testing.assert_allclose(onward.errors.state[:3], run.errors.state, rtol=1e-2)


def test_a_companion_that_fails_leaves_no_bound():
    problem, rho0 = short()
    run = mfpde.solve(problem, rho0, s_end=4.0, rtol=1e-3, save=2, global_error=True)
    run.options = replace(run.options, max_steps=1)
    found = companion.errors(run)
    assert found.loss[0] == 0.0
    assert np.all(np.isinf(found.loss[1:]))
    assert np.all(np.isinf(found.state[1:]))


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"method": "gd"}, "error control"),
        ({"rtol": 0.01}, "rtol <= 0.001"),
        ({"reaction": 1.0}, "reaction"),
    ],
)
def test_what_has_no_companion_is_refused(how, match):
    problem, rho0 = short()
    with pytest.raises(ValueError, match=match):
        mfpde.solve(problem, rho0, s_end=1.0, global_error=True, **how)


def test_grids_are_refused():
    problem = mfpde.Problem([[0.0], [1.0]], [[0.0], [1.0]], block=mfpde.SHL(1))
    law, box = mfpde.laws.Gaussian(0.5, dim=3), [(-3.0, 3.0)] * 3
    rho0 = mfpde.GridMeasure.from_law(law, DEPTH, cells=8, box=box)
    with pytest.raises(ValueError, match="not a grid"):
        mfpde.solve(problem, rho0, s_end=0.1, global_error=True)
