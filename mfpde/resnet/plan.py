"""What a training run will do: everything that does not change while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mfpde import checks
from mfpde.resnet.optimizers import Optimizer

MOST_STEPS = 10**9

Save = None | int | Sequence[float]


@dataclass(frozen=True)
class Plan:
    """``count`` steps of length ``h`` to ``s_end``; losses and observables every ``record`` steps.

    ``saves`` are the numbers of the steps whose parameters are kept besides the first and last;
    ``vanishing_decay`` = c adds c e^{−s} ∫∫ |θ|² dρ to what is descended, not to the loss.
    """

    s_end: float
    h: float
    count: int
    optimizer: Optimizer
    record: int = 1
    saves: tuple[int, ...] = ()
    vanishing_decay: float = 0.0

    def time(self, n: int) -> float:
        """Training time after n steps."""
        return self.h * n if n < self.count else self.s_end

    def records(self, n: int) -> bool:
        """Whether the state after n steps is recorded: the last one always is."""
        return n % self.record == 0 or n == self.count


def extended(plan: Plan, s_end: float | None, taken: int) -> Plan:
    """The same plan to a later end, a whole number of its steps away."""
    if s_end is None:
        return plan
    s_end = checks.positive("s_end", s_end)
    count = round(_steps(s_end, plan.h))
    if abs(s_end / plan.h - count) > 1e-6 or count < taken:
        raise ValueError(
            f"s_end must be a whole number of steps of {plan.h:g}, and at least "
            f"{plan.time(taken):g}, where the run stands; given {s_end!r}"
        )
    return replace(plan, s_end=s_end, count=count)


def step_count(s_end: float, step: float) -> int:
    """Equal steps, none longer than ``step``, that reach ``s_end``."""
    s_end, step = checks.positive("s_end", s_end), checks.positive("step", step)
    if step > s_end:
        raise ValueError(f"step must be <= s_end = {s_end:g}; given {step:g}")
    return int(np.ceil(_steps(s_end, step) * (1 - 1e-12)))


def _steps(s_end: float, step: float) -> float:
    if s_end > MOST_STEPS * step:
        raise ValueError(
            f"s_end = {s_end:g} is more than {MOST_STEPS} steps of step = {step:g} away: take "
            "longer steps or an earlier end"
        )
    return s_end / step


def save_steps(save: Save, count: int, s_end: float) -> tuple[int, ...]:
    """Numbers of the steps nearest to the times asked for."""
    if save is None:
        return ()
    if isinstance(save, (int, np.integer)) and not isinstance(save, bool):
        checks.memory(f"save = {save} times", 64.0 * checks.count("save", save), "save fewer")
        times = np.linspace(0.0, s_end, save + 1)
    else:
        times = checks.array("save", save, ("n",))
    if times.size and not 0.0 <= times.min() <= times.max() <= s_end * (1 + 1e-12):
        raise ValueError(f"save must hold times in [0, s_end = {s_end:g}]; given {save!r}")
    steps = np.rint(times / s_end * count).astype(int)
    return tuple(sorted({int(n) for n in steps}))


def check_seeds(seeds: int | Sequence[int] | None, starts: int | None) -> tuple[int, ...]:
    """Names of the S networks: 0..S−1, or those given; S is that of explicit starts, or 5."""
    if seeds is None:
        seeds = 5 if starts is None else starts
    if isinstance(seeds, (int, np.integer)):
        checks.memory(f"seeds = {seeds}", 64.0 * checks.count("seeds", seeds), "take fewer")
        names = tuple(range(seeds))
    else:
        names = tuple(checks.count("seeds", seed, least=0) for seed in seeds)
    if not names:
        raise ValueError("seeds must not be empty")
    if starts is not None and len(names) != starts:
        raise ValueError(f"seeds must name the {starts} networks of start; given {len(names)}")
    return names
