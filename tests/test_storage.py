"""Run files: round trip, bit-for-bit resume for every method, kills in the middle of a write."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from problems import Cubic, gaussian_measure, sine

import mfpde
from mfpde import Status

METHODS = ["gd", "heun", "rk4", "rk45", "implicit"]
DEPTH = mfpde.Depth(2, "rk4")


def start(method, **how):
    problem = sine(8)
    fixed = {"step": 0.05} if method in ("gd", "heun", "rk4") else {}
    how = {"rtol": 1e-2 if method == "implicit" else 1e-6, "save": [1.0, 2.5], **how}
    rho0 = gaussian_measure(problem, DEPTH)
    return mfpde.solve(problem, rho0, s_end=3.0, method=method, **fixed, **how)


def assert_same(one, other):
    for name in ("s", "loss", "gradient_norm2", "step", "saved_s"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.final.theta, other.final.theta)
    np.testing.assert_array_equal(one.states, other.states)
    assert one.status is other.status


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_and_resumed_equals_straight_bit_for_bit(method, tmp_path):
    straight, path = start(method), tmp_path / "run.h5"
    for stop_at in (1, 2, straight.control.steps // 2):
        broken = start(
            method, callback=lambda run, n=stop_at: run.control.steps == n, checkpoint=path
        )
        assert broken.status is Status.STOPPED
        assert_same(mfpde.resume(path), straight)


@pytest.mark.parametrize("method", METHODS)
def test_every_checkpoint_resumes_to_the_same_run(method, tmp_path):
    """Interrupt, resume, interrupt again: the file of a resumed run is as good as the first."""
    straight, path = start(method), tmp_path / "run.h5"
    start(method, callback=lambda run: run.control.steps == 1, checkpoint=path)
    mfpde.resume(path, callback=lambda run: run.control.steps == 3)
    assert_same(mfpde.resume(path), straight)


def test_round_trip(tmp_path):
    run = start("implicit", checkpoint=tmp_path / "run.h5")
    loaded = mfpde.Solution.load(tmp_path / "run.h5")
    assert_same(loaded, run)
    assert loaded.message == run.message
    assert loaded.options == run.options
    counts = [{k: v for k, v in one.stats.items() if k != "seconds"} for one in (loaded, run)]
    assert counts[0] == counts[1]
    np.testing.assert_array_equal(loaded.problem.x, run.problem.x)
    assert repr(loaded.problem) == repr(run.problem)
    assert mfpde.loss(loaded.problem, loaded.final) == run.loss[-1]


def test_resume_goes_on_to_a_later_end(tmp_path):
    path = tmp_path / "run.h5"
    first = start("rk45", checkpoint=path)
    longer = mfpde.resume(path, s_end=5.0)
    assert longer.s[-1] == 5.0
    np.testing.assert_array_equal(longer.loss[: first.s.size], first.loss)
    with pytest.raises(ValueError, match="s_end must be >= 5"):
        mfpde.resume(path, s_end=4.0)


def test_user_block_is_handed_over(tmp_path):
    x = np.linspace(-1, 1, 6)[:, None]
    problem = mfpde.Problem(x, x, block=Cubic())
    rho0 = mfpde.ParticleMeasure.from_law(mfpde.laws.Gaussian([0.5, 1.0]), DEPTH, count=8)
    mfpde.solve(problem, rho0, s_end=1.0, method="rk45", checkpoint=tmp_path / "run.h5")
    with pytest.raises(ValueError, match="block: the run used a block of the user's own"):
        mfpde.Solution.load(tmp_path / "run.h5")
    assert mfpde.Solution.load(tmp_path / "run.h5", block=Cubic()).success


def test_missing_torn_and_foreign_files_are_named(tmp_path):
    import h5py

    with pytest.raises(FileNotFoundError, match="no run file"):
        mfpde.resume(tmp_path / "absent.h5")
    path = tmp_path / "run.h5"
    start("gd", checkpoint=path)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2):
        torn = tmp_path / f"torn{length}.h5"
        torn.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a whole run file"):
            mfpde.resume(torn)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not a run file of mfpde"):
        mfpde.resume(tmp_path / "other.h5")
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 99
    with pytest.raises(ValueError, match="damaged"):
        mfpde.resume(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        start("gd", checkpoint=tmp_path / "nowhere" / "run.h5")


CHILD = textwrap.dedent(
    """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    import test_storage
    from mfpde.runs import run_file
    kill_at, moment, writes = int(sys.argv[2]), sys.argv[3], 0
    write, put, rename = run_file.RunFile.write, run_file._write_at, Path.replace
    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    def counted(*given, **how):
        global writes
        writes += 1
        write(*given, **how)
    def half(descriptor, data, at):
        if writes == kill_at and moment == "half":
            put(descriptor, memoryview(data)[: len(data) // 2], at)
            die()
        put(descriptor, data, at)
    def replace(self, target):
        # The new file is written but not yet in place.
        return die() if writes >= kill_at and moment == "rename" else rename(self, target)
    run_file.RunFile.write, run_file._write_at, Path.replace = counted, half, replace
    test_storage.start({method!r}, checkpoint=sys.argv[1], checkpoint_every=0.0, save="steps")
    """
)


@pytest.mark.parametrize("moment", ["half", "rename"])
@pytest.mark.parametrize("method", METHODS)
def test_kill_in_the_middle_of_a_write_loses_nothing(method, moment, tmp_path):
    path, here = tmp_path / "run.h5", str(Path(__file__).parent)
    code = CHILD.format(tests=here, method=method)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    killed = subprocess.run(
        [sys.executable, "-c", code, str(path), "4", moment], env=environment, check=False
    )
    assert killed.returncode == -9
    kept, straight = mfpde.Solution.load(path), start(method, save="steps")
    assert kept.status is Status.RUNNING
    n = kept.control.steps
    assert n == 3 if moment == "half" else n >= 3
    np.testing.assert_array_equal(kept.loss, straight.loss[: n + 1])
    np.testing.assert_array_equal(kept.states, straight.states[: n + 1])
    assert_same(mfpde.resume(path), straight)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]  # what it left is swept away


def test_ctrl_c_returns_what_there_is(tmp_path):
    import signal

    def press(run):
        if run.control.steps == 2:
            signal.raise_signal(signal.SIGINT)

    path = tmp_path / "run.h5"
    run = start("rk4", callback=press, checkpoint=path)
    assert run.status is Status.INTERRUPTED
    assert run.control.steps == 2
    assert_same(mfpde.resume(path), start("rk4"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_to_xarray():
    pytest.importorskip("xarray")
    run = start("rk45")
    table = run.to_xarray()
    np.testing.assert_array_equal(table.loss, run.loss)
    assert table.theta.sel(saved_s=1.0).shape == run.final.theta.shape
