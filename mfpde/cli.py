"""The command ``mfpde``: solve a case, resume, look at and plot run files."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import mfpde
from mfpde import cases
from mfpde.runs import run_file
from mfpde.runs.solution import Solution


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 on success, 1 when a run failed, 2 on bad input."""
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"mfpde: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mfpde", description=mfpde.__doc__)
    parser.add_argument("--version", action="version", version=f"mfpde {mfpde.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], help_text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_text, description=help_text)
        sub.set_defaults(run=run)
        return sub

    solve = command("solve", _solve, "solve a case file (TOML) and write a run file")
    solve.add_argument("case", type=Path)
    solve.add_argument("--out", type=Path, help="run file; default: the case's name with .h5")
    resume = command("resume", _resume, "go on from a run file")
    resume.add_argument("file", type=Path)
    resume.add_argument("--s-end", type=float, help="a later end than the run's own")
    resume.add_argument("--loss-below", type=float, help="a lower goal than the run's own")
    info = command("info", _info, "say what a run file holds")
    info.add_argument("file", type=Path)
    plot = command("plot", _plot, "draw loss and gradient norm of a run file")
    plot.add_argument("file", type=Path)
    plot.add_argument("--out", type=Path, help="picture; default: the file's name with .png")
    command("env", _env, "versions and threads that a run's numbers depend on")
    return parser


def _solve(options: argparse.Namespace) -> int:
    case = cases.read(options.case)
    out = options.out or options.case.with_suffix(".h5")
    print(f"{case.problem}\n{case.rho0}")
    solution = mfpde.solve(
        case.problem, case.rho0, checkpoint=out, raise_on_failure=False, **case.solve
    )
    return _report(solution, out)


def _resume(options: argparse.Namespace) -> int:
    solution = mfpde.resume(
        options.file, s_end=options.s_end, loss_below=options.loss_below, raise_on_failure=False
    )
    return _report(solution, options.file)


def _report(solution: Solution, path: Path) -> int:
    print(f"{solution!r}\n{solution.message}\nwritten to {path}")
    return 0 if solution.success else 1


def _info(options: argparse.Namespace) -> int:
    solution = Solution.load(options.file)
    seconds = solution.stats.get("seconds", {})
    counts = {key: value for key, value in solution.stats.items() if key != "seconds"}
    print(f"{solution!r}\n{solution.message}\n{solution.problem}\n{solution.final}")
    print(f"saved states at s = {', '.join(f'{s:.6g}' for s in solution.saved_s)}")
    print("counts   " + ", ".join(f"{key} {value}" for key, value in counts.items()))
    print("seconds  " + ", ".join(f"{key} {value:.3g}" for key, value in seconds.items()))
    return 0


def _plot(options: argparse.Namespace) -> int:
    out = options.out or options.file.with_suffix(".png")
    Solution.load(options.file).plot().savefig(out)
    print(f"written to {out}")
    return 0


def _env(options: argparse.Namespace) -> int:
    import numba

    for name, version in run_file.versions().items():
        print(f"{name:10} {version}")
    print(f"{'machine':10} {platform.machine()}, {os.cpu_count()} cores")
    print(f"{'threads':10} numba {numba.get_num_threads()} ({numba.config.THREADING_LAYER})")
    try:
        import torch
    except ImportError:
        print(f"{'torch':10} not installed: networks are trained by the particle path")
    else:
        print(f"{'torch':10} {torch.__version__}, GPU {torch.cuda.is_available()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
