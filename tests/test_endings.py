"""How runs end: unusable files at once, full disks with what there is, goals missed, rest, NaN."""

import errno
import os
import resource
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde import Status
from mfpde.runs import run_file
from mfpde.runs.atomic import replacing

DEPTH = mfpde.Depth(2, "euler")


def solved(**how):
    problem = sine(8)
    how = {"s_end": 1.0, "method": "gd", "step": 0.05, "checkpoint_every": 0.0, **how}
    return mfpde.solve(problem, gaussian_measure(problem, DEPTH, count=40), **how)


def test_an_unusable_checkpoint_is_noticed_before_the_first_step(tmp_path):
    steps = []
    (tmp_path / "file").write_text("a file")
    os.mkfifo(tmp_path / "pipe")
    bad = [
        tmp_path / "missing" / "run.h5", tmp_path, "", ".", tmp_path / "file" / "run.h5",
        tmp_path / ("x" * 300), tmp_path / "pipe", "/dev/full", "/proc/run.h5",
    ]  # fmt: skip
    for path in bad:
        with pytest.raises(OSError, match="checkpoint"):
            solved(checkpoint=path, callback=steps.append)
    assert steps == []
    assert Path("/dev/full").is_char_device()
    assert solved(checkpoint=tmp_path / ("x" * 255)).success


def test_a_full_disk_ends_the_run_with_all_of_it_in_hand(tmp_path, monkeypatch):
    path, straight, put, room = (
        tmp_path / "run.h5",
        solved(save="steps"),
        run_file._write_at,
        60_000,
    )

    def limited(descriptor, data, at):
        if at + len(data) > room:
            put(descriptor, memoryview(data)[: max(room - at, 0)], at)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(descriptor, data, at)

    monkeypatch.setattr(run_file, "_write_at", limited)
    run = solved(checkpoint=path, save="steps")
    assert run.status is Status.NOT_WRITTEN
    assert not run.success
    assert "No space left" in run.message
    kept, n = mfpde.Solution.load(path), run.control.steps
    assert 2 < n < straight.control.steps
    assert kept.control.steps == n - 1
    np.testing.assert_array_equal(run.states, straight.states[: n + 1])
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]
    room = 1000
    with pytest.raises(OSError, match="No space left"):
        run.save(path)
    assert mfpde.Solution.load(path).control.steps == n - 1
    monkeypatch.undo()
    run.save(path)
    np.testing.assert_array_equal(mfpde.resume(path).states, straight.states)


FULL = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {tests!r})
    import resource
    import test_endings
    test_endings.solved()
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
    run = test_endings.solved(checkpoint=sys.argv[1], save="steps")
    print(run.status.name, run.control.steps)
    """
)


def test_the_interpreter_ends_well_after_a_refused_write(tmp_path):
    code = FULL.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", code, str(tmp_path / "run.h5")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    status, steps = done.stdout.split()
    assert status == "NOT_WRITTEN"
    assert mfpde.Solution.load(tmp_path / "run.h5").control.steps == int(steps) - 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_goal_that_is_missed_is_no_success():
    run = solved(loss_below=1e-9)
    assert run.status is Status.GOAL_MISSED
    assert not run.success
    assert "loss_below" in run.message
    assert solved(loss_below=run.loss[9]).status is Status.LOSS_REACHED


@pytest.mark.parametrize("method", ["implicit", "rk45", "gd"])
def test_contradictory_data_come_to_rest_soon(method):
    """Two targets for one datum: E ≥ 1/8 and the gradient vanishes there."""
    problem = mfpde.Problem([[0.5], [0.5]], [[0.0], [1.0]], block=mfpde.SHL(2))
    rho0 = gaussian_measure(problem, DEPTH, count=4)
    run = mfpde.solve(
        problem,
        rho0,
        s_end=np.inf,
        loss_below=1e-6,
        method=method,
        raise_on_failure=False,
        max_steps=1000,
    )
    assert run.status is Status.AT_REST
    there = np.argmax(run.loss <= 0.125 * (1 + 1e-12))
    assert there > 0
    assert run.control.steps <= there + {"implicit": 10, "rk45": 60, "gd": 120}[method]


def test_the_way_off_a_saddle_is_no_rest():
    """All particles near θ = 0, where the gradient is nearly zero, and grows."""
    problem = mfpde.Problem([[0.5], [-0.5]], [[0.4], [-0.4]], block=mfpde.SHL(2))
    rho0 = mfpde.ParticleMeasure.from_law(mfpde.laws.Gaussian(1e-9, dim=5), DEPTH, count=4, seed=0)
    run = mfpde.solve(problem, rho0, s_end=np.inf, loss_below=1e-6)
    assert run.gradient_norm2[0] < 1e-16
    assert run.status is Status.LOSS_REACHED


@pytest.mark.parametrize("method", ["gd", "rk4", "rk45", "implicit"])
@pytest.mark.parametrize("name", ["norm2", "loss", "energy"])
def test_nothing_but_numbers_is_recorded(name, method, monkeypatch):
    """A NaN in whatever is recorded of a point ends the run at the last good one."""
    from mfpde.flows.particle_flow import StatePoint

    problem = sine(8)
    rho0, right = gaussian_measure(problem, DEPTH, count=4), getattr(StatePoint, name)

    def wrong(point):
        return float("nan") if point.s > 0.2 else right.__get__(point)

    monkeypatch.setattr(StatePoint, name, property(wrong))
    how = {"step": 0.05} if method in ("gd", "rk4") else {}
    run = mfpde.solve(problem, rho0, s_end=1.0, method=method, raise_on_failure=False, **how)
    assert run.status is Status.NON_FINITE
    assert 0 < run.s[-1] <= 0.2
    for series in ("loss", "energy", "gradient_norm2"):
        assert np.isfinite(getattr(run, series)).all()


def test_a_network_that_diverges_is_no_success(tmp_path):
    how = {"layers": 2, "width": 4, "seeds": 2, "s_end": 100.0, "raise_on_failure": False}
    problem, law = sine(8), mfpde.laws.Gaussian(1.0, dim=5)
    found = mfpde.resnet.train(problem, law, step=25.0, device="cpu", **how)
    assert found.loss[:, -1].max() > 10 * found.loss[:, 0].max()
    assert found.status is Status.DIVERGED
    assert not found.success
    assert mfpde.resnet.train(problem, law, step=0.1, device="cpu", **{**how, "s_end": 2.0}).success


def test_planted_links_are_not_followed(tmp_path):
    """Whatever lies beside the target, under any name, keeps its content."""
    mine, target = tmp_path / "mine", tmp_path / "run.h5"
    mine.write_text("mine")
    target.symlink_to(mine)
    for name in (".run.h5.tmp", f".run.h5.{os.getpid()}.tmp"):
        (tmp_path / name).symlink_to(mine)
    with replacing(target) as file:
        file.write(b"new")
    assert mine.read_text() == "mine"
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()


def test_threads_that_write_one_file_leave_one_whole(tmp_path):
    def write(k):
        for _ in range(20):
            with replacing(tmp_path / "file") as file:
                for _ in range(10):
                    file.write(bytes([k]) * 100)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    content = (tmp_path / "file").read_bytes()
    assert len(content) == 1000
    assert len(set(content)) == 1


def test_leftovers_of_others_stay_and_of_killed_writers_go(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as first:
        first.write(b"first")
        with replacing(path) as second:  # the first writer is alive: its file stays
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    if os.fork() == 0:
        manager = replacing(path)
        manager.__enter__().write(b"half")
        os.kill(os.getpid(), 9)
    os.wait()
    assert len(list(tmp_path.iterdir())) == 2
    with replacing(tmp_path / "another"):
        pass
    assert len(list(tmp_path.iterdir())) == 3
    with replacing(path) as file:
        file.write(b"again")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["another", "file"]
