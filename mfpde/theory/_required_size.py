"""How deep and how wide a network must be for E <= ε with probability 1 − η."""

from __future__ import annotations

from collections.abc import Callable
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
# Intervals wider than this factor tell too little: pilots bisect, to the factor ``FINE``, in so
# many widths at most.
WIDE, FINE, BISECTIONS = 4.0, 1.4, 6
MOST_PILOTS = 1000


@dataclass(frozen=True)
class RequiredSize:
    """The answer of ``required_size``: ``layers`` L and ``width`` M.

    ``bound`` says what M rests on: "loss" (a narrower network misses ε), "expansion" (narrower
    ones may do, but the prediction does not hold for them) or "pilots" (trained networks told).
    The least width that is enough lies in ``width_interval``: what the errors of the prediction,
    twice each, make of it at this L (inf where they hide ε), or, of pilots, from the widest that
    surely misses 1 − η to the narrowest that surely has it (95 %). ``s`` is the training time;
    ``prediction`` holds the law of networks of every size at s. Where pilots were asked for,
    ``pilots`` of each size were trained, and the share of those of width M with E <= ε lies in
    ``checked`` (95 %, Clopper–Pearson).
    """

    layers: int
    width: int
    width_interval: tuple[float, float]
    epsilon: float
    eta: float
    s: float
    coupling: str | Path
    prediction: FiniteSize = field(repr=False)
    bound: str = "loss"
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
        if self.bound == "expansion":
            seen = f"; the expansion holds from M = {self.width} on, pilots would look below"
        if self.checked is not None:
            seen += f"; {self.pilots} pilots: {self.checked[0]:.3f} to {self.checked[1]:.3f}"
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
    pilots: int | None = None,
    **how: Any,
) -> RequiredSize:
    """The size L, M of a network from ``law`` that has E <= ``epsilon`` with probability 1 − η.

    Networks are trained by gradient descent with ``step`` to the training time ``s_end``. Their
    law is predicted from the limit (``mfpde.finite_size``, which takes ``how``: particles, probes,
    seed, …). ``layers`` fixes the depth; by default it is the shallowest (from 4 on) whose LM is
    within a quarter of the fewest possible. ``coupling`` "independent" needs LM of the order
    1/margin², "tied" (the start of Ding et al.) or paths in depth M of that order, at any depth.

    Narrow networks are beyond the expansion about the limit. Where that, and not ε, decides the
    width, or where its errors leave more than a factor of four, pilots are trained by default,
    enough to tell 1 − η, at widths that are bisected. ``pilots=n`` takes n of them, one check of
    the answer's size in all other cases as well; ``pilots=0`` trains no network, whatever
    ``width_interval`` is then.

    Without ``s_end`` the limit is trained until its loss is ε/2, as in Ding et al. 2021
    (which asks for L >= C/ε and M >= C/(ε²η)); without ``step`` it is a quarter of the limit's
    stability bound over that time. The step is shortened to make ``s_end`` a whole number of steps.

    Raises ValueError for bad arguments, and where no network reaches ε at that training time.
    """
    epsilon, eta = checks.positive("epsilon", epsilon), checks.share("eta", eta)
    layers = None if layers is None else checks.count("layers", layers)
    count = None if pilots is None else checks.count("pilots", pilots, least=0, most=10**6)
    s_end, step = _training(problem, law, epsilon, s_end, step)
    found = finite_size(problem, law, s_end=s_end, step=step, coupling=coupling, times=1, **how)
    size = found.size_for(epsilon, 1 - eta, layers=layers)
    narrowest = _least(found, epsilon, eta, size.layers)
    bound = "loss" if narrowest >= size.width else "expansion"
    interval = _interval(found, epsilon, eta, size, narrowest)
    answer = RequiredSize(*size, interval, epsilon, eta, s_end, coupling, found, bound)
    if count is None:
        count = 0 if _settled(answer) else _enough_to_tell(eta)
    return _piloted(replace(answer, pilots=count), law, step) if count else answer


# -- pilots ----------------------------------------------------------------------------------------


def _settled(answer: RequiredSize) -> bool:
    low, high = answer.width_interval
    return answer.bound == "loss" and high <= WIDE * low


def _enough_to_tell(eta: float) -> int:
    """Twice as many as surely have 1 − η where all of them reach ε."""
    return int(np.clip(2 * np.log(0.025) / np.log1p(-eta), 40, MOST_PILOTS))


def _piloted(answer: RequiredSize, law: Law | DepthLaw, step: float) -> RequiredSize:
    """With pilots of the answer's width, and of others where that is not settled."""

    def trained(width: int) -> int:
        return _hits(answer, law, step, width)

    if _settled(answer):
        return replace(answer, checked=_share(trained(answer.width), answer.pilots))
    hits = _bisected(trained, answer)
    enough = [width for width, each in hits.items() if each >= (1 - answer.eta) * answer.pilots]
    width = min(enough, default=answer.width)
    for beside in (width // 2, 2 * width):  # where both ends of the interval are clear
        if beside and beside not in hits:
            hits[beside] = trained(beside)
    shares = {each: _share(count, answer.pilots) for each, count in hits.items()}
    narrow = [each for each, share in shares.items() if share[1] < 1 - answer.eta]
    wide = [each for each, share in shares.items() if share[0] >= 1 - answer.eta]
    least, most = answer.width_interval
    low = max(narrow, default=min(least, width))
    high = min((each for each in wide if each >= width), default=max(most, width))
    return replace(
        answer,
        width=width,
        width_interval=(float(low), float(high)),
        bound="pilots",
        checked=shares[width],
    )


def _bisected(trained: Callable[[int], int], answer: RequiredSize) -> dict[int, int]:
    """Hits by width, from the answer's to about the least that is enough."""
    hits: dict[int, int] = {}
    low, high = answer.width_interval
    low, high, width = max(low, 1.0), min(high, 4.0 * answer.width), answer.width
    while len(hits) < BISECTIONS and width not in hits:
        hits[width] = trained(width)
        enough = hits[width] >= (1 - answer.eta) * answer.pilots
        low, high = (low, width) if enough else (width, high)
        if high <= FINE * low:
            break
        width = int(np.sqrt(low * high))
    return hits


def _hits(answer: RequiredSize, law: Law | DepthLaw, step: float, width: int) -> int:
    """How many of the pilots of this width have E <= ε."""
    from mfpde.resnet import train

    run = train(
        answer.prediction.problem,
        law,
        layers=answer.layers,
        width=width,
        seeds=answer.pilots,
        s_end=answer.s,
        step=step,
        coupling=answer.coupling,
        progress=False,
    )
    return int(np.sum(run.loss[:, -1] <= answer.epsilon))


def _share(hits: int, count: int) -> tuple[float, float]:
    """The Clopper–Pearson interval (95 %) of a probability."""
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(method="exact")
    return float(interval.low), float(interval.high)


# -- the prediction's own errors -------------------------------------------------------------------


def _interval(
    found: FiniteSize, epsilon: float, eta: float, size: Size, narrowest: float
) -> tuple[float, float]:
    """Least widths with deviations, bias of width and the limit's loss moved by twice their errors.

    Beyond the second order the expansion is off by about the square of its strain, which is part of
    the deviation's error.
    """
    shift = 2.0 * found.limit_error[-1] * _slope(found)
    ends = []
    for sign, width in ((-1.0, int(narrowest)), (1.0, size.width)):
        loss = max(epsilon - sign * shift, 1e-300)
        for of_width in (-1.0, 1.0):
            moved = _moved(found, sign, Size(size.layers, width), of_width)
            ends.append(_least(moved, loss, eta, size.layers))
    return min(*ends, size.width), max(*ends, size.width)


def _slope(found: FiniteSize) -> float:
    """By how much the loss of the limit can change with the root mean square of its outputs."""
    problem, outputs = found.problem, found.limit[-1][: found.problem.y.size]
    slope = problem.loss_gradient(outputs.reshape(problem.y.shape))
    return float(np.sqrt(np.mean(slope**2))) * slope.shape[1]


def _moved(found: FiniteSize, sign: float, size: Size, of_width: float) -> FiniteSize:
    """With deviations moved by twice their errors at this size, and ``of_width`` c by its own."""
    strain = float(found.validity(*size)[-1])
    factor = max(1.0 + sign * 2.0 * float(np.hypot(found.errors["deviation"], strain**2)), 1e-3)
    moved = tuple(each._replace(lift=factor * each.lift) for each in found.fluctuations)
    second = (1.0 + of_width * 2.0 * found.errors["second"]) * found.second
    return replace(found, fluctuations=moved, second=second)


def _least(found: FiniteSize, epsilon: float, eta: float, layers: int) -> float:
    """The least width that is enough by the expansion, strained or not; inf where none is."""
    try:
        return float(found.size_for(epsilon, 1 - eta, layers=layers, trusted=False).width)
    except ValueError:
        return np.inf


def _width(found: FiniteSize, epsilon: float, eta: float, layers: int) -> float:
    try:
        return float(found.size_for(epsilon, 1 - eta, layers=layers).width)
    except ValueError:
        return np.inf


# -- training time and step ------------------------------------------------------------------------


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
