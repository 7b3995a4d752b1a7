"""Compiled kernels: plain arrays in and out, the papers' letters."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba

# What may be reassociated without deleting NaN checks (``fastmath=True`` would).
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

# A parallel region costs tens of microseconds, and milliseconds where another process keeps the
# second core busy: below this many elementary operations one thread is faster.
PARALLEL_FROM = 1 << 17


@contextmanager
def threads_for(operations: int) -> Iterator[None]:
    """Within this context, kernels run on one thread if there is little to do."""
    before = numba.get_num_threads()
    numba.set_num_threads(before if operations >= PARALLEL_FROM else 1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
