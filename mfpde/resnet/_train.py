"""Train finite-width ResNets: many seeds at once, on a processor or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks, optimizers
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes.ranks import Ranks
from mfpde.paths import Path
from mfpde.problem import Problem
from mfpde.resnet import engines, observables, run_file
from mfpde.resnet.observables import Observables
from mfpde.resnet.optimizers import Optimizer, get_optimizer, steps_of
from mfpde.resnet.plan import Plan, Save, check_seeds, extended, save_steps, step_count
from mfpde.resnet.result import FORMAT, Training, join
from mfpde.resnet.run import Run
from mfpde.runs.atomic import PathLike
from mfpde.runs.checkpoint import Checkpoint
from mfpde.runs.progress import Progress, track
from mfpde.runs.run_file import Record, format_of

Array = NDArray[Any]

COUPLINGS = ("independent", "tied")


class TrainingError(FloatingPointError):
    """A network diverged; ``training`` holds everything up to the last finite record."""

    def __init__(self, training: Training) -> None:
        super().__init__(f"s = {training.s[-1]:g}: {training.message}")
        self.training = training


@checks.typed
def train(
    problem: Problem,
    law: Law | DepthLaw | None = None,
    *,
    layers: int | None = None,
    width: int | None = None,
    seeds: int | Sequence[int] | None = None,
    coupling: str | Path = "independent",
    start: ArrayLike | None = None,
    s_end: float,
    step: float,
    optimizer: str | Optimizer | optimizers.Optimizer | Mapping[str, Any] = "gd",
    rates: ArrayLike | None = None,
    vanishing_decay: float = 0.0,
    record: int = 1,
    observe: Observables | None = None,
    save: Save = None,
    checkpoint: PathLike | None = None,
    checkpoint_every: float = 30.0,
    dtype: str = "float64",
    backend: str = "auto",
    engine: str = "auto",
    device: str = "auto",
    progress: bool | str = "auto",
    raise_on_failure: bool = True,
    comm: Any = None,
) -> Training:
    """Train ResNets X^{l+1} = X^l + (1/(LM)) Σ_j f(X^l, θ_lj), S of them at once.

    They start from i.i.d. parameters of ``law`` in ``layers`` layers of ``width`` M: seed q gives
    ``ParticleMeasure.from_law(law, Depth(L, "euler"), count=M, rule="iid", coupling=coupling,
    seed=q)``, with ``coupling`` "independent" (fresh draws in every layer), "tied" (one draw,
    repeated over depth) or a law of paths of ``mfpde.paths``; ``seeds`` is S (default 5) or the
    names of the S networks. Or they start from ``start`` (S, L, M, p), and no law is given.

    ``optimizer``: "gd" is gradient descent with the mean-field factor, θ ← θ − ``step``·L·M·∂E/∂θ
    (penalties included), so that ``step`` and ``s_end`` are times of the limit's flow;
    "momentum", "adam", "langevin" (noisy, at the problem's temperature), an optimiser of
    ``mfpde.resnet`` with options, as ``SGD(batch=32)`` or ``Langevin(temperature=0.1)``, or one
    of ``mfpde.optimizers``, whose limit ``solve`` and ``limit`` take: a ``HeavyBall`` or an
    ``AdamFlow``, which becomes Momentum or Adam with β = e^{−h/τ} at steps h.
    ``rates`` replace those of the problem, and multiply the steps of the coordinates of θ: gradient
    descent in a constant diagonal metric. ``vanishing_decay`` = c adds c e^{−s} ∫∫ |θ|² dρ to what
    is descended. Minibatches and noise of a network depend on its seed and the step alone.

    Losses and what ``observe`` names are recorded every ``record`` steps and at the end, where
    divergence is noticed as well: functions of a ``Snapshot`` (``mfpde.resnet.observables``), or
    data such as ``{"test": (x, y)}`` for "test_loss" and "test_accuracy" or "test_rmse";
    ``save`` keeps parameters: None (first and last), a number of equal intervals, or times,
    rounded to steps. ``checkpoint`` is a run file rewritten every ``checkpoint_every`` seconds
    and at the end, from which ``mfpde.resnet.resume`` goes on; Ctrl-C ends the run after the step
    under way and returns what there is.

    ``backend``: "particles" (the package's compiled code, on one core), "torch" (all seeds in one
    tensor program, on ``device``), "auto" (torch on a GPU where there is one, else particles).
    ``engine`` names what computes the gradient (``mfpde.resnet.engines``); "auto" follows a rule,
    "fastest" measures what fits and takes the best (equal to round-off, not bit for bit).
    ``dtype``: "float64", "float32", and on torch "tf32" or "bfloat16", which round the factors of
    matrix products. Where a GPU's memory runs out, the batch is split.

    ``comm``, a communicator of mpi4py: every rank makes the same call, trains some of the networks
    (backend "particles") and gets all of them, the numbers of one process to the last bit; the
    first rank writes files and shows progress. One network is not split: ``solve`` with method
    "gd" deals its neurons to ranks (docs/mpi.md).

    Raises ValueError for bad sizes or names or a start without a finite loss, ImportError for
    backend "torch" without torch, TrainingError (a FloatingPointError) when a loss becomes
    non-finite later (the step is too large), unless ``raise_on_failure=False``.
    Source: Lu et al. 2020 (1); Chizat 2025 for the scaling.
    """
    problem, ranks = problem.under(rates), Ranks.of(comm)
    backend, checkpoint, progress = _on_ranks(ranks, backend, checkpoint, progress)
    count = step_count(s_end, step)
    if isinstance(optimizer, optimizers.Optimizer | Mapping):
        optimizer = steps_of(optimizers.named(optimizer), s_end / count)
    chosen = get_optimizer(optimizer, problem.size, problem.temperature)
    theta, names = _start(problem, law, layers, width, seeds, coupling, start)
    plan = Plan(
        s_end=float(s_end),
        h=s_end / count,
        count=count,
        optimizer=chosen,
        record=checks.count("record", record),
        saves=save_steps(save, count, s_end),
        vanishing_decay=checks.positive("vanishing_decay", vanishing_decay, zero=True),
    )
    name = engines.choose(problem, backend, engine, dtype, device)
    if engine == "fastest":
        fitting = engines.available(problem, backend, dtype, device)
        fitting = [other for other in fitting if other != "compiled"]  # its compilation never pays
        seconds = engines.race(problem, fitting, dtype, device, theta)
        name = min(seconds, key=seconds.__getitem__)
        name = name if ranks is None else ranks.gathered(name)[0]

    watched = observables.expanded(problem, observe)

    def part(which: slice) -> Training:
        shape = theta[which].shape if ranks is None else _share(ranks, theta.shape)
        engines.check_memory(problem, name, dtype, shape, chosen.batch)
        made = engines.make(problem, name, dtype, device)
        run = Run(problem, made, plan, names[which], theta[which], watched, ranks)
        return _finish(run, dtype, checkpoint, checkpoint_every, progress)

    if ranks is not None:
        found = part(_dealt(ranks, len(names)))
    else:
        found = part(slice(None)) if checkpoint is not None else _in_parts(part, len(names))
    return _checked(found, raise_on_failure)


@checks.typed
def resume(
    path: PathLike,
    *,
    s_end: float | None = None,
    observe: Observables | None = None,
    checkpoint: PathLike | None = None,
    checkpoint_every: float = 30.0,
    block: object = None,
    engine: str | None = None,
    device: str = "auto",
    progress: bool | str = "auto",
    raise_on_failure: bool = True,
    comm: Any = None,
) -> Training:
    """Go on from a run file of ``train``, to its own end or to a later ``s_end``.

    An interrupted run that is resumed equals the uninterrupted one bit for bit, on the same
    machine and engine. ``observe`` must be handed over again, code is not in the file;
    so must a ``block`` that the package does not know. ``checkpoint`` defaults to ``path``.
    ``comm`` as in ``train``, of any number of ranks.

    Raises FileNotFoundError or ValueError for a missing, torn or foreign file, ValueError for
    other names in ``observe`` or an ``s_end`` that is not a whole number of steps.
    """
    stored = run_file.Stored(path, block)
    ranks = Ranks.of(comm)
    target: PathLike | None = path if checkpoint is None else checkpoint
    backend, target, progress = _on_ranks(ranks, "auto", target, progress)
    name = engines.choose(stored.problem, backend, engine or stored.engine, stored.dtype, device)
    which = slice(None) if ranks is None else _dealt(ranks, len(stored.seeds))
    shape, batch = stored.theta.shape, stored.plan.optimizer.batch
    shape = shape if ranks is None else _share(ranks, shape)
    engines.check_memory(stored.problem, name, stored.dtype, shape, batch)
    made = engines.make(stored.problem, name, stored.dtype, device)
    watched = observables.expanded(stored.problem, observe)
    run = stored.run(made, extended(stored.plan, s_end, stored.n), watched, which, ranks)
    return _checked(
        _finish(run, stored.dtype, target, checkpoint_every, progress), raise_on_failure
    )


@checks.typed
def train_shapes(
    problem: Problem,
    law: Law | DepthLaw,
    shapes: Iterable[tuple[int, int]],
    *,
    seeds: int | Sequence[int] = 5,
    progress: bool | str = "auto",
    **how: Any,
) -> dict[tuple[int, int], Training]:
    """``train`` for several shapes (L, M): one batch of all seeds for each.

    Keywords go to ``train``; a shape listed twice is trained once. To spread the shapes over
    processes, hand ``train`` to ``mfpde.sweep.map_runs``.
    """
    wanted = list(dict.fromkeys(_shape(shape) for shape in shapes))
    return {
        shape: train(
            problem, law, layers=shape[0], width=shape[1], seeds=seeds, progress=False, **how
        )
        for shape in track(wanted, "networks", progress)
    }


def _shape(shape: Any) -> tuple[int, int]:
    """One of the ``shapes`` of ``train_shapes``."""
    if not isinstance(shape, Sequence | np.ndarray) or len(shape) != 2:
        raise TypeError(f"shapes must hold pairs (layers, width); given {checks.brief(shape)}")
    layers, width = (checks.count("shapes (layers, width)", number) for number in shape)
    return layers, width


@checks.typed
def load(path: PathLike, *, block: object = None) -> Training:
    """The networks in a file of ``Training.save``, or in a run file of ``train`` as far as it is.

    Raises FileNotFoundError or ValueError for a missing, torn or foreign file, and for one of
    networks that stand between two records of observables: ``resume`` goes on from there.
    """
    if format_of(path) == FORMAT:
        return Training.load(path)
    stored = run_file.Stored(path, block)
    name = engines.choose(stored.problem, "auto", stored.engine, stored.dtype, "auto")
    run = stored.run(
        engines.make(stored.problem, name, stored.dtype, "auto"),
        stored.plan,
        dict.fromkeys(stored.observed, _missing),
    )
    run.status = stored.status
    return run.result()


def _missing(snapshot: object) -> None:
    raise ValueError(
        "path: this run is not finished and stands between two records of what it observes; go on "
        "with mfpde.resnet.resume(path, observe=...)"
    )


def _finish(
    run: Run, dtype: str, checkpoint: PathLike | None, every: float, progress: bool | str
) -> Training:
    """Train to the end, writing the run file where there is one."""
    writer, ranks = Checkpoint(checkpoint, every), run.ranks
    with nullcontext() if ranks is None else ranks.together():
        with Progress(progress, run.plan.s_end, None) as bar:
            run.advance(bar, writer, lambda: _record(run, dtype))
        found = run.result()
        return found if ranks is None else join(ranks.gathered(found))


def _record(run: Run, dtype: str) -> Record:
    """The run as it stands, with the networks of all processes."""
    found = run_file.record(run, dtype)
    return found if run.ranks is None else run_file.joined(run.ranks.gathered(found))


def _on_ranks(
    ranks: Ranks | None, backend: str, checkpoint: PathLike | None, progress: bool | str
) -> tuple[str, PathLike | None, bool | str]:
    """What one of several processes computes with, writes and shows."""
    if ranks is None:
        return backend, checkpoint, progress
    if backend == "torch":
        raise ValueError("comm needs backend='particles', not 'torch': start one process")
    return "particles", *((checkpoint, progress) if ranks.rank == 0 else (None, False))


def _share(ranks: Ranks, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of parameters (S, L, M, p), the most that a process has."""
    return -(-shape[0] // ranks.size), *shape[1:]


def _dealt(ranks: Ranks, count: int) -> slice:
    """The networks of this process."""
    if count < ranks.size:
        raise ValueError(
            f"comm: {count} networks cannot be dealt to {ranks.size} ranks; start fewer (the "
            "neurons of one are, by solve with method='gd' on its ParticleMeasure)"
        )
    return ranks.share(count)


def _in_parts(part: Callable[[slice], Training], count: int) -> Training:
    """All networks at once; where they are too many for the memory, one half after the other."""

    def some(first: int, last: int) -> list[Training]:
        try:
            return [part(slice(first, last))]
        except engines.out_of_memory():
            if last - first == 1:
                raise
        middle = (first + last) // 2
        return [*some(first, middle), *some(middle, last)]

    return join(some(0, count))


def _checked(found: Training, raise_on_failure: bool) -> Training:
    if found.status.raises and raise_on_failure:
        raise TrainingError(found)
    return found


def _start(
    problem: Problem,
    law: Law | DepthLaw | None,
    layers: int | None,
    width: int | None,
    seeds: int | Sequence[int] | None,
    coupling: str | Path,
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
    if not isinstance(coupling, Path):
        checks.choice("coupling", coupling, COUPLINGS)
    needed = 32.0 * len(names) * checks.count("layers", layers) * checks.count("width", width)
    checks.memory(
        f"{len(names)} seeds of layers = {layers} and width = {width}", needed * size, "take fewer"
    )
    depth, count = Depth(checks.count("layers", layers), "euler"), checks.count("width", width)
    theta = np.stack([_sample(law, depth, count, coupling, seed) for seed in names])
    if theta.shape[-1] != size:
        raise ValueError(
            f"law must live on R^{size}, the parameters of {problem.block!r}; "
            f"given R^{theta.shape[-1]}"
        )
    return theta, names


def _sample(
    law: Law | DepthLaw, depth: Depth, width: int, coupling: str | Path, seed: int
) -> Array:
    return ParticleMeasure.from_law(
        law, depth, count=width, rule="iid", coupling=coupling, seed=seed
    ).theta
