"""One line on a terminal: which part is refined, the error so far, what is left."""

from __future__ import annotations

from typing import Any

import numpy as np

from mfpde.runs.progress import bar, shown


class Display:
    """A bar over the decades between the first error and the tolerance."""

    def __init__(self, progress: bool | str, rtol: float) -> None:
        self._show, self._rtol = shown(progress), rtol
        self._first = self._error = np.inf
        self._part, self._left = "start", 0.0
        self._bar: Any = None

    def __enter__(self) -> Display:
        if self._show:
            layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} {postfix}"
            self._bar = bar(total=1.0, desc="limit", bar_format=layout, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def reached(self, error: float) -> None:
        """The error of the best result so far."""
        self._error = min(error, self._error)
        if np.isfinite(error) and not np.isfinite(self._first):
            self._first = error

    def show(self, part: str, left: float) -> None:
        """What is refined from now on, and the seconds it is expected to take."""
        self._part, self._left = part, left
        self.beat(0.0)

    def beat(self, fraction: float) -> None:
        """A run is under way, and this far."""
        if self._bar is None:
            return
        self._bar.n = self._done()
        left = f", about {self._left:.0f} s left" if self._left >= 1.0 else ""
        self._bar.set_postfix_str(
            f"{self._part}: run {fraction:.0%}; error so far {self._error:.1e} of "
            f"{self._rtol:g}{left}"
        )

    def _done(self) -> float:
        if not np.isfinite(self._first) or self._first <= self._rtol:
            return 0.0
        decades = np.log(self._first / self._rtol)
        return float(np.clip(np.log(self._first / self._error) / decades, 0.0, 1.0))
