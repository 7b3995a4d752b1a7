"""Train finite-width ResNets: many seeds at once, in torch where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.flows.status import Status
from mfpde.laws import DepthLaw, Law
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.progress import Progress
from mfpde.resnet import engines
from mfpde.resnet.observables import Observables
from mfpde.resnet.optimizers import Optimizer, get_optimizer
from mfpde.resnet.plan import DTYPES, Plan, Save, check_rates, check_seeds, save_steps, step_count
from mfpde.resnet.result import Training
from mfpde.resnet.run import Run

Array = NDArray[Any]

COUPLINGS = ("independent", "tied")


class TrainingError(FloatingPointError):
    """A network diverged; ``training`` holds everything up to the last finite record."""

    def __init__(self, training: Training, message: str) -> None:
        super().__init__(message)
        self.training = training


def train(
    problem: Problem,
    law: Law | DepthLaw | None = None,
    *,
    layers: int | None = None,
    width: int | None = None,
    seeds: int | Sequence[int] | None = None,
    coupling: str = "independent",
    start: ArrayLike | None = None,
    s_end: float,
    step: float,
    optimizer: str | Optimizer = "gd",
    rates: ArrayLike | None = None,
    vanishing_decay: float = 0.0,
    record: int = 1,
    observables: Observables | None = None,
    save: Save = None,
    dtype: str = "float64",
    backend: str = "auto",
    device: str = "auto",
    progress: bool | str = "auto",
    raise_on_failure: bool = True,
) -> Training:
    """Train ResNets X^{l+1} = X^l + (1/(LM)) Σ_j f(X^l, θ_lj), S of them at once.

    They start from i.i.d. parameters of ``law`` in ``layers`` layers of ``width`` M: seed q gives
    ``ParticleMeasure.from_law(law, Depth(L, "euler"), count=M, rule="iid", coupling=coupling,
    seed=q)``, with ``coupling`` "independent" (fresh draws in every layer) or "tied" (one draw,
    repeated over depth); ``seeds`` is S (default 5) or the names of the S networks. Or they start
    from ``start`` (S, L, M, p), and no law is given.

    ``optimizer``: "gd" is gradient descent with the mean-field factor, θ ← θ − ``step``·L·M·∂E/∂θ
    (weight decay included), so that ``step`` and ``s_end`` are times of the limit's flow;
    "momentum", "adam", "langevin" (noisy, at the problem's temperature), or an optimiser of
    ``mfpde.resnet`` with options, such as ``SGD(batch=32)`` or ``Langevin(temperature=0.1)``.
    ``rates`` (p,) multiply the steps of the coordinates of θ: gradient descent in a constant
    diagonal metric. ``vanishing_decay`` = c adds c e^{−s} ∫∫ |θ|² dρ to what is descended.

    Losses and ``observables`` (name ↦ function of a ``Snapshot``, see ``mfpde.resnet.observables``)
    are recorded every ``record`` steps and at the end; ``save`` keeps parameters: None (first and
    last), a number of equal intervals, or times, rounded to steps.

    ``backend``: "torch" (autograd, seeds in one tensor program, on ``device``), "particles" (the
    package's own adjoint, explicit Euler in depth), "auto" (torch where it is installed and knows
    the block); ``dtype`` "float64" or "float32".

    Raises ValueError for bad sizes or names, ImportError for backend "torch" without torch,
    TrainingError (a FloatingPointError) when a network's loss becomes non-finite (the step is too
    large), unless ``raise_on_failure=False``.
    Source: Lu et al. 2020 (1); Chizat 2025 for the scaling.
    """
    chosen = get_optimizer(optimizer, problem.size, problem.temperature)
    count = step_count(s_end, step)
    theta, names = _start(problem, law, layers, width, seeds, coupling, start)
    plan = Plan(
        float(s_end),
        count,
        chosen,
        check_rates(rates, problem.block.size),
        checks.count("record", record),
        save_steps(save, count, s_end),
        checks.positive("vanishing_decay", vanishing_decay, zero=True),
    )
    engine = engines.make(problem, backend, checks.choice("dtype", dtype, DTYPES), device)
    run = Run(problem, engine, plan, names, theta, observables or {})
    with Progress(progress, s_end, None) as bar:
        status = run.advance(bar)
    found = run.result(status)
    if status is Status.NON_FINITE and raise_on_failure:
        raise TrainingError(
            found,
            f"the loss of a network became non-finite after s = {found.s[-1]:g}: "
            "use a smaller step",
        )
    return found


def _start(
    problem: Problem,
    law: Law | DepthLaw | None,
    layers: int | None,
    width: int | None,
    seeds: int | Sequence[int] | None,
    coupling: str,
    start: ArrayLike | None,
) -> tuple[Array, tuple[int, ...]]:
    """Initial parameters (S, L, M, p), and the names of the networks."""
    size = problem.block.size
    if start is not None:
        if law is not None or layers is not None or width is not None:
            raise ValueError("start replaces law, layers and width: give it alone")
        theta = checks.array("start", start, ("S", "L", "M", size))
        if 0 in theta.shape:
            raise ValueError(f"start must not be empty; given shape {theta.shape}")
        return theta, check_seeds(seeds, len(theta))
    if law is None:
        raise ValueError("law must be given, or explicit parameters start (S, L, M, p)")
    names = check_seeds(seeds, None)
    checks.choice("coupling", coupling, COUPLINGS)
    depth, count = Depth(checks.count("layers", layers), "euler"), checks.count("width", width)
    theta = np.stack([_sample(law, depth, count, coupling, seed) for seed in names])
    if theta.shape[-1] != size:
        raise ValueError(
            f"law must live on R^{size}, the parameters of {problem.block!r}; "
            f"given R^{theta.shape[-1]}"
        )
    return theta, names


def _sample(law: Law | DepthLaw, depth: Depth, width: int, coupling: str, seed: int) -> Array:
    return ParticleMeasure.from_law(
        law, depth, count=width, rule="iid", coupling=coupling, seed=seed
    ).theta
