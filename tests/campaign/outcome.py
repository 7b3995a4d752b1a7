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
    """Raises TimeoutError in what runs longer."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
