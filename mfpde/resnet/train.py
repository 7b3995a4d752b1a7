"""Train finite-width ResNets: many seeds at once, in torch where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.progress import Progress

Array = NDArray[np.float64]

BACKENDS = ("auto", "torch", "particles")
OPTIMIZERS = ("gd",)


@dataclass(frozen=True)
class Training:
    """Networks of one shape, S seeds: losses over training time and the trained parameters.

    ``s`` (n,) training times, ``loss`` (S, n), ``outputs`` (S, N, k) and ``theta``
    (S, L, M, p) at the last time; ``backend`` says what computed them.
    """

    s: Array
    loss: Array
    outputs: Array
    theta: Array
    seeds: tuple[int, ...]
    backend: str

    def measure(self, index: int = 0) -> ParticleMeasure:
        """The trained network of seed ``seeds[index]`` as a measure of Euler depth."""
        return ParticleMeasure(self.theta[index], Depth(self.theta.shape[1], "euler"))


def train(
    problem: Problem,
    law: Law | DepthLaw,
    *,
    layers: int,
    width: int,
    seeds: int | Sequence[int] = 5,
    s_end: float,
    step: float,
    optimizer: str = "gd",
    backend: str = "auto",
    device: str = "auto",
    progress: bool | str = "auto",
) -> Training:
    """Train ResNets X^{l+1} = X^l + (1/(LM)) Σ_j f(X^l, θ_lj) from i.i.d. parameters of ``law``.

    ``optimizer`` "gd" is gradient descent with the mean-field factor, θ ← θ − ``step``·L·M·∂E/∂θ
    (+ weight decay), so that ``step`` and ``s_end`` are times of the limit's flow.
    ``backend``: "torch" (autograd, seeds in one tensor program, on ``device``), "particles" (the
    package's own adjoint, explicit Euler in depth), "auto" (torch where it is installed and knows
    the block). Seed q gives ``ParticleMeasure.from_law(law, Depth(L, "euler"), count=M,
    rule="iid", coupling="independent", seed=q)`` on either path.

    Raises ValueError for bad sizes or names, ImportError for backend "torch" without torch,
    FloatingPointError when a network's loss becomes non-finite (the step is too large).
    Source: Lu et al. 2020 (1); Chizat 2025 for the scaling.
    """
    checks.choice("optimizer", optimizer, OPTIMIZERS)
    names = _seeds(seeds)
    count = _steps(checks.positive("s_end", s_end), checks.positive("step", step))
    depth = Depth(checks.count("layers", layers), "euler")
    theta = np.stack([_start(law, depth, checks.count("width", width), seed) for seed in names])
    if theta.shape[-1] != problem.block.size:
        raise ValueError(
            f"law must live on R^{problem.block.size}, the parameters of {problem.block!r}; "
            f"given R^{theta.shape[-1]}"
        )
    chosen = _backend(backend, problem)
    h = s_end / count
    with Progress(progress, s_end, None) as bar:
        if chosen == "torch":
            from mfpde.resnet import torch_backend

            run = torch_backend.descend(problem, theta, h, count, device, bar)
        else:
            run = _descend_particles(problem, depth, theta, h, count, bar)
    loss, outputs, theta = run
    times = np.linspace(0.0, s_end, count + 1)
    return Training(times, loss, outputs, theta, names, chosen)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, (int, np.integer)):
        return tuple(range(checks.count("seeds", seeds)))
    names = tuple(checks.count("seeds", seed, least=0) for seed in seeds)
    if not names:
        raise ValueError("seeds must not be empty")
    return names


def _steps(s_end: float, step: float) -> int:
    if step > s_end:
        raise ValueError(f"step must be <= s_end = {s_end:g}; given {step:g}")
    return int(np.ceil(s_end / step * (1 - 1e-12)))


def _start(law: Law | DepthLaw, depth: Depth, width: int, seed: int) -> Array:
    return ParticleMeasure.from_law(
        law, depth, count=width, rule="iid", coupling="independent", seed=seed
    ).theta


def _backend(backend: str, problem: Problem) -> str:
    checks.choice("backend", backend, BACKENDS)
    if backend == "particles":
        return backend
    try:
        from mfpde.resnet import torch_backend
    except ImportError:
        if backend == "torch":
            raise ImportError("backend='torch' needs torch: pip install 'mfpde[torch]'") from None
        return "particles"
    if torch_backend.knows(problem.block):
        return "torch"
    if backend == "torch":
        raise ValueError(f"backend='torch' has no {problem.block!r}; use backend='particles'")
    return "particles"


def _descend_particles(
    problem: Problem, depth: Depth, theta: Array, h: float, count: int, bar: Progress
) -> tuple[Array, Array, Array]:
    from mfpde.flows.particle_flow import ParticleFlow

    losses, outputs, final = np.empty((len(theta), count + 1)), [], []
    for index, start in enumerate(theta):
        flow = ParticleFlow(problem, ParticleMeasure(start, depth))
        point = flow.at(start)
        losses[index, 0] = point.loss
        for n in range(1, count + 1):
            point = flow.at(point.state - h * point.gradient)
            losses[index, n] = point.loss
            checks.finite_loss(point.loss, n * h)
            bar.update((index + n / count) / len(theta) * h * count, point.loss)
        outputs.append(point.outputs)
        final.append(point.state)
    return losses, np.stack(outputs), np.stack(final)
