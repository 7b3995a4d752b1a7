"""The limit as a tool: budgets, Ctrl-C, progress, bars along s and at new points, pictures."""

import os
import signal

import numpy as np
import pytest

import mfpde
from mfpde import laws
from mfpde.limits import gaps
from mfpde.limits.law_in_depth import LawInDepth
from mfpde.runs.status import Status

LAW = laws.Uniform([-1] * 3, [1] * 3)


@pytest.fixture(scope="module")
def problem():
    x = np.linspace(-1, 1, 6)[:, None]
    return mfpde.Problem(x, np.sin(2 * x), block=mfpde.SHL(dim=1))


@pytest.fixture(scope="module")
def rough(problem):
    return mfpde.limit(problem, LAW, s_end=2.0, rtol=1e-2, times=4)


@pytest.fixture(scope="module")
def sharp(problem):
    return mfpde.limit(problem, LAW, s_end=2.0, rtol=1e-6, times=4)


def test_a_budget_of_work_keeps_the_best(problem, sharp):
    found = mfpde.limit(problem, LAW, s_end=2.0, rtol=1e-6, times=4, max_work=sharp.work // 4)
    assert found.status is Status.BUDGET_SPENT
    assert not found.success
    assert "most of it from" in found.message
    assert found.error > 1e-6
    assert np.abs(found.loss - sharp.loss).max() <= found.error * found.loss[0]


def test_no_time_for_anything_is_an_error(problem):
    with pytest.raises(ValueError, match="no result yet"):
        mfpde.limit(problem, LAW, s_end=2.0, max_seconds=1e-9)


def test_ctrl_c_keeps_the_best(problem, monkeypatch):
    """A signal in the middle of the search, as a user sends it."""
    from mfpde.limits import tensor

    width_part, sent = tensor.width_part, []

    def interrupted(*args):
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGINT))
        return width_part(*args)

    monkeypatch.setattr(tensor, "width_part", interrupted)
    found = mfpde.limit(problem, LAW, s_end=2.0, rtol=1e-4, times=4)
    assert found.status is Status.INTERRUPTED
    assert np.isfinite(found.error)


def test_progress_names_the_part(problem, capsys):
    mfpde.limit(problem, LAW, s_end=1.0, rtol=1e-2, times=2, progress=True)
    shown = capsys.readouterr().err
    assert "depth, 3 steps" in shown
    assert "width, coordinate" in shown
    assert "error so far" in shown


def test_bars_along_s(rough, sharp):
    assert np.all(np.abs(rough.loss - sharp.loss) <= rough.loss_error)
    difference = np.sqrt(np.mean((rough.outputs - sharp.outputs) ** 2, axis=(1, 2)))
    assert np.all(difference <= rough.outputs_error)
    np.testing.assert_allclose(rough.relative_loss_error, rough.loss_error / rough.loss)


def test_bars_at_new_points(problem, rough, sharp):
    new = np.linspace(-1.2, 1.2, 25)[:, None]
    outputs, error = rough.predict(new)
    assert outputs.shape == error.shape == (25, 1)
    assert np.all(np.abs(outputs - sharp.predict(new).outputs) <= error)
    np.testing.assert_allclose(rough.predict().outputs, rough.outputs[-1], rtol=1e-12)
    with pytest.raises(ValueError, match="x must have shape"):
        rough.predict(np.zeros((3, 2)))


def test_the_plot_shows_bands(rough):
    left, right = rough.plot().axes
    assert len(left.collections) == 1
    assert {text.get_text() for text in right.get_legend().get_texts()} == {*rough.errors, "rtol"}


def test_the_repr_says_what_errors_are_relative_to(rough):
    assert "of itself" in repr(rough)
    assert "relative to the targets' RMS and E(0)" in repr(rough)


def test_formulas_of_convergence():
    """Sequences with a known limit: the extrapolated error is the error."""
    values = [1.0 + 0.6**n for n in range(8)]
    last, before = values[6] - values[7], values[5] - values[6]
    assert last * gaps.geometric(last, before) == pytest.approx(0.6**7)
    sizes = (21, 13, 8)
    fine, middle, coarse = (3.0 / n**2.0 for n in sizes)
    near, far = middle - fine, coarse - fine
    assert near * gaps.algebraic(sizes, near, far) == pytest.approx(fine, rel=0.06)
    # What does not converge is not called small.
    assert gaps.geometric(1.0, 0.5) >= 5.0
    assert gaps.algebraic(sizes, 1.0, 1.0) >= 3.0


def test_a_law_is_looked_at_between_the_nodes():
    aliased = LawInDepth(lambda t: laws.Gaussian(1.0, np.sin(8 * np.pi * t), dim=2), 2)
    assert aliased.least_steps() >= 8
    assert aliased.missed(2) > 0.5
    grows = LawInDepth(lambda t: laws.Gaussian([t, 0.0]), 2)
    assert grows.random.tolist() == [True, False]
    with pytest.raises(ValueError, match=r"law must be on R\^3"):
        LawInDepth(laws.Gaussian(1.0, dim=2), 3)


def test_files_keep_the_bars(problem, tmp_path):
    """A tensor rule and scrambles, read back: the same numbers, and the same bars at new points."""
    relu = mfpde.Problem(problem.x, problem.y, block=mfpde.SHL(dim=1, activation="relu"))
    for task in (problem, relu):
        found = mfpde.limit(task, LAW, s_end=0.5, rtol=3e-2, times=2)
        found.save(tmp_path / "limit.h5")
        again = mfpde.Limit.load(tmp_path / "limit.h5")
        assert repr(again) == repr(found)
        for one, other in zip(again.predict([[0.3]]), found.predict([[0.3]]), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(again.final.theta, found.final.theta)
    table = again.to_xarray()
    np.testing.assert_array_equal(table["loss_error"], found.loss_error)
    mfpde.solve(problem, found.final, s_end=0.1).save(tmp_path / "run.h5")
    with pytest.raises(ValueError, match="not a run file of mfpde limit"):
        mfpde.Limit.load(tmp_path / "run.h5")
    with pytest.raises(FileNotFoundError, match="path"):
        mfpde.Limit.load(tmp_path / "absent.h5")


@pytest.mark.parametrize("s_end", [50.0, np.inf])
def test_a_loss_as_the_goal(s_end):
    x = np.linspace(-1, 1, 4)[:, None]
    task = mfpde.Problem(x, x / 2, block=mfpde.SHL(dim=1, bias=False))
    law = laws.Gaussian(1.0, dim=2)
    found = mfpde.limit(task, law, s_end=s_end, rtol=1e-2, times=4, loss_below=0.02)
    assert found.status is Status.LOSS_REACHED
    assert found.loss[-1] + found.loss_error[-1] <= 0.02
    assert found.s[-1] < 50.0
    with pytest.raises(ValueError, match="s_end must be finite"):
        mfpde.limit(task, law, s_end=np.inf)


def test_the_loss_weighs_the_data(problem):
    task = mfpde.Problem(problem.x, problem.y, block=problem.block, weights=np.arange(1.0, 7.0))
    found = mfpde.limit(task, LAW, s_end=0.5, rtol=1e-2, times=1)
    assert found.loss[-1] == pytest.approx(mfpde.loss(task, found.final), rel=1e-12)
