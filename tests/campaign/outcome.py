"""What became of one hostile case."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

# Right numbers; an error that says what is wrong; one that does not; wrong numbers without a word;
# no end; the death of the process.
KINDS = ("right", "clear", "unclear", "silent", "hang", "crash")


class Outcome(NamedTuple):
    """The kind of outcome of a case, and what was seen."""

    kind: str
    case: str
    text: str = ""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in what computes longer, or waits a dozen times as long.

    Time of the processor: a machine that others use as well is no hang.
    """
    timers = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}

    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds:g} s")

    before = {which: signal.signal(which, late) for which in timers}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 12.0 * seconds)
    try:
        yield
    finally:
        for which, timer in timers.items():
            signal.setitimer(timer, 0.0)
            signal.signal(which, before[which])
