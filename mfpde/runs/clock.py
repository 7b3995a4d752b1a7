"""Counts of operations and the split of wall time of a run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

PARTS = ("compilation", "kernels", "linear_algebra", "recording")


class Clock:
    """Counters and seconds by part; compilation is timed by numba's own events.

    ``say`` is called whenever a compilation begins.
    """

    def __init__(self, say: Callable[[], None] | None = None) -> None:
        self.say = say
        self.counts: Counter[str] = Counter()
        self.extremes: dict[str, float] = {}
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._started = time.perf_counter()

    def worst(self, name: str, value: float) -> None:
        """Keep the largest value seen of a monitored quantity."""
        self.extremes[name] = max(value, self.extremes.get(name, value))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent inside to one part, less what went into compilation."""
        start, compiled = time.perf_counter(), self.seconds["compilation"]
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] += spent - (self.seconds["compilation"] - compiled)

    @contextmanager
    def compilation(self) -> Iterator[None]:
        """Listen to numba's compiler: for the start of a run, and for its length."""
        listener = _Outermost(self)
        event.register("numba:compile", listener)
        try:
            yield
        finally:
            event.unregister("numba:compile", listener)

    def report(self) -> dict[str, Any]:
        """Counts and seconds, total included."""
        total = time.perf_counter() - self._started
        return {**self.counts, **self.extremes, "seconds": {**self.seconds, "total": total}}


class _Outermost(event.Listener):
    """Sums the durations of compilations that are not part of another one."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._depth, self._start = clock, 0, 0.0

    def on_start(self, event: Any) -> None:
        if self._depth == 0:
            self._start = time.perf_counter()
            if self._clock.say is not None:
                self._clock.say()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._clock.seconds["compilation"] += time.perf_counter() - self._start
