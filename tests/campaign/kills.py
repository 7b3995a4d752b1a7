"""kill −9 at a random instant of a run that writes checkpoints; then it goes on, bit for bit.

The run is a child of this process, killed without warning; whatever it left behind is read here and
taken to its end. That end must be the one of the run that nobody disturbed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from outcome import Outcome, limited
from problems import gaussian_measure, sine

import mfpde
from mfpde import laws, resnet

SECONDS = 60.0  # to go on to the end


def runs(rng: np.random.Generator) -> tuple[str, Callable[[Path], Any], Callable[[Path], Any]]:
    """A name, a run that writes to a path, and what goes on from there; both to the same end."""
    kind = str(rng.choice(["gd", "rk4", "rk45", "implicit", "auto", "grid", "joint", "network"]))
    loss = str(rng.choice(["squared", "cross_entropy"]))
    seed, decay = int(rng.integers(1000)), float(rng.choice([0.0, 0.5]))
    if kind == "network":
        return _network(sine(loss=loss), seed)
    how: dict[str, Any] = {"save": 3, "progress": False, "raise_on_failure": False}
    if kind == "grid":
        problem = mfpde.Problem(
            np.linspace(-1, 1, 6)[:, None], np.sin(np.arange(6.0)), block=mfpde.SHL(1, bias=False)
        )
        law = laws.Uniform([-1.5, -1.5], [1.5, 1.5])
        rho: Any = mfpde.GridMeasure.from_law(law, mfpde.Depth(2), cells=8)
        how |= {"s_end": 2.0, "method": "muscl"}
    else:
        problem = sine(loss=loss)
        law = laws.Gaussian(1.0, dim=problem.block.size)
        joint = mfpde.JointMeasure.from_law(law, count=24, seed=seed)
        rho = joint if kind == "joint" else gaussian_measure(problem, mfpde.Depth(2), seed=seed)
        how |= {"s_end": 3.0, "method": "rk45" if kind == "joint" else kind}
        how |= {"vanishing_decay": decay} if kind != "joint" else {}
        how |= {"step": 0.05} if kind in ("gd", "rk4") else {}

    def begin(path: Path, **more: Any) -> Any:
        sol = mfpde.solve(problem, rho, checkpoint=path, checkpoint_every=0.0, **how, **more)
        return sol.final.state, sol.s, sol.loss, np.array(sol.states)

    def go_on(path: Path) -> Any:
        sol = mfpde.resume(path, progress=False, raise_on_failure=False)
        return sol.final.state, sol.s, sol.loss, np.array(sol.states)

    return f"{kind} {loss} decay {decay:g} seed {seed}", begin, go_on


def _network(problem: mfpde.Problem, seed: int) -> tuple[str, Any, Any]:
    law = laws.Gaussian(1.0, dim=problem.block.size)
    optimizer = [None, resnet.Adam(), resnet.SGD(batch=4)][seed % 3]
    shape = {"layers": 3, "width": 4, "seeds": 2, "s_end": 1.5, "step": 0.02, "device": "cpu"}
    more = {} if optimizer is None else {"optimizer": optimizer}

    def begin(path: Path) -> Any:
        found = resnet.train(
            problem, law, checkpoint=path, checkpoint_every=0.0, progress=False,
            backend="particles", **shape, **more,
        )  # fmt: skip
        return found.theta, found.s, found.loss

    def go_on(path: Path) -> Any:
        found = resnet.resume(path, progress=False)
        return found.theta, found.s, found.loss

    return f"network {optimizer} seed {seed}", begin, go_on


def judge(seed: int, folder: Path) -> Iterator[Outcome]:
    """Outcomes of four kills of one run."""
    rng = np.random.default_rng(seed)
    name, begin, go_on = runs(rng)
    start = time.monotonic()
    expected = begin(folder / f"whole-{seed}.h5")
    length = time.monotonic() - start
    for k in range(4):
        path = folder / f"killed-{seed}-{k}" / "run.h5"
        path.parent.mkdir()
        case = f"{name} (seed {seed}, kill {k})"
        if not _killed(begin, path, float(rng.uniform(0.0, 1.1 * length))):
            yield Outcome("crash", case, "the child ended by itself, with an error")
            continue
        yield _compare(case, path, go_on, expected)
        left = [entry.name for entry in path.parent.iterdir() if entry != path]
        if path.exists() and left:
            yield Outcome("silent", case, f"left behind: {left}")


def _killed(begin: Callable[[Path], Any], path: Path, after: float) -> bool:
    """Run in a child and kill it; whether it lived until then, or ended well before."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            begin(path)
            code = 0
        finally:
            os._exit(code)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0


def _compare(case: str, path: Path, go_on: Callable[[Path], Any], expected: Any) -> Outcome:
    if not path.exists():
        return Outcome("right", case, "killed before the first checkpoint")
    try:
        with limited(SECONDS):
            found = go_on(path)
    except TimeoutError as error:
        return Outcome("hang", case, str(error))
    except Exception as error:
        return Outcome("unclear", case, f"{type(error).__name__}: {error}")
    names = ("state", "s", "loss", "saved states")
    for what, a, b in zip(names, found, expected, strict=False):
        if not np.array_equal(a, b):
            return Outcome("silent", case, f"{what} differs from the undisturbed run's")
    return Outcome("right", case)
