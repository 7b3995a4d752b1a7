"""Parallel regions: one at a time in a process, and none in the child of a fork.

Numba's threading layers differ in what kills a process. Under ``workqueue`` two Python threads in a
parallel region abort it, under ``omp`` (GNU OpenMP) so does a region in the child of a process that
has had one. Every region of the package goes through ``shared``, which makes threads wait for each
other and gives a child the same shares in turn, on one thread: the numbers are the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any


class _Region:
    """Who is in a parallel region, and whether this process may enter one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.child = False

    def after_fork(self) -> None:
        self.lock = threading.Lock()  # a thread that is not here may have held the old one
        self.child = True


_region = _Region()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_region.after_fork)


def shared(
    together: Callable[..., None], share: Callable[..., None], threads: int, *arguments: Any
) -> None:
    """``share(t, *arguments)`` for every t < threads, at once by the compiled ``together``."""
    if threads > 1 and not _region.child:
        with _region.lock:
            together(*arguments)
        return
    for t in range(threads):
        share(t, *arguments)
