"""Progress bars: tqdm on a terminal and in notebooks, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

COMPILING = "mfpde: compiling kernels, once for each kind of run on a machine (mfpde.warmup)"


def shown(progress: bool | str) -> bool:
    """Whether to show a bar: True, False, or "auto" (on a terminal, and in a notebook)."""
    if progress == "auto":
        return sys.stderr.isatty() or in_notebook()
    if isinstance(progress, bool):
        return progress
    raise ValueError(f"progress must be True, False or 'auto'; given {progress!r}")


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, which is no terminal but is watched."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def bar(*items: Any, **how: Any) -> Any:
    """A bar of tqdm: a widget in notebooks that have widgets, else text on stderr."""
    if in_notebook() and find_spec("ipywidgets"):
        from tqdm.notebook import tqdm as widget

        return widget(*items, **how)
    from tqdm import tqdm

    return tqdm(*items, **how)


def track(
    items: Iterable[T], label: str, progress: bool | str = "auto", total: int | None = None
) -> Iterator[T]:
    """Iterate with a bar; ``total`` where the items have no length."""
    return iter(bar(items, desc=label, disable=not shown(progress), leave=False, total=total))


class Compiling:
    """Called when kernels are compiled: says so once, where bars are shown."""

    def __init__(self, progress: bool | str) -> None:
        self._waiting = shown(progress)

    def __call__(self) -> None:
        if self._waiting:
            from tqdm import tqdm

            tqdm.write(COMPILING, file=sys.stderr)
            self._waiting = False


class Progress:
    """A bar over training time, or over decades of the loss where ``loss_below`` is the goal."""

    def __init__(self, progress: bool | str, s_end: float, loss_below: float | None) -> None:
        self._show, self._s_end, self._goal = shown(progress), s_end, loss_below
        self._first: float | None = None
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self._show:
            layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} {postfix}"
            self._bar = bar(total=1.0, desc="flow", bar_format=layout, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, s: float, loss: float) -> None:
        if self._bar is None:
            return
        self._first = self._first or loss
        self._bar.n = self._fraction(s, loss)
        self._bar.set_postfix_str(f"s={s:.4g} loss={loss:.3e}")

    def _fraction(self, s: float, loss: float) -> float:
        done = s / self._s_end if np.isfinite(self._s_end) else 0.0
        if self._goal and self._first and 0 < loss < self._first and self._first > self._goal:
            done = max(done, np.log(self._first / loss) / np.log(self._first / self._goal))
        return float(min(max(done, 0.0), 1.0))


class Stagewise:
    """One line for work in stages of unknown length: which is under way, and what is done."""

    def __init__(self, label: str, progress: bool | str) -> None:
        self._show, self._label = shown(progress), label
        self._bar: Any = None

    def __enter__(self) -> Stagewise:
        if self._show:
            from tqdm import tqdm

            self._bar = tqdm(
                desc=self._label, bar_format="{desc}: {elapsed} {postfix}", leave=False
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, stage: str, done: dict[str, float]) -> None:
        """The stage at work, and the work done in each, in runs."""
        if self._bar is not None:
            told = ", ".join(f"{name} {value:.2f}" for name, value in done.items() if value)
            self._bar.set_postfix_str(f"{stage} (work in runs: {told})")
