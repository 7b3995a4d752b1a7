"""The verb: how the trained loss depends on the initial law, the data and the weight decay."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.response import trajectory
from mfpde.response.trajectory import METHODS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sensitivity:
    """E(ρ_s) at s = ``s`` and its derivatives.

    ``mean`` and ``std`` (p,): in the means and standard deviations of the law's coordinates, each
    moved as θ = mean + std·ξ with ξ fixed (for ``Uniform(low, high)``: mean = (low + high)/2 and
    std = (high − low)/√12); 0 for the std of a fixed coordinate, in which E is even. ``mean_t``
    and ``std_t`` (K, p) are the same for a law that moves at depth t_k alone, per unit of depth:
    mean = Σ_k ω_k mean_t[k]. ``targets`` (N, k), ``inputs`` (N, d_in): in the data, as what is
    trained on and as what E is taken at; ``weight_decay``: in λ. ``gradient`` (K, M, p) is the COT
    gradient of ρ_0 ↦ E(ρ_s) at the particles of ``rho0``, ``influence`` (K, M) its first variation.
    """

    s: float
    loss: float
    mean: Array
    std: Array
    mean_t: Array = field(repr=False)
    std_t: Array = field(repr=False)
    targets: Array = field(repr=False)
    inputs: Array = field(repr=False)
    weight_decay: float
    gradient: Array = field(repr=False)
    influence: Array = field(repr=False)
    rho0: ParticleMeasure = field(repr=False)
    steps: int


@checks.typed
def sensitivity(
    problem: Problem,
    law: Law | DepthLaw,
    *,
    s_end: float,
    particles: int = 512,
    depth_steps: int = 3,
    method: str = "rk45",
    rtol: float = 1e-4,
    step: float | None = None,
    rule: str = "sobol",
    seed: int = 0,
) -> Sensitivity:
    """Derivatives of E(ρ_s) at s = ``s_end``, through training, by one adjoint run.

    They are the exact derivatives of the discrete run: ``particles`` points of ``rule``, rk4 with
    ``depth_steps`` in depth, and in training the recorded steps of ``method`` "gd", "heun", "rk4"
    (``step``) or "rk45" (``rtol``). An implicit method has no adjoint here: a stiff run takes as
    many steps of rk45 as its stability asks for. Cost: some eight runs, whatever is differentiated.

    Raises ValueError for bad arguments; SolveError where the run fails.
    """
    checks.positive("s_end", s_end)
    checks.choice("method", method, METHODS)
    problem.refuse_entropy()
    problem.refuse_rates("sensitivity")
    if not problem.block.smooth:
        raise ValueError(
            f"block {problem.block!r} has no second derivative, which adjoints through training "
            "need; use a smooth activation, such as 'gelu'"
        )
    depth = Depth(checks.count("depth_steps", depth_steps, most=10**6), "rk4")
    count = checks.count("particles", particles, most=10**9)
    rho0 = ParticleMeasure.from_law(law, depth, count=count, rule=rule, seed=seed)
    run = trajectory.record(problem, rho0, [s_end], method=method, rtol=rtol, step=step)
    point = run.at(run.steps)
    found = run.adjoint({run.steps: trajectory.of_loss(point)})
    mean_t, std_t = _by_law(rho0, law, found.initial[0])
    omega, z = rho0.depth.weights, point.outputs
    end = point.layers.theta
    fit = problem.fit(z)
    direct = problem.target_gradient(z) / problem.size
    return Sensitivity(
        s=float(s_end),
        loss=fit + rho0.integrate(problem.penalty.value(end)),
        mean=omega @ mean_t,
        std=omega @ std_t,
        mean_t=mean_t,
        std_t=std_t,
        targets=found.targets[0] + direct,
        inputs=found.start[0] @ problem.embed,
        weight_decay=float(found.decay[0]) + rho0.integrate(0.5 * np.square(end).sum(axis=-1)),
        gradient=found.initial[0],
        influence=found.influence[0],
        rho0=rho0,
        steps=run.steps,
    )


def _by_law(rho0: ParticleMeasure, law: Law | DepthLaw, gradient: Array) -> tuple[Array, Array]:
    """Derivatives in mean and std at each depth, (K, p) each: ∫ ∂_i G (1, ξ_i) dρ_0,t."""
    laws = [at_depth(law, float(t)) for t in rho0.depth.nodes]
    mean = np.array([one.mean for one in laws])[:, None]
    std = np.array([one.std for one in laws])[:, None]
    fixed = std == 0.0
    xi = np.where(fixed, 0.0, (rho0.theta - mean) / np.where(fixed, 1.0, std))
    return (
        np.einsum("km,kmp->kp", rho0.weights, gradient),
        np.einsum("km,kmp,kmp->kp", rho0.weights, gradient, xi),
    )
