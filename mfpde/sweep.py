"""Many runs: a function over cases, on any executor, with finished cases kept."""

from __future__ import annotations

import itertools
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import numba
from threadpoolctl import threadpool_limits

from mfpde import checks
from mfpde.runs import plain, run_file
from mfpde.runs.atomic import PathLike
from mfpde.runs.fingerprint import code_mark, fingerprint
from mfpde.runs.pool import cores, spawned
from mfpde.runs.progress import track
from mfpde.runs.run_file import Record

T = TypeVar("T")
Case = Mapping[str, Any]

FORMAT = "mfpde sweep result"


class SweepError(RuntimeError):
    """A case failed; ``index`` and ``case`` say which, ``__cause__`` why."""

    def __init__(self, index: int, case: Case, error: BaseException) -> None:
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, BrokenExecutor):
            why = (
                "its process died: of memory, or since the script that calls map_runs does not do "
                'so under if __name__ == "__main__"'
            )
        super().__init__(f"case {index}, {dict(case)!r}: {why}")
        self.index, self.case = index, case


@checks.typed
def grid(**axes: Iterable[Any]) -> list[dict[str, Any]]:
    """All combinations as cases, the last name fastest: ``grid(layers=[2, 4], seed=range(5))``."""
    for name, axis in axes.items():
        if not isinstance(axis, Iterable):
            raise TypeError(f"{name} must hold the values to take; given {checks.brief(axis)}")
    values = [list(axis) for axis in axes.values()]
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*values)]


@checks.typed
def map_runs(
    function: Callable[..., T],
    cases: Iterable[Case],
    executor: Any = None,
    *,
    workers: int | None = None,
    folder: PathLike | None = None,
    progress: bool | str = "auto",
) -> list[T]:
    """``[function(**case) for case in cases]``, spread over processes, in the order of the cases.

    ``executor``: any ``concurrent.futures.Executor``, which stays open (MPI's pool, say), or a dask
    ``Client``; by default ``workers`` spawned processes (one for each core), for which the
    function must be importable, or defined in a script that calls this under
    ``if __name__ == "__main__"``; ``workers=0`` stays in this process. A case runs with one thread
    of BLAS, numba and torch, and all it knows is in its keywords, its seed included: results do
    not depend on the number of workers.

    ``folder``: each finished case is kept there, in a file named after the function, its code and
    the values of the case, written whole or not at all. A sweep that was killed and is called
    again computes what is missing, and so does one whose function was changed (the function
    itself; what it calls is not looked at: take another folder after changing that). Results must
    then be plain: numbers, strings, arrays, and lists, tuples and dicts of them. No code is run
    from such a file, and one that is damaged is an error.

        cases = mfpde.sweep.grid(layers=[8, 16], width=[32, 64], seed=range(10))
        errors = mfpde.sweep.map_runs(error_of, cases, folder="out/errors")

    Raises SweepError that names the first case to fail, once those under way have ended and are
    kept; TypeError for a function or case that cannot be sent or named, or a result that cannot
    be kept; ValueError for a damaged file in ``folder``.
    """
    if hasattr(executor, "get_executor"):
        executor = executor.get_executor()
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(
            "executor must be a concurrent.futures.Executor or a dask Client; given "
            + checks.brief(executor)
        )
    listed = [dict(checks.instance(f"cases[{k}]", case, Mapping)) for k, case in enumerate(cases)]
    store = _Store(function, listed, folder)
    results: dict[int, T] = store.load()
    missing = [k for k in range(len(listed)) if k not in results]
    failed: tuple[int, BaseException] | None = None
    label = getattr(function, "__name__", "runs")
    with _outcomes(executor, workers, function, listed, missing) as outcomes:
        for k, future in track(outcomes, label, progress, total=len(missing)):
            error = future.exception()
            if error is None:
                results[k] = store.keep(k, future.result())
            elif failed is None:
                failed = k, error
                outcomes.stop()
    if failed is not None:
        raise SweepError(failed[0], listed[failed[0]], failed[1]) from failed[1]
    return [results[k] for k in range(len(listed))]


class _Outcomes:
    """Finished futures as they come; after ``stop``, only of the cases already under way."""

    def __init__(self, futures: Mapping[Future[Any], int]) -> None:
        self.futures = futures
        self._stopped = False

    def __iter__(self) -> Iterator[tuple[int, Future[Any]]]:
        seen = set()
        for future in as_completed(self.futures):
            seen.add(future)
            yield self.futures[future], future
            if self._stopped:
                break
        # Not by as_completed: some executors never report a future that was cancelled.
        rest = [future for future in self.futures if future not in seen and not future.cancelled()]
        wait(rest)
        yield from ((self.futures[future], future) for future in rest)

    def stop(self) -> None:
        self._stopped = True
        for future in self.futures:
            future.cancel()


class _Here:
    """The same in this process, one case after another."""

    def __init__(self, function: Callable[..., Any], cases: list[Any], missing: list[int]) -> None:
        self._function, self._cases, self._left = function, cases, missing

    def __iter__(self) -> Iterator[tuple[int, Future[Any]]]:
        while self._left:
            k, *self._left = self._left
            future: Future[Any] = Future()
            try:
                future.set_result(_call(self._function, self._cases[k]))
            except Exception as error:
                future.set_exception(error)
            yield k, future

    def stop(self) -> None:
        self._left = []


@contextmanager
def _outcomes(
    executor: Executor | None,
    workers: int | None,
    function: Callable[..., Any],
    cases: list[Any],
    missing: list[int],
) -> Iterator[_Outcomes | _Here]:
    """Submit what is missing; whatever happens, leave nothing of it behind."""
    if executor is None and (workers == 0 or not missing):
        yield _Here(function, cases, missing)
        return
    own = _pool(workers, function, len(missing)) if executor is None else nullcontext(executor)
    with own as pool:
        futures = {pool.submit(_call, function, cases[k]): k for k in missing}
        outcomes = _Outcomes(futures)
        try:
            yield outcomes
        finally:
            outcomes.stop()


@contextmanager
def _pool(workers: int | None, function: Callable[..., Any], most: int) -> Iterator[Executor]:
    """Spawned processes, for a function that can be sent to them."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if getattr(function, "__module__", None) == "__main__" and not Path(script or "").is_file():
        raise TypeError(
            "function is defined in an interactive session, which other processes cannot import: "
            "put it into a module, or use workers=0"
        )
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"function must be importable, that is defined at the level of a module, to be sent "
            f"to other processes ({error}); workers=0 runs it here"
        ) from None
    count = cores() if workers is None else checks.count("workers", workers)
    with spawned(min(count, most)) as pool:
        yield pool


def _call(function: Callable[..., T], case: Case) -> T:
    """One case, with one thread of everything."""
    torch, threads = sys.modules.get("torch"), numba.get_num_threads()
    of_torch = 1 if torch is None else torch.get_num_threads()
    try:
        numba.set_num_threads(1)
        if torch is not None:
            torch.set_num_threads(1)
        with threadpool_limits(1):
            return function(**case)
    finally:
        numba.set_num_threads(threads)
        if torch is not None:
            torch.set_num_threads(of_torch)


class _Store:
    """Results of finished cases, one file each; no folder, no files."""

    def __init__(
        self, function: Callable[..., Any], cases: list[Any], folder: PathLike | None
    ) -> None:
        self._paths: list[Path] = []
        if folder is not None:
            root, name = Path(folder), getattr(function, "__name__", type(function).__name__)
            root.mkdir(parents=True, exist_ok=True)
            code, word = code_mark(function), re.sub(r"\W", "_", name)[:60]
            marks = [fingerprint((function, code, case)) for case in cases]
            self._paths = [root / f"{word}-{mark}.h5" for mark in marks]

    def load(self) -> dict[int, Any]:
        """Results that are there, by the index of their case."""
        found = {k: path for k, path in enumerate(self._paths) if path.is_file()}
        return {k: self._read(path) for k, path in found.items()}

    def keep(self, k: int, result: T) -> T:
        if self._paths:
            arrays: dict[str, Any] = {}
            try:
                tree = plain.write(result, arrays)
            except TypeError as error:
                raise TypeError(f"folder: the result of case {k} cannot be kept: {error}") from None
            run_file.save(Record(FORMAT, {"result": tree}, arrays=arrays), self._paths[k])
        return result

    @staticmethod
    def _read(path: Path) -> Any:
        found = run_file.load(path, FORMAT)
        with run_file.naming(path):
            return plain.read(found.fixed["result"], found.arrays)
