"""All figures as one command: every validation script, every figure, one sheet.

    python figures/all_figures.py             what is not there yet, as many at a time as cores
    python figures/all_figures.py --all       the three longest at their default sizes, too
    python figures/all_figures.py --quick     small versions, a few seconds each
    python figures/all_figures.py --publish   all, and the page of results, docs/validation.md

Scripts run at their default sizes; the three that take five minutes and more (LONGEST: thousands of
networks, dozens of limits) in their small versions, unless --all is given. A script that fails, or
whose claims do not hold, is named at the end, and its output is in out/NAME/log.txt. The sheet of
all figures is out/contact_sheet.png; out/times.csv has the wall time of each.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import published
from drawing import PAGE, ROOT, save, style
from matplotlib.image import imread
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
NO_FIGURES = {"drawing", "all_figures", "published"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
LONGEST = ("predicted_networks", "size_for_loss", "limit_calibration")
# Long ones first, so that no core waits for one of them at the end.
LONG = (*LONGEST, "zero_loss", "hidden_width", "optimisers", "phase_diagram", "joint_flow")
COLUMNS = 5  # of the sheet


class Outcome(NamedTuple):
    name: str
    status: int
    seconds: float


def names() -> list[str]:
    """Figure scripts, long ones first."""
    found = {path.stem for path in HERE.glob("*.py")} - NO_FIGURES
    return [*(name for name in LONG if name in found), *sorted(found.difference(LONG))]


def run(name: str, out: Path, quick: bool) -> Outcome:
    """One figure and what it needs, on one thread; its output goes to log.txt."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, HERE / f"{name}.py", "--data", folder, *["--quick"] * quick]
    start = time.perf_counter()
    with (folder / "log.txt").open("w") as log:
        how = {"stdout": log, "stderr": subprocess.STDOUT, "env": os.environ | ONE_THREAD}
        status = subprocess.run(list(map(str, command)), check=False, **how).returncode
    return Outcome(name, status, time.perf_counter() - start)


def sheet(out: Path, drawn: list[str]) -> None:
    """All figures on one page, by name."""
    pictures = {name: out / name / f"{name}.png" for name in sorted(drawn)}
    pictures = {name: path for name, path in pictures.items() if path.is_file()}
    if not pictures:
        return
    rows = -(-len(pictures) // COLUMNS)
    with style() as plt:
        page, axes = plt.subplots(rows, COLUMNS, figsize=(2 * PAGE, 1.7 * rows), squeeze=False)
        for ax in axes.flat:
            ax.axis("off")
        for ax, (name, path) in zip(axes.flat, pictures.items(), strict=False):
            ax.imshow(imread(path), interpolation="antialiased")
            ax.set_title(name)
        save(page, out, "contact_sheet")
        plt.close(page)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small versions")
    parser.add_argument("--all", action="store_true", help=f"{', '.join(LONGEST)} at full size")
    parser.add_argument(
        "--publish", action="store_true", help="as --all, and write docs/validation.md"
    )
    parser.add_argument("--only", nargs="+", choices=names(), default=names(), help="some of them")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="scripts at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="folder of all data")
    chosen = parser.parse_args(argv)
    small = () if chosen.all or chosen.publish else LONGEST
    with ThreadPoolExecutor(chosen.workers) as pool:
        jobs = [
            pool.submit(run, name, chosen.out, chosen.quick or name in small)
            for name in chosen.only
        ]
        done = [
            job.result() for job in tqdm(as_completed(jobs), "figures", len(jobs), disable=None)
        ]
    with (chosen.out / "times.csv").open("w", newline="") as file:
        csv.writer(file).writerows([Outcome._fields, *sorted(done)])
    sheet(chosen.out, chosen.only)
    if chosen.publish:
        published.publish(chosen.out)
    failed = sorted(one.name for one in done if one.status)
    if failed:
        print(f"failed: {', '.join(failed)}; see log.txt in their folders of {chosen.out}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
