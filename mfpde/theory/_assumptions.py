"""What the theorems assume, checked for a problem and a law: holds, fails or not decidable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.blocks import Block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.blocks.shl import SHL
from mfpde.depth import Depth
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.laws.coupled import Coupled
from mfpde.measures.particles import ParticleMeasure
from mfpde.problem import Problem
from mfpde.theory._block_bounds import BlockBounds, block_bounds
from mfpde.theory._kernel import tangent_kernel
from mfpde.theory._separation import Box, Separation, separation, supports

Array = NDArray[np.float64]

NODES = 64  # intervals of depth on which a law that depends on t is compared with itself
POINTS = 512  # particles of the start whose kernel is read
MOST_ROWS = 4096  # of a kernel whose eigenvalues are taken
NAN = float("nan")

DING = "Ding et al. 2022, "
LU, BARBONI = "Lu et al. 2020", "Barboni et al. 2024"


@dataclass(frozen=True)
class Assumption:
    """One assumption: ``holds`` is True, False or None (not decidable), ``value`` its number.

    ``value`` is the constant that makes the statement true (inf: none does; nan: it has none).
    """

    name: str
    statement: str
    holds: bool | None
    value: float
    reason: str
    source: str

    def __str__(self) -> str:
        word = {True: "holds", False: "FAILS", None: "?"}[self.holds]
        return f"{word:6}{self.name:20}{self.value:<10.4g}{self.statement}: {self.reason}"


@dataclass(frozen=True)
class Assumptions:
    """All of them, by name: ``found["growth"].value``; ``str`` gives the table."""

    rows: tuple[Assumption, ...]

    def __getitem__(self, name: str) -> Assumption:
        return {row.name: row for row in self.rows}[
            checks.choice("assumption", name, [row.name for row in self.rows])
        ]

    def failing(self) -> tuple[str, ...]:
        """Names of those that fail."""
        return tuple(row.name for row in self.rows if row.holds is False)

    def undecided(self) -> tuple[str, ...]:
        """Names of those that could not be decided."""
        return tuple(row.name for row in self.rows if row.holds is None)

    def __str__(self) -> str:
        return "\n".join(map(str, self.rows))


@checks.typed
def assumptions(problem: Problem, law: Law | DepthLaw) -> Assumptions:
    """Each assumption of the theorems, for a problem's own data and a law of the start.

    The block: growth |f| <= C₁(|θ|² + 1)(|x| + 1); Lipschitz bounds |∂_x f| <= C₂(|θ|² + 1),
    |∂_θ f| <= C₂(|θ| + 1) on the states that can be reached; smoothness; universality; degrees
    of homogeneity. The data: radius, targets, readout, loss. The law: second moment, support,
    u = 0, continuity in depth, separation, and λ_min(K)/N of 512 Sobol particles of it through
    Euler depth of 8 steps.

    Constants of ``SHL`` and ``Linear`` are proved in ``_block_bounds``; those of other blocks are
    sampled, which shows that a bound fails but never that it holds. Raises TypeError for a law on
    another R^p. Sources: Ding et al. 2022, Assumptions 4.1, 4.2, 6.1, 6.2; Lu et al. 2020 and
    Barboni et al. 2024 by content.
    """
    depths = np.linspace(0.0, 1.0, NODES + 1)
    laws = [law] if isinstance(law, Law) else [at_depth(law, float(t)) for t in depths]
    boxes = [supports(one, problem.block.size) for one in laws]
    moment = max(float(np.sum(one.mean**2 + one.std**2)) for one in laws)
    bounds = block_bounds(problem.block)
    start = float(np.linalg.norm(problem.start(), axis=1).max())
    with np.errstate(over="ignore"):
        radius = float((start + 1.0) * np.exp(bounds.growth * (moment + 1.0)) - 1.0)
    rows = [
        *_of_block(bounds, radius),
        *_of_data(problem, start),
        *_of_law(problem, laws, boxes, moment),
        _states(bounds, radius),
        *_homogeneous(problem.block, separation(law, problem)),
        _features(problem, law),
    ]
    return Assumptions(tuple(rows))


def _of_block(bounds: BlockBounds, radius: float) -> Iterator[Assumption]:
    growth, lipschitz = bounds.growth, bounds.lipschitz(radius)
    yield Assumption(
        "growth", "|f| <= C(|θ|² + 1)(|x| + 1)", bounds.holds(growth), growth,
        bounds.reason, DING + "Assumption 4.1.1",
    )  # fmt: skip
    yield Assumption(
        "lipschitz", "|∂_x f| <= C(|θ|² + 1), |∂_θ f| <= C(|θ| + 1)", bounds.holds(lipschitz),
        lipschitz, f"{bounds.reason}; on |x| <= {radius:.3g}", DING + "Assumption 4.1.2",
    )  # fmt: skip
    yield Assumption(
        "smooth", "f is C² with locally bounded second derivatives", bounds.smooth,
        bounds.curvature, bounds.smooth_reason, DING + "Assumption 4.1.3",
    )  # fmt: skip
    yield Assumption(
        "universal", "{∫f dρ} is dense in C(|x| <= R)", bounds.universal, NAN,
        bounds.universal_reason, DING + f"Assumption 4.1.4; {LU}",
    )  # fmt: skip


def _of_data(problem: Problem, start: float) -> Iterator[Assumption]:
    yield Assumption(
        "data", "inputs in a ball", True, start, "the largest |A x_i|", DING + "Assumption 4.2.5"
    )
    size = float(np.linalg.norm(problem.y, axis=1).max())
    yield Assumption(
        "targets", "targets bounded", True, size, "the largest |y_i|", DING + "Assumption 4.2.6"
    )
    values = np.linalg.svd(problem.readout, compute_uv=False)
    full = problem.outputs <= problem.block.dim and values[-1] > 1e-12 * values[0]
    least = float(values[-1]) if full else 0.0
    yield Assumption(
        "readout", "|∇g| >= c > 0", full, least, "σ_min(B)", DING + f"Assumption 4.2.7; {BARBONI}"
    )
    squared = problem.loss.name == "squared"
    yield Assumption(
        "loss", "ℓ = ½|z − y|²", squared, NAN, problem.loss.name, f"{LU}; {DING}(2); {BARBONI}"
    )
    yield Assumption(
        "regulariser", "E holds the data's term only", not problem.regularised,
        problem.weight_decay, "the weight decay", f"{LU}; {DING}(8); {BARBONI}",
    )  # fmt: skip


def _of_law(
    problem: Problem, laws: list[Law], boxes: list[tuple[list[Box], Box]], moment: float
) -> Iterator[Assumption]:
    yield Assumption("second moment", "∫|θ|² dρ_t < ∞", True, moment, "the largest over t", BARBONI)
    ends = [around for _, around in boxes]
    reach = max(float(np.linalg.norm(np.maximum(np.abs(a), np.abs(b)))) for a, b in ends)
    yield Assumption(
        "bounded support", "supp ρ_t in a ball (k₁ = p)", bool(np.isfinite(reach)), reach,
        "the radius of a box around it", f"{DING}Theorem 5.1, A.4; {BARBONI}",
    )  # fmt: skip
    full = [_full(inside, around) for inside, around in boxes]
    decided = None if None in full and False not in full else all(full)
    yield Assumption(
        "full support", "supp ρ_t = R^p at the start", decided, float(bool(decided)),
        "of ρ_∞ it is assumed, which no start decides; a flow of maps keeps it at every s < ∞",
        f"{LU}; Ding et al. 2021, Theorem 7",
    )  # fmt: skip
    d = problem.block.dim
    outer = [float(np.abs(np.concatenate([a[:d], b[:d]])).max()) for a, b in ends]
    silent = problem.block.coordinates[:d] == tuple(f"u{i}" for i in range(d))
    yield Assumption(
        "silent start", "u = 0 at the start", max(outer) == 0.0 if silent else None,
        max(outer) if silent else NAN, "sup|u_i|" if silent else "f has no outer weight u", BARBONI,
    )  # fmt: skip
    yield _in_depth(laws)


def _full(inside: list[Box], around: Box) -> bool | None:
    """Whether the support is all of R^p: proved by a box in it, refuted by one around it."""
    whole, hull = (
        any(bool(np.all(np.isinf(a) & np.isinf(b))) for a, b in some) for some in (inside, [around])
    )
    return True if whole else (None if hull else False)


def _in_depth(laws: list[Law]) -> Assumption:
    name, said = "depth", "t ↦ ρ_t is Lipschitz in W₂"
    source = DING + f"Definition 4.2; {BARBONI}; {LU}"
    if len(laws) == 1:
        return Assumption(name, said, True, 0.0, "one law at all depths", source)
    fine, coarse = (
        max(_w2(a, b) for a, b in zip(laws[:-lag:lag], laws[lag::lag], strict=True)) * NODES / lag
        for lag in (1, 2)
    )
    jumps = fine > 1.3 * coarse  # 2 at a jump, √2 where masses change at fixed places
    reason = "the quotient grows with the nodes" if jumps else f"on {NODES + 1} nodes"
    if any(isinstance(law, Coupled) for law in laws):
        reason += ", W₂ from below by means and covariances"
    return Assumption(name, said, False if jumps else None, fine, reason, source)


def _w2(first: Law, second: Law) -> float:
    """W₂ of laws of independent coordinates, by quantiles at 400 midpoints; others from below.

    Gelbrich 1990: W₂² >= |m − m′|² + tr(C + C′ − 2(C^½C′C^½)^½), with equality for Gaussians.
    """
    if isinstance(first, Coupled) or isinstance(second, Coupled):
        return _gelbrich(first, second)
    v = (np.arange(400) + 0.5) / 400
    parts = [
        np.mean((a.ppf(v) - b.ppf(v)) ** 2)
        for a, b in zip(first.marginals, second.marginals, strict=True)
    ]
    return float(np.sqrt(np.sum(parts)))


def _gelbrich(first: Law, second: Law) -> float:
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ second.covariance @ root)
    both = np.trace(first.covariance) + np.trace(second.covariance)
    found = both - 2.0 * np.sqrt(np.maximum(cross, 0.0)).sum()
    return float(np.sqrt(max(found, 0.0) + np.square(first.mean - second.mean).sum()))


def _states(bounds: BlockBounds, radius: float) -> Assumption:
    return Assumption(
        "states", "|X(t)| + 1 <= (|X(0)| + 1) exp(C(∫|θ|² + 1))", bounds.holds(radius), radius,
        "Grönwall from growth and second moment", DING + "Theorem A.2 (18)",
    )  # fmt: skip


def _homogeneous(block: Block, found: Separation) -> Iterator[Assumption]:
    known = found.homogeneity
    whole = NAN if known.whole is None else known.whole
    mirrored = known.letters in known.even
    uniform, why = _uniform(block)
    yield Assumption(
        "2-homogeneous", "f(x, λθ) = λ² f(x, θ)", known.two and mirrored, whole,
        "for λ > 0 only" if known.two and not mirrored else "by scaling at 256 points",
        DING + "Assumption 6.1",
    )  # fmt: skip
    yield Assumption(
        "1-homogeneous", "f = θ¹ f̂(x, θ²), θ¹ in R", found.outer != (), float(len(found.outer)),
        "coordinates θ¹ found by scaling", DING + "Assumption 6.2.1",
    )  # fmt: skip
    yield Assumption(
        "uniform in θ²", "f̂ is bounded and C^{1,1} on |x| <= r, all θ²", uniform, NAN, why,
        DING + "Assumption 6.2.2",
    )  # fmt: skip
    yield Assumption(
        "separates spheres", "supp ρ_0 separates r_a S and r_b S at some t", found.sphere, NAN,
        found.reason if known.two else "f is not 2-homogeneous", DING + "Theorem 6.1",
    )  # fmt: skip
    yield Assumption(
        "separates cylinder", "supp ρ_0 separates θ¹ = −r and θ¹ = r at some t", found.cylinder,
        NAN, found.reason if found.outer else "there is no θ¹", DING + "Theorem 6.2",
    )  # fmt: skip


def _uniform(block: Block) -> tuple[bool | None, str]:
    if computes(block, SHL):
        return False, "∂_x σ(w·x + b) = σ′w is unbounded in w"
    if computes(block, Linear):
        return False, "linear in θ²"
    return None, "not decidable from samples"


def _features(problem: Problem, law: Law | DepthLaw) -> Assumption:
    name, said = "features", "λ_min(K)/N > 0 at the start"
    rows = problem.size * problem.outputs
    if problem.temperature or rows > MOST_ROWS:
        why = "particles have no entropy" if problem.temperature else f"K has {rows} rows"
        return Assumption(name, said, None, NAN, why, BARBONI)
    rho = ParticleMeasure.from_law(law, Depth(8, "euler"), count=POINTS)
    kernel = tangent_kernel(problem, rho)
    values = np.linalg.eigvalsh(kernel) / problem.size
    least = max(float(values[0]), 0.0)
    rounding = 1e-12 * max(float(values[-1]), 0.0)
    why = f"{POINTS} particles, 8 steps; largest {values[-1]:.3g}"
    return Assumption(name, said, least > rounding, least, why, BARBONI)
