"""Runs on several processes: the numbers of one process, files, failures, the command line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mfpde
from mfpde import cli
from mfpde.passes import ranks
from mfpde.runs.solution import Solution

pytest.importorskip("mpi4py", exc_type=ImportError)
import cells
import job
import limits
import trainings

HERE = Path(__file__).parent
MPIEXEC = Path(sys.executable).with_name("mpiexec")
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def start(count, *command, cwd=None):
    words = [str(MPIEXEC if MPIEXEC.is_file() else "mpiexec"), "-n", str(count), sys.executable]
    return subprocess.Popen(
        [*words, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=cwd,
    )


def run(count, *command, cwd=None):
    """What the ranks wrote, when all of them ended well."""
    process = start(count, *command, cwd=cwd)
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return out, errors


def alone(method):
    return mfpde.solve(job.problem(), job.measure(), s_end=job.S_END, method=method, save=3)


def assert_same(found, wanted, tol):
    assert found.control.steps == wanted.control.steps
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=tol)
    np.testing.assert_allclose(found.gradient_norm2, wanted.gradient_norm2, rtol=100 * tol)
    np.testing.assert_array_equal(found.saved_s, wanted.saved_s)
    np.testing.assert_allclose(found.states, wanted.states, rtol=tol, atol=tol)
    np.testing.assert_allclose(found.final.state, wanted.final.state, rtol=tol, atol=tol)


def test_runs_are_those_of_one_process_and_repeat_bit_for_bit(tmp_path):
    jobs = ("gd,gd,", "rk45,rk45,", "implicit,implicit,", "one,rk45,blocks", "two,rk45,blocks")
    out, errors = run(2, HERE / "job.py", tmp_path, *jobs)
    assert out.count("Solution(END_REACHED") == 5
    assert (
        3 <= errors.count("s=0 loss=") < 6
    )  # a bar for each, drawn again where it is slow: not two
    for method in ("gd", "rk45", "implicit"):
        assert_same(Solution.load(tmp_path / f"{method}.h5"), alone(method), 1e-10)
    one, two = (Solution.load(tmp_path / f"{name}.h5") for name in ("one", "two"))
    np.testing.assert_array_equal(one.final.state, two.final.state)
    np.testing.assert_array_equal(one.loss, two.loss)
    assert_same(one, alone("rk45"), 1e-10)


def test_operators():
    run(4, HERE / "operators.py")


def test_a_rank_that_is_killed_ends_the_job_and_others_go_on_from_the_file(tmp_path):
    path = tmp_path / "run.h5"
    process = start(2, HERE / "job.py", tmp_path, "run,rk45,waiting")
    deadline = time.monotonic() + 100
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int(path.with_suffix(".1.pid").read_text()), signal.SIGKILL)
    _, errors = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "signal 9" in errors or "KILLED" in errors
    assert Solution.load(path).control.steps == 1
    run(3, HERE / "job.py", tmp_path, "run,rk45,resume")
    assert_same(Solution.load(path), alone("rk45"), 1e-10)


def test_a_rank_that_fails_ends_the_job_with_its_error(tmp_path):
    process = start(2, HERE / "job.py", tmp_path, "run,rk45,broken")
    _, errors = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "a callback went wrong" in errors
    assert "mfpde: rank 1 failed, and the run ends on all" in errors


def assert_same_limit(path, name):
    together, alone = mfpde.Limit.load(path), limits.found(name)
    for field in ("outputs", "loss", "outputs_error", "loss_error"):
        np.testing.assert_array_equal(getattr(together, field), getattr(alone, field))
    np.testing.assert_array_equal(together.observed["size"], alone.observed["size"])
    assert (together.work, together.error) == (alone.work, alone.error)


def test_limits_on_ranks_are_those_of_one_process_to_the_last_bit(tmp_path):
    run(3, HERE / "limits.py", tmp_path, "whole", "scrambles", "tensor")
    for name in limits.cases():
        assert_same_limit(tmp_path / f"{name}.h5", name)


def test_a_limit_whose_rank_is_killed_goes_on_with_another_number_of_ranks(tmp_path):
    path = tmp_path / "scrambles.runs.h5"
    process = start(2, HERE / "limits.py", tmp_path, "slow", "scrambles")
    deadline = time.monotonic() + 100
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int(path.with_suffix(".1.pid").read_text()), signal.SIGKILL)
    process.communicate(timeout=100)
    assert process.returncode != 0
    assert not (tmp_path / "scrambles.h5").exists()
    run(3, HERE / "limits.py", tmp_path, "resume", "scrambles")
    assert_same_limit(tmp_path / "scrambles.h5", "scrambles")


@pytest.mark.parametrize("count", [2, 3])
def test_grids_on_ranks_are_those_of_one_process(count, tmp_path):
    run(count, HERE / "cells.py", tmp_path)
    for kind, methods in cells.CASES.items():
        for method in methods:
            problem, rho = cells.case(kind)
            alone = mfpde.solve(problem, rho, s_end=1.0, method=method, save=3)
            assert_same(Solution.load(tmp_path / f"{kind}_{method}.h5"), alone, 1e-9)


def assert_same_networks(path, alone):
    together = mfpde.resnet.load(path)
    for field in ("s", "loss", "outputs", "theta", "saved_s", "saved"):
        np.testing.assert_array_equal(getattr(together, field), getattr(alone, field))
    np.testing.assert_array_equal(together.observed["size"], alone.observed["size"])
    assert (together.seeds, together.status) == (alone.seeds, alone.status)


def test_networks_on_ranks_are_those_of_one_process_to_the_last_bit(tmp_path):
    run(3, HERE / "trainings.py", tmp_path, "whole", *trainings.CASES)
    for name in trainings.CASES:
        alone = trainings.found(name)
        assert_same_networks(tmp_path / f"{name}.h5", alone)
        assert_same_networks(tmp_path / f"{name}.run.h5", alone)  # the run file, of all networks


def test_networks_whose_rank_is_killed_go_on_with_another_number_of_ranks(tmp_path):
    path = tmp_path / "adam.run.h5"
    process = start(2, HERE / "trainings.py", tmp_path, "slow", "adam")
    deadline = time.monotonic() + 100
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int(path.with_suffix(".1.pid").read_text()), signal.SIGKILL)
    process.communicate(timeout=100)
    assert process.returncode != 0
    assert not (tmp_path / "adam.h5").exists()
    run(3, HERE / "trainings.py", tmp_path, "resume", "adam")
    assert_same_networks(tmp_path / "adam.h5", trainings.found("adam"))


CASE = """
[data]
source = "points.csv"
[block]
kind = "shl"
dim = 2
[depth]
steps = 2
[law]
kind = "gaussian"
std = 1.0
dim = 5
[measure]
kind = "particles"
count = 6
[solve]
s_end = 2.0
"""


def test_the_command_line_runs_a_case_on_two_processes(tmp_path):
    rows = [f"{x},{x * x}" for x in np.linspace(-1, 1, 9)]
    (tmp_path / "points.csv").write_text("\n".join(["x,y", *rows]))
    (tmp_path / "case.toml").write_text(CASE)
    out, _ = run(2, "-m", "mfpde", "solve", "case.toml", cwd=tmp_path)
    assert out.count("written to case.h5") == 1
    together = Solution.load(tmp_path / "case.h5")
    alone = mfpde.solve(together.problem, together.initial, s_end=2.0)
    np.testing.assert_allclose(together.loss, alone.loss, rtol=1e-10)


def test_commands_for_one_process_say_so(monkeypatch, capsys):
    monkeypatch.setattr(ranks, "world", lambda: job.COMM)
    assert cli.main(["env"]) == 2
    assert "only solve, limit, train and resume run on several processes" in capsys.readouterr().err


def test_processes_without_mpi4py_are_told_what_to_install(monkeypatch):
    assert ranks.world() is None
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"2 processes were started by MPI.*mfpde\[mpi\]"):
        ranks.world()


@pytest.mark.parametrize(("count", "group"), [(16, 4), (24, 4), (512, 16), (17, 1)])
def test_groups_divide_the_ranks(count, group):
    assert ranks.group_size(count) == group


def test_what_cannot_run_on_ranks_is_refused(monkeypatch):
    problem, rho = job.problem(), job.measure()
    with pytest.raises(TypeError, match=r"comm must be a communicator of mpi4py"):
        mfpde.solve(problem, rho, s_end=1.0, comm=3)
    with pytest.raises(ValueError, match=r"comm cannot be combined with reaction"):
        mfpde.solve(problem, rho, s_end=1.0, reaction=1.0, comm=job.COMM)
    alone = mfpde.solve(problem, rho, s_end=1.0, comm=job.COMM)  # one rank: an ordinary run
    np.testing.assert_array_equal(alone.loss, mfpde.solve(problem, rho, s_end=1.0).loss)
    two = ranks.Ranks(job.COMM)
    two.size = 100
    monkeypatch.setattr(ranks.Ranks, "of", classmethod(lambda cls, comm: two))
    with pytest.raises(ValueError, match=r"comm: 17 particles at a depth cannot be dealt to 100"):
        mfpde.solve(problem, rho, s_end=1.0, comm=job.COMM)
    problem_on_grid, rho_on_grid = cells.case("linear")
    with pytest.raises(ValueError, match=r"5 depth nodes and 10 cells of axis 0 cannot be dealt"):
        mfpde.solve(problem_on_grid, rho_on_grid, s_end=1.0, comm=job.COMM)
    warm, rho = cells.case("linear", temperature=0.1)
    with pytest.raises(ValueError, match=r"comm needs temperature=0 on a grid"):
        mfpde.solve(warm, rho, s_end=1.0, comm=job.COMM)
    two.size = 2
    with pytest.raises(ValueError, match=r"comm: 1 networks cannot be dealt to 2 ranks"):
        trainings.found("plain", comm=job.COMM, seeds=1)
    with pytest.raises(ValueError, match=r"comm needs backend='particles'"):
        trainings.found("plain", comm=job.COMM, backend="torch")
    joint, problem = mfpde.JointMeasure(np.ones((5, 9)), np.linspace(0, 1, 5)), job.problem()
    with pytest.raises(TypeError, match=r"comm needs a ParticleMeasure"):
        mfpde.solve(problem, joint, s_end=1.0, comm=job.COMM)
