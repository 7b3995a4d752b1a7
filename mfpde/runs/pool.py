"""Spawned processes for work that is many runs."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

# Read by libraries when they are loaded; those loaded already are limited call by call.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def spawned(workers: int, *, threads: int | None = 1) -> Iterator[ProcessPoolExecutor]:
    """``workers`` fresh processes with so many threads of BLAS and OpenMP each (None: as set).

    Ctrl-C is the parent's business; on it, or on an error, what they do is not waited for.
    """
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(threads,))
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin(threads: int | None) -> None:
    """What a spawned process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads is not None:
        os.environ.update(dict.fromkeys(THREADS, str(threads)))
