"""The command ``mfpde``: run and check case files, resume, look at and plot run files."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mfpde
from mfpde import cases
from mfpde.passes import ranks
from mfpde.runs import stored_problem
from mfpde.runs.solution import Solution

WRITTEN = ("solve", "train")  # verbs that write a run file


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 on success, 1 when a run failed or missed its goal, 2 on bad input."""
    options = _parser().parse_args(argv)
    try:
        options.comm = ranks.world()
        if options.comm is None:
            return options.run(options)
        return _shared(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"mfpde: {error}", file=sys.stderr)
        return 2


def _shared(options: argparse.Namespace) -> int:
    """The command on several processes, of which the first one speaks."""
    if getattr(options, "verb", None) != "solve" and options.run is not _resume:
        raise ValueError("only solve and resume run on several processes: start one")
    if options.comm.Get_rank() == 0:
        return options.run(options)
    with contextlib.redirect_stdout(io.StringIO()):
        return options.run(options)


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

    for verb in ("solve", "stationary", "limit", "train"):
        sub = command(verb, _run, f"{verb} a case file (TOML)")
        _case(sub)
        if verb in WRITTEN:
            sub.add_argument("--out", type=Path, help="run file; default: the case's name with .h5")
        sub.set_defaults(verb=verb)
    check = command("check", _check, "say what a case file would run, how large, and what is wrong")
    _case(check)
    new = command("new", _new, "write a commented case file NAME.toml and data NAME.csv")
    new.add_argument("name")
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


def _case(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=Path)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="SECTION.KEY=VALUE",
        help="replace a key of the case file, for instance solve.s_end=50",
    )


def _run(options: argparse.Namespace) -> int:
    case = cases.read(options.case, options.changes)
    verb, how = options.verb, case.arguments(options.verb)
    start = case.law if verb in cases.FROM_LAW else case.rho0
    print(f"{case.problem}\n{start}")
    if verb != "limit":
        how["raise_on_failure"] = False
    if verb in WRITTEN:
        how["checkpoint"] = options.out or options.case.with_suffix(".h5")
    if verb == "solve":
        how["comm"] = options.comm
    found = cases.verbs()[verb](case.problem, start, **how)
    print(f"{found!r}\n{found.message}")
    if verb in WRITTEN:
        print(f"written to {how['checkpoint']}")
    return _status(found, how.get("loss_below"))


def _status(found: Any, goal: float | None) -> int:
    """0 where the run succeeded and its goal, if there was one, was met."""
    missed = goal is not None and not found.loss[-1] <= goal
    if missed:
        print(f"loss_below = {goal:g} was missed: the loss is {found.loss[-1]:.6g}")
    return 0 if found.success and not missed else 1


def _check(options: argparse.Namespace) -> int:
    from mfpde.cases.size import describe

    for line in describe(cases.read(options.case, options.changes)):
        print(line)
    return 0


def _new(options: argparse.Namespace) -> int:
    from mfpde.cases.reference import first

    name = options.name.removesuffix(".toml")
    case, points = (Path(f"{name}.{ending}") for ending in ("toml", "csv"))
    for path in (case, points):
        if path.exists():
            raise ValueError(f"{path} exists already")
    x = np.linspace(-1.0, 1.0, 16)
    rows = [f"{a:.6f},{b:.6f}" for a, b in zip(x, np.sin(np.pi * x), strict=True)]
    points.write_text("\n".join(["x,y", *rows, ""]), encoding="utf-8")
    case.write_text(first(case.stem), encoding="utf-8")
    print(f"written to {case} and {points}")
    return 0


def _resume(options: argparse.Namespace) -> int:
    solution = mfpde.resume(
        options.file,
        s_end=options.s_end,
        loss_below=options.loss_below,
        raise_on_failure=False,
        comm=options.comm,
    )
    return _report(solution, options.file)


def _report(solution: Solution, path: Path) -> int:
    print(f"{solution!r}\n{solution.message}\nwritten to {path}")
    return _status(solution, solution.options.loss_below)


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

    for name, version in stored_problem.versions().items():
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
