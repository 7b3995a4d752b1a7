"""NaN from a random call of what computes: a run ends NON_FINITE or STEP_TOO_SMALL, series finite.

The compiled passes, or a block of the user's own, return NaN in a random entry, once or from some
call on. A run that meets one NaN may step around it; a run that ends well has ended well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np
from outcome import Outcome, limited
from problems import Cubic, gaussian_measure, sine

import mfpde
from mfpde import laws, resnet
from mfpde.kernels import shl
from mfpde.runs.status import SolveError, Status

SECONDS = 30.0
ENDS = (Status.NON_FINITE, Status.STEP_TOO_SMALL)


class Spoiler:
    """Wraps functions; from its ``at``-th call on, or there only, an entry of a result is NaN."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.calls = rng, 0
        self.at, self.once = int(rng.integers(1, 60)), bool(rng.integers(2))
        self.value = float(rng.choice([np.nan, np.inf, -np.inf]))

    def __call__(self, function: Any) -> Any:
        def spoiled(*args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            self.calls += 1
            if self.calls == self.at or (self.calls > self.at and not self.once):
                for part in found if isinstance(found, tuple) else (found,):
                    if isinstance(part, np.ndarray):
                        flat = part.reshape(-1)
                        flat[self.rng.integers(flat.size)] = self.value
            return found

        return spoiled


def judge(seed: int) -> Iterator[Outcome]:
    """One outcome: of a run of particles, of a user's own block, or of networks."""
    rng = np.random.default_rng(seed)
    spoil = Spoiler(rng)
    kind = str(rng.choice(["kernel", "kernel", "block", "network"]))
    method = str(rng.choice(["gd", "heun", "rk4", "rk45", "implicit", "auto"]))
    case = f"{kind} {method} call {spoil.at} once {spoil.once} {spoil.value} (seed {seed})"
    try:
        with limited(SECONDS), np.errstate(all="ignore"):
            yield Outcome(*_outcome(kind, method, spoil, case))
    except TimeoutError as error:
        yield Outcome("hang", case, str(error))
    except (ValueError, SolveError, resnet.TrainingError) as error:
        known = "finite" in str(error) or "overflow" in str(error)
        yield Outcome("clear" if known else "unclear", case, str(error)[:200])
    except Exception as error:
        yield Outcome("unclear", case, f"{type(error).__name__}: {error}")


def _outcome(kind: str, method: str, spoil: Spoiler, case: str) -> tuple[str, str, str]:
    if kind == "block":
        x = np.linspace(-1, 1, 6)[:, None]
        problem, owner = mfpde.Problem(x, np.sin(x), block=Cubic()), Cubic
        names = ("value", "pull_state", "pull_parameter")
    else:
        problem, owner, names = sine(), shl, ("forward", "adjoint")
    with ExitStack() as patches:
        for name in names:
            spoiled = spoil(getattr(owner, name))
            patches.enter_context(mock.patch.object(owner, name, spoiled))
        if kind == "network":
            return _network(problem, case)
        rho = gaussian_measure(problem, mfpde.Depth(2), count=6)
        sol = mfpde.solve(
            problem, rho, s_end=2.0, method=method, progress=False, raise_on_failure=False
        )
    series = (sol.s, sol.loss, sol.energy, sol.gradient_norm2, sol.step, sol.final.state)
    if not all(np.all(np.isfinite(part)) for part in series):
        return "silent", case, f"{sol.status.name} with NaN in its series"
    if sol.status in ENDS or not sol.success:
        return "clear", case, sol.status.name
    off = abs(mfpde.loss(problem, sol.final) - sol.loss[-1])
    return ("right" if off < 1e-12 else "silent"), case, f"ended well, loss off by {off:.1e}"


def _network(problem: mfpde.Problem, case: str) -> tuple[str, str, str]:
    law = laws.Gaussian(1.0, dim=problem.block.size)
    found = resnet.train(
        problem, law, layers=3, width=4, seeds=2, s_end=2.0, step=0.1, backend="particles",
        progress=False,
    )  # fmt: skip
    if not all(np.all(np.isfinite(part)) for part in (found.loss, found.theta, found.outputs)):
        return "silent", case, f"{found.status.name} with NaN"
    return ("right" if found.success else "clear"), case, found.status.name
