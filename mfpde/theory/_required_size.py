"""How deep and how wide a network must be for E <= ε with probability 1 − η."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mfpde import checks
from mfpde.depth import Depth
from mfpde.flows import stability
from mfpde.flows.solve import solve
from mfpde.laws import DepthLaw, Law
from mfpde.measures.particles import ParticleMeasure
from mfpde.paths import Path
from mfpde.problem import Problem
from mfpde.response.finite_result import FiniteSize
from mfpde.response.finite_size import finite_size, whole_step
from mfpde.response.size_search import Size

# Particles and rk4 steps of the limit that finds a training time.
LIMIT_PARTICLES, LIMIT_STEPS = 512, 4


@dataclass(frozen=True)
class RequiredSize:
    """The answer of ``required_size``: ``layers`` L and ``width`` M.

    ``width_interval`` is what the errors of the prediction's coefficients, twice each, make of M
    at this L (inf where they hide ε); ``s`` is the training time; ``prediction`` holds the law of
    networks of every size at s. Where pilots were asked for, ``pilots`` of that size were trained,
    and the share of them with E <= ε lies in ``checked`` (95 %, Clopper–Pearson).
    """

    layers: int
    width: int
    width_interval: tuple[float, float]
    epsilon: float
    eta: float
    s: float
    coupling: str | Path
    prediction: FiniteSize = field(repr=False)
    pilots: int = 0
    checked: tuple[float, float] | None = None

    def width_at(self, layers: int) -> float:
        """The width needed at another depth: the frontier M(L); inf where no width is enough."""
        return _width(self.prediction, self.epsilon, self.eta, checks.count("layers", layers))

    def probability(self, layers: int, width: int) -> float:
        """The predicted P(E <= ε) for another network."""
        return self.prediction.probability(self.epsilon, layers, width)

    def __repr__(self) -> str:
        low, high = self.width_interval
        seen = ""
        if self.checked is not None:
            seen = f"; {self.pilots} pilots: {self.checked[0]:.3f} to {self.checked[1]:.3f}"
        return (
            f"RequiredSize(L = {self.layers}, M = {self.width} [{low:g}, {high:g}] for E <= "
            f"{self.epsilon:g} with probability {1 - self.eta:g} at s = {self.s:g}, layers "
            f"{self.coupling}; the limit has E = {self.prediction.limit_loss[-1]:.4g}{seen})"
        )


@checks.typed
def required_size(
    problem: Problem,
    law: Law | DepthLaw,
    epsilon: float,
    eta: float,
    *,
    s_end: float | None = None,
    step: float | None = None,
    layers: int | None = None,
    coupling: str | Path = "independent",
    pilots: int = 0,
    **how: Any,
) -> RequiredSize:
    """The size L, M of a network from ``law`` that has E <= ``epsilon`` with probability 1 − η.

    Networks are trained by gradient descent with ``step`` to the training time ``s_end``. Their
    law is predicted from the limit (``mfpde.finite_size``, which takes ``how``: particles, probes,
    seed, …) and no network is trained, unless ``pilots`` asks for that many of the answer's size as
    a check. ``layers`` fixes the depth; by default it is the shallowest (from 4 on) whose LM is
    within a quarter of the fewest possible. ``coupling`` "independent" needs LM of the order
    1/margin², "tied" (the start of Ding et al.) or paths in depth M of that order, at any depth.

    Without ``s_end`` the limit is trained until its loss is ε/2, as in Ding et al. 2021
    (which asks for L >= C/ε and M >= C/(ε²η)); without ``step`` it is a quarter of the limit's
    stability bound over that time. The step is shortened to make ``s_end`` a whole number of steps.

    Raises ValueError for bad arguments, and where no network reaches ε at that training time.
    """
    epsilon, eta = checks.positive("epsilon", epsilon), checks.share("eta", eta)
    layers = None if layers is None else checks.count("layers", layers)
    count = checks.count("pilots", pilots, least=0, most=10**6)
    s_end, step = _training(problem, law, epsilon, s_end, step)
    found = finite_size(problem, law, s_end=s_end, step=step, coupling=coupling, times=1, **how)
    size = found.size_for(epsilon, 1 - eta, layers=layers)
    checked = None
    if count:
        checked = _check(problem, law, size, coupling, epsilon, s_end, step, count)
    return RequiredSize(
        *size, _interval(found, epsilon, eta, size.layers), epsilon, eta, s_end, coupling, found,
        count, checked,
    )  # fmt: skip


def _check(
    problem: Problem, law: Law | DepthLaw, size: Size, coupling: str | Path, epsilon: float,
    s_end: float, step: float, count: int,
) -> tuple[float, float]:  # fmt: skip
    """The Clopper–Pearson interval of P(E <= ε) from trained networks."""
    from scipy.stats import binomtest

    from mfpde.resnet import train

    run = train(
        problem,
        law,
        layers=size.layers,
        width=size.width,
        seeds=count,
        s_end=s_end,
        step=step,
        coupling=coupling,
        progress=False,
    )
    hits = int(np.sum(run.loss[:, -1] <= epsilon))
    interval = binomtest(hits, count).proportion_ci(method="exact")
    return float(interval.low), float(interval.high)


def _interval(found: FiniteSize, epsilon: float, eta: float, layers: int) -> tuple[float, float]:
    """Widths with the deviations, and the limit's loss, moved by twice their errors."""
    slope = found.problem.loss_gradient(found.mean(10**6, 10**6)[-1])
    of_loss = 2.0 * found.limit_error[-1] * float(np.sqrt(np.mean(slope**2))) * slope.shape[1]
    ends = []
    for sign in (-1.0, 1.0):
        factor = 1.0 + sign * 2.0 * found.errors["deviation"]
        moved = replace(
            found,
            spread=factor * found.spread,  # the strain of the expansion stays what it is
            fluctuations=tuple(
                each._replace(lift=factor * each.lift) for each in found.fluctuations
            ),
        )
        ends.append(_width(moved, max(epsilon - sign * of_loss, 1e-300), eta, layers))
    return ends[0], ends[1]


def _width(found: FiniteSize, epsilon: float, eta: float, layers: int) -> float:
    try:
        return float(found.size_for(epsilon, 1 - eta, layers=layers).width)
    except ValueError:
        return np.inf


def _training(
    problem: Problem, law: Law | DepthLaw, epsilon: float, s_end: float | None, step: float | None
) -> tuple[float, float]:
    """Training time and step, from the limit where they are not given."""
    if s_end is not None and step is not None:
        return checks.positive("s_end", s_end), whole_step(s_end, step)
    rho0 = ParticleMeasure.from_law(law, Depth(LIMIT_STEPS, "rk4"), count=LIMIT_PARTICLES)
    run = solve(
        problem,
        rho0,
        s_end=np.inf if s_end is None else checks.positive("s_end", s_end),
        loss_below=0.5 * epsilon if s_end is None else None,
        rtol=1e-3,
        progress=False,
    )
    fastest = max(_fastest(problem, rho) for rho in (rho0, run.final))
    end = float(run.s[-1]) if s_end is None else s_end
    longest = min(0.5 / fastest, end) if step is None else checks.positive("step", step)
    return end, whole_step(end, min(longest, end))


def _fastest(problem: Problem, rho: ParticleMeasure) -> float:
    from mfpde.flows.particle_flow import ParticleFlow

    flow = ParticleFlow(problem, rho)
    start = stability.start_vector(flow)
    return stability.largest_eigenvalue(flow, flow.at(rho.theta), start, 12)[0]
