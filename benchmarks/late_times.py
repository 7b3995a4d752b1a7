"""How far a tolerance on local errors carries: E along whole runs of "auto", on 23 problems.

For each problem and rtol: the largest relative error of E at any step, in units of rtol, and work
W = 5.2 kernels + gradients, against rk45 at rtol 1e-9. With ``--companion`` also what
``global_error=True`` says, largest estimate over largest error. ``--only`` takes the problems whose
names contain a word. Prints the table of the README and writes it as CSV; an hour of one core for
all at three tolerances (``--full``: four), a few minutes with ``--only held``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from typing import Any

import harness
import numpy as np
from late_problems import HELD_OUT, KNOWN, Case
from scipy.interpolate import CubicHermiteSpline

import mfpde

KERNEL = 5.2  # gradients that a kernel with its factorisation is worth on these problems
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6)
MOST = 100_000


def reference(case: Case) -> CubicHermiteSpline:
    """log E over s, by explicit steps."""
    how = {"method": "rk45", "rtol": 1e-9, "atol": 1e-13, "max_steps": MOST}
    run = mfpde.solve(case.problem, case.rho0, s_end=case.end, **how)
    return CubicHermiteSpline(run.s, np.log(run.loss), -run.gradient_norm2 / run.loss)


def judged(case: Case, exact: CubicHermiteSpline, rtol: float, companion: bool) -> dict[str, float]:
    """Largest error of E over rtol, work, and the largest estimate over the largest error."""
    how = {"rtol": rtol, "max_steps": MOST, "global_error": companion}
    run = mfpde.solve(case.problem, case.rho0, s_end=case.end, raise_on_failure=False, **how)
    error = float(np.abs(run.loss / np.exp(exact(run.s)) - 1).max())
    work = KERNEL * run.stats.get("kernels", 0) + run.stats["gradients"]
    found = {"rtol": rtol, "error over rtol": error / rtol, "work": work}
    return found | (
        {"claimed over true": float(run.errors.loss.max()) / error} if companion else {}
    )


def measured(
    named: dict[str, Callable[[], Case]], tolerances: Sequence[float], companion: bool
) -> list[dict[str, Any]]:
    """A row a problem and tolerance."""
    rows = []
    for name, make in named.items():
        case = make()
        exact = reference(case)
        for rtol in tolerances:
            rows.append({"problem": name, **judged(case, exact, rtol, companion)})
            print(*(f"{key} {value:.3g}" for key, value in list(rows[-1].items())[1:]),
                  name, sep=", ", file=sys.stderr)  # fmt: skip
    return rows


def show(rows: list[dict[str, Any]], tolerances: Sequence[float]) -> None:
    """The table of the README: a line a problem, a column a tolerance."""
    print(f"| | {' | '.join(f'{rtol:g}' for rtol in tolerances)} |")
    print(f"|---|{'---|' * len(tolerances)}")
    for first in range(0, len(rows), len(tolerances)):
        line = rows[first : first + len(tolerances)]
        cells = (f"{row['error over rtol']:.2g} ({row['work']:.0f})" for row in line)
        print(f"| {line[0]['problem']} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a word of the names")
    parser.add_argument("--companion", action="store_true", help="global_error=True beside it")
    parser.add_argument("--full", action="store_true", help="rtol 1e-6 too")
    given = parser.parse_args()
    named = {**KNOWN, **{f"held out: {name}": make for name, make in HELD_OUT.items()}}
    named = {name: make for name, make in named.items() if given.only in name}
    tolerances = TOLERANCES if given.full else TOLERANCES[:-1]
    with harness.set_threads(1):
        rows = measured(named, tolerances, given.companion)
    show(rows, tolerances)
    harness.OUT.mkdir(parents=True, exist_ok=True)
    with (harness.OUT / "late_times.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
