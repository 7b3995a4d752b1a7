"""Sweeps: in order, the same on any executor, resumed after a kill, errors that name the case."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import mfpde
from mfpde.runs.fingerprint import fingerprint
from mfpde.sweep import SweepError, grid, map_runs


def trained(layers, width, seed):
    """A run of the package: its numbers depend on the case alone."""
    x = np.linspace(-1, 1, 8)[:, None]
    problem = mfpde.Problem(x, np.sin(np.pi * x), block=mfpde.SHL(2))
    run = mfpde.resnet.train(
        problem, mfpde.laws.Gaussian(1.0, dim=5), layers=layers, width=width, seeds=[seed],
        s_end=1.0, step=0.1, device="cpu", optimizer=mfpde.resnet.Langevin(0.1),
    )  # fmt: skip
    return run.theta


def threads(case):
    import numba
    from threadpoolctl import threadpool_info

    return {library["num_threads"] for library in threadpool_info()} | {numba.get_num_threads()}


def logged(n, log, fail=()):
    """n², and a line in a file for each call."""
    with Path(log).open("a") as file:
        file.write(f"{n}\n")
    if n in fail:
        raise ArithmeticError(f"no square for {n}")
    return n * n


def slow(n, log):
    time.sleep(0.3 if n else 0.0)
    return logged(n, log)


CASES = grid(layers=[2, 3], width=[4], seed=[0, 1, 2])


def calls(log):
    return sorted(int(line) for line in log.read_text().split()) if log.exists() else []


def test_grid():
    assert grid(a=[1, 2], b="xy") == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}
    ]  # fmt: skip
    assert grid() == [{}]


def test_results_do_not_depend_on_the_workers():
    here = map_runs(trained, CASES, workers=0)
    for found in (
        map_runs(trained, CASES, workers=1),
        map_runs(trained, CASES[::-1], workers=2)[::-1],
    ):
        for mine, theirs in zip(found, here, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(here[0], here[1])


def test_dask_client_works_unchanged(tmp_path):
    distributed = pytest.importorskip("distributed")
    here = map_runs(trained, CASES, workers=0)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
        local_directory=str(tmp_path),
    )  # fmt: skip
    with cluster, distributed.Client(cluster) as client:
        workers = client.scheduler_info()["workers"]
        assert len(workers) == 2
        executor = client.get_executor()
        found = map_runs(trained, CASES, client)
        for mine, theirs in zip(found, here, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        cases = [{"n": n, "log": str(tmp_path / "log"), "fail": (1,)} for n in range(4)]
        with pytest.raises(SweepError, match="no square for 1"):
            map_runs(logged, cases, executor, folder=tmp_path / "kept")
        assert executor.submit(len, "abc").result() == 3  # still open


def test_every_case_has_one_thread():
    for found in map_runs(threads, [{"case": k} for k in range(2)], workers=2):
        assert found == {1}
    assert map_runs(threads, [{"case": 0}], workers=0) == [{1}]


def test_finished_cases_are_not_computed_again(tmp_path):
    log, folder = tmp_path / "log", tmp_path / "kept"
    cases = [{"n": n, "log": str(log)} for n in range(4)]
    assert map_runs(logged, cases[:2], workers=0, folder=folder) == [0, 1]
    assert map_runs(logged, cases[::-1], workers=1, folder=folder) == [9, 4, 1, 0]
    assert calls(log) == [0, 1, 2, 3]
    assert map_runs(slow, cases[:1], workers=0, folder=folder) == [0]  # another function
    assert calls(log) == [0, 0, 1, 2, 3]
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_names_its_case_and_keeps_the_others(workers, tmp_path):
    log, folder = tmp_path / "log", tmp_path / "kept"
    cases = [{"n": n, "log": str(log), "fail": (2,)} for n in range(3)]
    with pytest.raises(SweepError, match=r"case 2, \{'n': 2.*ArithmeticError: no square") as caught:
        map_runs(logged, cases, workers=workers, folder=folder)
    assert caught.value.index == 2
    assert caught.value.case == cases[2]
    assert isinstance(caught.value.__cause__, ArithmeticError)
    assert len(list(folder.iterdir())) == 2
    with pytest.raises(SweepError):
        map_runs(logged, cases, workers=workers, folder=folder)
    assert calls(log) == [0, 1, 2, 2]


def test_an_error_stops_what_has_not_begun(tmp_path):
    log = tmp_path / "log"
    cases = [{"n": n, "log": str(log), "fail": (0,)} for n in range(50)]
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(SweepError, match="case 0"):
            map_runs(logged, cases, pool)
        assert pool.submit(len, "ab").result() == 2
    assert len(calls(log)) < 50


CHILD = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {tests!r})
    from test_sweep import slow
    from mfpde.sweep import map_runs
    if __name__ == "__main__":
        map_runs(slow, [dict(n=n, log={log!r}) for n in range(8)], workers=2, folder={folder!r})
    """
)


def started(tmp_path):
    """A sweep in a process of its own, some cases finished and some not."""
    log, folder, script = tmp_path / "log", tmp_path / "kept", tmp_path / "script.py"
    here = str(Path(__file__).parent)
    script.write_text(CHILD.format(tests=here, log=str(log), folder=str(folder)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    child = subprocess.Popen(
        [sys.executable, str(script)], env=environment, start_new_session=True,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    while not folder.exists() or len(list(folder.glob("*.h5"))) < 2:
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.02)
    return child, log, folder


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "ctrl-c"])
def test_a_sweep_that_ended_early_resumes_from_what_is_finished(how, tmp_path):
    child, log, folder = started(tmp_path)
    group = os.killpg if how is signal.SIGKILL else os.kill
    group(child.pid, how)
    child.communicate(timeout=30)
    assert child.returncode != 0
    before = len(list(folder.glob("*.h5")))
    assert 2 <= before < 8
    done = len(calls(log))
    cases = [{"n": n, "log": str(log)} for n in range(8)]
    assert map_runs(slow, cases, workers=2, folder=folder) == [n * n for n in range(8)]
    assert len(calls(log)) == done + 8 - before


def test_what_cannot_be_sent_or_named_is_said(tmp_path):
    with pytest.raises(TypeError, match="function must be importable"):
        map_runs(lambda n: n, [{"n": 1}], workers=1)
    assert map_runs(lambda n: n + 1, [{"n": 1}], workers=0) == [2]
    with pytest.raises(TypeError, match="no import path"):
        map_runs(lambda n: n, [{"n": 1}], workers=0, folder=tmp_path)
    with pytest.raises(ValueError, match="workers must be a whole number >= 1"):
        map_runs(len, [{"n": 1}], workers=-1)
    assert map_runs(len, []) == []


def test_a_torn_result_is_an_error(tmp_path):
    cases = [{"n": 2, "log": str(tmp_path / "log")}]
    map_runs(logged, cases, workers=0, folder=tmp_path / "kept")
    (path,) = (tmp_path / "kept").iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"path: .*kept"):
        map_runs(logged, cases, workers=0, folder=tmp_path / "kept")


def named(n, name="here"):
    return n


def test_a_name_cannot_leave_the_folder(tmp_path):
    named.__name__ = "../../escaped"
    try:
        assert map_runs(named, [{"n": 1}], workers=0, folder=tmp_path / "a" / "b") == [1]
    finally:
        named.__name__ = "named"
    assert len(list((tmp_path / "a" / "b").iterdir())) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


PLAIN = [
    None, True, 2**80, 1.5, float("inf"), "é", b"\0x", 1 - 2j, [1, (2, [3])],
    {(1, 2): "a", "b": {}},
    np.float32(1.5), np.int8(-3), np.True_, np.complex128(1j), np.arange(6).reshape(2, 3) > 2,
    np.zeros((0, 3)), np.arange(3, dtype=np.float16), np.array([1 + 2j, -1j], np.complex64),
    np.array(2.5),
]  # fmt: skip


def plain_value(k):
    return PLAIN[k]


def test_plain_results_come_back_as_they_were(tmp_path):
    cases = grid(k=range(len(PLAIN)))
    for _ in range(2):
        results = map_runs(plain_value, cases, workers=0, folder=tmp_path)
        for found, value in zip(results, PLAIN, strict=True):
            assert type(found) is type(value)
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(found, value)
                assert (found.dtype, found.shape) == (value.dtype, value.shape)
            else:
                assert found == value


def an_object(k):
    return Plain(k)


def test_results_that_are_not_plain_are_not_kept(tmp_path):
    assert map_runs(an_object, [{"k": 3}], workers=0)[0].value == 3
    with pytest.raises(TypeError, match=r"folder: the result of case 0.*Plain is not plain"):
        map_runs(an_object, [{"k": 3}], workers=0, folder=tmp_path)


def test_a_result_file_runs_no_code(tmp_path):
    cases = [{"n": 2}]
    map_runs(named, cases, workers=0, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(pickle.dumps(Plain(1)))
    with pytest.raises(ValueError, match="path: "):
        map_runs(named, cases, workers=0, folder=tmp_path)


def in_module(text, name):
    """A function of a module whose file says ``text``."""
    import types

    module = types.ModuleType(name)
    exec(text, module.__dict__)
    sys.modules[name] = module
    return module.changing


def test_a_changed_function_does_not_reuse_what_the_old_one_found(tmp_path):
    def found(text):
        return map_runs(in_module(text, "a_module"), [{"n": 2}], workers=0, folder=tmp_path)[0]

    one = "def changing(n, by=1):\n    return n + by\n"
    assert found(one) == 3
    assert found("# a comment\n" + one) == 3
    assert len(list(tmp_path.iterdir())) == 1
    assert found(one.replace("n + by", "n - by")) == 1
    assert found(one.replace("by=1", "by=5")) == 7
    assert found(one.replace("n + by", "n + 10")) == 12
    assert len(list(tmp_path.iterdir())) == 4


MAIN = """
from mfpde.sweep import map_runs
def square(n):
    return n * n
if __name__ == "__main__":
    print(map_runs(square, [dict(n=n) for n in range(3)], workers=1))
"""


def test_functions_of_a_script_work_and_of_a_session_are_refused(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    how = {"env": environment, "capture_output": True, "text": True, "check": False}
    script = tmp_path / "script.py"
    script.write_text(MAIN)
    assert subprocess.run([sys.executable, str(script)], **how).stdout == "[0, 1, 4]\n"
    session = subprocess.run([sys.executable, "-c", MAIN], **how)
    assert "TypeError: function is defined in an interactive session" in session.stderr


@dataclass(frozen=True)
class Settings:
    width: int
    names: tuple[str, ...] = ()


class Plain:
    def __init__(self, value):
        self.value = value


def different():
    x = np.arange(4.0)
    problems = [mfpde.Problem(x[:, None], x, block=mfpde.SHL(2, name)) for name in ("tanh", "gelu")]
    return [
        None, 1, 1.0, True, "1", b"1", (1,), [1], {"a": 1}, {"b": 1}, {1}, x, x.astype(np.float32),
        x.reshape(2, 2), x + 1e-16 * 8, np.float64(1.0), Settings(1), Settings(1, ("a",)), Plain(1),
        Plain(2), partial(pow, 2), partial(pow, 3), np.sin, np.cos, trained, slow, Plain, *problems,
        mfpde.laws.Gaussian(1.0, dim=2), mfpde.laws.Gaussian(1.1, dim=2), Path("a"), range(3),
        mfpde.Depth(3), mfpde.Depth(4),
    ]  # fmt: skip


def test_fingerprints_tell_values_apart_and_survive_a_copy():
    marks = [fingerprint(value) for value in different()]
    assert len(set(marks)) == len(marks)
    again = [fingerprint(pickle.loads(pickle.dumps(value))) for value in different()]
    assert again == marks
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_fingerprints_are_the_same_in_another_process():
    code = "import test_sweep as t; print([t.fingerprint(v) for v in t.different()])"
    path = os.pathsep.join([str(Path(__file__).parent), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert eval(done.stdout) == [fingerprint(value) for value in different()]


def test_a_cached_attribute_does_not_change_a_fingerprint():
    depth = mfpde.Depth(3)
    before = fingerprint(depth)
    depth.weights  # noqa: B018
    assert fingerprint(depth) == before


def test_what_is_no_executor_is_refused():
    with pytest.raises(TypeError, match=r"executor must be a .*Executor or a dask Client; given 5"):
        map_runs(float, [{"x": 1}], executor=5)
