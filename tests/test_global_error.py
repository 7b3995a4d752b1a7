"""What a run says of its whole error, against the same flow at a far tighter tolerance."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde.flows import companion
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.runs import run_file

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
def test_the_estimate_is_above_the_error(case):
    problem, rho0, s_end, method = case()
    how = {"s_end": s_end, "save": 3}
    run = mfpde.solve(problem, rho0, method=method, rtol=1e-3, global_error=True, **how)
    exact = mfpde.solve(problem, rho0, method="rk45", rtol=1e-8, atol=1e-12, **how)
    flow = ParticleFlow(problem, rho0)
    at = np.searchsorted(run.errors.s, run.saved_s)
    np.testing.assert_array_equal(run.errors.s[at], run.saved_s)
    pairs = list(zip(run.states, exact.states, strict=True))
    state = np.array([flow.norm(a - b) for a, b in pairs])
    loss = np.array([abs(flow.at(a).loss / flow.at(b).loss - 1) for a, b in pairs])
    assert run.errors.loss[0] == run.errors.state[0] == 0.0
    assert np.all(run.errors.loss[at] >= loss)
    assert np.all(run.errors.state[at] >= state)
    assert run.errors.loss.max() <= 100 * loss.max()
    assert run.errors.state.max() <= 100 * state.max()
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
    at = np.searchsorted(onward.errors.s, run.errors.s)
    assert np.all(onward.errors.state[at] >= 0.1 * run.errors.state)


@pytest.mark.parametrize("method", ["rk45", "implicit"])
def test_densely_saved_times_do_not_make_the_companion_take_the_same_steps(method):
    problem, rho0 = short()
    save = np.linspace(0.0, 4.0, 161)
    run = mfpde.solve(
        problem, rho0, s_end=4.0, method=method, rtol=1e-3, save=save, global_error=True
    )
    exact = mfpde.solve(problem, rho0, s_end=4.0, method="rk45", rtol=1e-9, save=save)
    flow = ParticleFlow(problem, rho0)
    pairs = zip(run.states, exact.states, strict=True)
    state = np.array([flow.norm(a - b) for a, b in pairs])
    np.testing.assert_array_equal(run.errors.s, run.saved_s)
    assert np.all(run.errors.state >= state)


def test_a_run_of_a_single_step_is_not_said_to_be_exact():
    problem, rho0 = short()
    run = mfpde.solve(problem, rho0, s_end=1e-3, rtol=1e-3, global_error=True)
    assert run.control.steps == 1
    size = ParticleFlow(problem, rho0).norm(run.final.theta)
    assert run.errors.state[-1] == pytest.approx(1e-8 + 1e-3 * size, rel=1e-2)
    assert run.error > 0.0


def test_a_disk_that_fills_up_under_the_companion(tmp_path, monkeypatch):
    """The run is in its file by then; what its companion found is in hand."""
    errors, put, full = companion.errors, run_file._write_at, []

    def slow(*given):
        full.append(True)
        return errors(*given)

    def limited(descriptor, data, at):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(descriptor, data, at)

    monkeypatch.setattr(companion, "errors", slow)
    monkeypatch.setattr(run_file, "_write_at", limited)
    problem, rho0 = short()
    path = tmp_path / "run.h5"
    run = mfpde.solve(
        problem, rho0, s_end=4.0, rtol=1e-3, save=2, global_error=True, checkpoint=path
    )
    assert run.status is mfpde.Status.NOT_WRITTEN
    assert "No space left" in run.message
    assert run.error > 0.0
    kept = mfpde.Solution.load(path)
    assert kept.status is mfpde.Status.END_REACHED
    assert kept.errors is None
    np.testing.assert_array_equal(kept.final.theta, run.final.theta)


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
