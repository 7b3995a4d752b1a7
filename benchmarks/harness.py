"""What every benchmark shares: alternating contenders, ratios, the machine in words, one record."""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

OUT = Path("out/benchmarks")
SETTLE = 0.3  # seconds
PEERS = ("numpy", "scipy", "numba", "torch", "triton", "jax", "diffrax")


def alternate(
    contenders: dict[str, Callable[[], Any]],
    rounds: int,
    threads: int = 1,
    warm: int = 1,
    clock: Callable[[], float] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round; ``warm`` unrecorded rounds compile and warm first.

    One thread is timed by the processor time of this process, which other users of a shared
    machine do not lengthen; several threads by the clock on the wall, as is what a GPU does
    (``clock=time.perf_counter``). Before a run on several threads the thread pools of the others
    get time to stop spinning, and an unrecorded run wakes the contender's own.
    """
    clock = clock or (time.process_time if threads == 1 else time.perf_counter)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + warm):
        for name, run in contenders.items():
            if threads > 1:
                time.sleep(SETTLE)
                run()
            begin = clock()
            run()
            if turn >= warm:
                seconds[name].append(clock() - begin)
    return seconds


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Smallest, median and largest."""
    return min(values), float(np.median(values)), max(values)


def ratios(over: Sequence[float], under: Sequence[float]) -> tuple[float, float, float]:
    """Spread of the ratio of times taken in the same round."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def set_threads(count: int) -> threadpool_limits:
    """One limit for all: processor affinity where there is one, numba, BLAS, OpenMP and torch.

    JAX reads the affinity when it starts, so a process measures one number of threads.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    numba.set_num_threads(count)
    try:
        import torch

        torch.set_num_threads(count)
    except ImportError:
        pass
    return threadpool_limits(count)


def describe() -> dict[str, Any]:
    """The machine and the versions, for the record."""
    versions = {}
    for name in PEERS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "machine": f"{platform.machine()}, {numba.config.NUMBA_NUM_THREADS} threads",
        "python": platform.python_version(),
        **versions,
    }


def options(doc: str | None, rounds: int) -> argparse.Namespace:
    """The arguments every benchmark takes."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, default=rounds, help="timed rounds (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads (%(default)s)")
    parser.add_argument("--full", action="store_true", help="also what takes many minutes")
    return parser.parse_args()


def record(
    name: str, rows: list[dict[str, Any]], value: str, label: str, **more: list[dict[str, Any]]
) -> None:
    """Write the rows, and more, as JSON, the rows as a table (CSV), ``row[value]`` as bars.

    ``row[value]`` is (min, median, max).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    OUT.mkdir(parents=True, exist_ok=True)
    report = {"machine": describe(), "rows": rows, **more}
    (OUT / f"{name}.json").write_text(json.dumps(report, indent=1))
    lines = [_cells(row) for row in rows]
    with (OUT / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(lines)
    low, middle, high = np.array([row[value] for row in rows]).T
    figure, axes = plt.subplots(figsize=(6, 0.5 + 0.3 * len(rows)), layout="constrained")
    y = np.arange(len(rows))[::-1]
    axes.barh(y, middle, xerr=[middle - low, high - middle], color="0.7", capsize=2)
    axes.set_yticks(y, [row["case"] for row in rows])
    axes.set_xlabel(label)
    if high.max() > 100 * low.min():
        axes.set_xscale("log")
    axes.axvline(1.0, color="0.3", linewidth=0.8)
    save(figure, name)


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """A row as a table shows it: spreads as "min – median – max", nested rows side by side."""
    cells: dict[str, str] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            cells |= _cells(value)
        else:
            cells[key.replace("_", " ")] = _shown(value)
    return cells


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        texts = [_shown(one) for one in value]
        return " – ".join(texts if len({*texts}) > 1 else texts[:1])
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def save(figure: Any, name: str) -> None:
    """Write a figure as PDF and PNG, and close it."""
    import matplotlib.pyplot as plt

    for kind in ("pdf", "png"):
        figure.savefig(OUT / f"{name}.{kind}", dpi=150)
    plt.close(figure)
