"""Compiled kernels: plain arrays in and out, the papers' letters."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numba
from threadpoolctl import ThreadpoolController

# What may be reassociated without deleting NaN checks (``fastmath=True`` would).
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

# A parallel region costs tens of microseconds, and milliseconds where another process keeps the
# second core busy: below this many elementary operations one thread is faster.
PARALLEL_FROM = 1 << 17


def threads_for(operations: int) -> int:
    """How many threads to use: one if there is little to do."""
    return int(numba.get_num_threads()) if operations >= PARALLEL_FROM else 1


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # a look at every loaded library: once is enough


@contextmanager
def serial_blas() -> Iterator[None]:
    """Within this context a BLAS call stays on the thread that makes it.

    BLAS keeps its idle threads spinning for the next call; where small products alternate with
    kernels of our own, the two pools take the cores from each other (6 times slower on 2 cores).
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield
