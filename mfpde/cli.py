"""The command ``mfpde``: run and check case files, resume, look at and plot run files."""

from __future__ import annotations

import argparse
import contextlib
import inspect
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
from mfpde.cases import plugins, results
from mfpde.passes import ranks
from mfpde.runs import run_file, stored_problem
from mfpde.runs.atomic import check_writable

# Verbs that write a run file as they go; the others write their result when they end.
WRITTEN = ("solve", "train")
SHARED = ("solve", "limit", "train")  # that run on several processes
# The verbs of case files, and what the help says of them.
VERBS = {
    "solve": "train the law of parameters",
    "stationary": "the entropic optimum on a grid",
    "limit": "the limit, with error bars",
    "train": "train finite networks",
}


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 on success, 1 when a run failed or missed its goal, 2 on bad input."""
    options = _parser().parse_args(argv)
    try:
        plugins.load(getattr(options, "modules", []), Path())
        options.comm = ranks.world()
        if options.comm is None:
            return options.run(options)
        return _shared(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"mfpde: {error}", file=sys.stderr)
        return 2


def _shared(options: argparse.Namespace) -> int:
    """The command on several processes, of which the first one speaks."""
    if getattr(options, "verb", None) not in SHARED and options.run is not _resume:
        raise ValueError(f"only {', '.join(SHARED)} and resume run on several processes: start one")
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

    for verb, does in VERBS.items():
        sub = command(verb, _run, f"{does}, from a case file (TOML)")
        _case(sub)
        ending = _out(Path("CASE.toml"), verb)
        sub.add_argument("--out", type=Path, help=f"where the result goes; default: {ending}")
        sub.set_defaults(verb=verb)
    check = command("check", _check, "say what a case file would run, how large, and what is wrong")
    _case(check)
    new = command("new", _new, "write a commented case file NAME.toml and data NAME.csv")
    new.add_argument("name")
    resume = command("resume", _resume, "go on from a run file of solve or train")
    _file(resume)
    resume.add_argument("--s-end", type=float, help="a later end than the run's own")
    resume.add_argument("--loss-below", type=float, help="a lower goal than the run's own")
    _file(command("info", _info, "say what the file of a result holds"))
    plot = command("plot", _plot, "draw the result in a file")
    _file(plot)
    plot.add_argument("--out", type=Path, help="picture; default: the file's name with .png")
    table = command("table", _table, "write the series of the result in a file as CSV")
    _file(table)
    table.add_argument("--out", type=Path, help="table; default: the file's name, .table.csv")
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
    _import(parser)


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    _import(parser)


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        action="append",
        default=[],
        dest="modules",
        metavar="MODULE",
        help="a module of your own that registers blocks, activations or losses; its code is run",
    )


def _out(case: Path, verb: str) -> Path:
    """Where the result of a verb goes by default: no verb overwrites another's."""
    return case.with_suffix(".h5" if verb == "solve" else f".{verb}.h5")


def _run(options: argparse.Namespace) -> int:
    case = cases.read(options.case, options.changes)
    verb, how = options.verb, case.arguments(options.verb)
    out = check_writable("--out", options.out or _out(options.case, verb))
    start = case.law if verb in cases.FROM_LAW else case.rho0
    print(f"{case.problem}\n{start}")
    if verb != "limit":
        how["raise_on_failure"] = False
    if verb in WRITTEN:
        how["checkpoint"] = out
    if verb in SHARED:
        how["comm"] = options.comm
    call = cases.verbs()[verb]
    if case.observe and "observe" in inspect.signature(call).parameters:
        how["observe"] = case.observe
    elif case.observe:
        print(f"[observe] is left out: {verb} records its own series only")
    try:
        found = call(case.problem, start, **how)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{case.name}: [{verb}]: {error}") from None
    if verb not in WRITTEN and (options.comm is None or options.comm.Get_rank() == 0):
        found.save(out)
    return _report(found, out, how.get("loss_below"))


def _report(found: Any, path: Path, goal: float | None) -> int:
    """Say how it ended; 0 where it succeeded and its goal, if there was one, was met."""
    print(f"{found!r}\n{found.message}\nwritten to {path}")
    if goal is None:
        return 0 if found.success else 1
    bar = getattr(found, "loss_error", [0.0])[-1]
    if found.loss[-1] + bar <= goal:
        return 0 if found.success else 1
    with_bar = f" ± {bar:.2g}" if bar else ""
    print(f"loss_below = {goal:g} was missed: the loss is {found.loss[-1]:.6g}{with_bar}")
    return 1


def _check(options: argparse.Namespace) -> int:
    from mfpde.cases.size import describe

    for line in describe(cases.read(options.case, options.changes)):
        print(line)
    return 0


def _new(options: argparse.Namespace) -> int:
    from mfpde.cases.reference import first

    name = Path(options.name.removesuffix(".toml"))
    if not name.name or not name.parent.is_dir():
        raise ValueError(f"NAME must be that of a file in a folder that exists; given {name}")
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
    how: dict[str, Any] = {"s_end": options.s_end, "comm": options.comm, "raise_on_failure": False}
    if run_file.format_of(options.file) == "mfpde training":
        if options.loss_below is not None:
            raise ValueError("--loss-below is for runs of solve; networks are trained to --s-end")
        return _report(mfpde.resnet.resume(options.file, **how), options.file, None)
    how |= {"loss_below": options.loss_below}
    found = mfpde.resume(options.file, **how)
    return _report(found, options.file, found.options.loss_below)


def _info(options: argparse.Namespace) -> int:
    print("\n".join(results.describe(results.load(options.file))))
    return 0


def _plot(options: argparse.Namespace) -> int:
    out = check_writable("--out", options.out or options.file.with_suffix(".png"))
    figure = results.load(options.file).plot()
    if out.suffix[1:].lower() not in (known := figure.canvas.get_supported_filetypes()):
        raise ValueError(f"--out must end in .{', .'.join(known)}; given {out.name}")
    figure.savefig(out)
    print(f"written to {out}")
    return 0


def _table(options: argparse.Namespace) -> int:
    out = options.out or options.file.with_suffix(".table.csv")  # FILE.csv may well be the data
    results.write_table(results.load(options.file), out)
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
