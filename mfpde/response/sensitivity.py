"""The verb: how the trained loss depends on the initial law, the data and the weight decay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.response import trajectory
from mfpde.response.sensitivity_result import Sensitivity
from mfpde.response.trajectory import METHODS
from mfpde.runs.progress import Stagewise

Array = NDArray[np.float64]


@checks.typed
def sensitivity(
    problem: Problem,
    law: Law | DepthLaw,
    *,
    s_end: float,
    particles: int = 512,
    depth_steps: int = 3,
    method: str = "auto",
    rtol: float = 1e-4,
    step: float | None = None,
    rule: str = "sobol",
    seed: int = 0,
    progress: bool | str = "auto",
) -> Sensitivity:
    """Derivatives of E(ρ_s) at s = ``s_end``, through training, by one adjoint run.

    They are the exact derivatives of the discrete run: ``particles`` points of ``rule``, rk4 with
    ``depth_steps`` in depth, and in training the recorded steps of ``method`` as in ``solve``,
    explicit (``step``, or ``rtol``), "implicit" or "auto"; the latter two with up to 8,192 outputs,
    whose dual systems are then solved in full. Cost: some eight runs, whatever is differentiated.
    Ctrl-C raises KeyboardInterrupt: half an adjoint is no derivative.

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
    with Stagewise("sensitivity", progress) as display:
        run = trajectory.record(problem, rho0, [s_end], method=method, rtol=rtol, step=step)

        def tick(left: int) -> None:
            display.show(f"{left} of {run.steps} steps left", {})

        point = run.at(run.steps)
        found = run.adjoint({run.steps: trajectory.of_loss(point)}, tick)
    mean_t, std_t = _by_law(rho0, law, found.initial[0])
    omega, z = rho0.depth.weights, point.outputs
    end = point.layers.theta
    fit = problem.fit(z)
    direct = problem.target_gradient(z) / problem.size
    return Sensitivity(
        problem=problem,
        s=float(s_end),
        loss=fit + rho0.integrate(problem.penalty.value(end)),
        mean=omega @ mean_t,
        std=omega @ std_t,
        mean_t=mean_t,
        std_t=std_t,
        targets=found.targets[0] + direct,
        inputs=found.start[0] @ problem.embed,
        weights=_by_weights(problem, z, found.weights[0]),
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


def _by_weights(problem: Problem, z: Array, through: Array) -> Array:
    """In the data's weights, (N,): in training, in E, and as all are divided by their mean."""
    own = problem.loss.value(z, problem.y) / problem.size
    free = through + own
    weights = np.ones(problem.size) if problem.weights is None else problem.weights
    found: Array = free - np.mean(free * weights)
    return found
