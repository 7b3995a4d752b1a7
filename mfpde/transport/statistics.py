"""What a COT distance between samples is worth: sampling bias and bootstrap intervals.

W₂² between two independent n-samples of one law is not zero; it falls like n^{−2/p} for p > 4
(Fournier, Guillin 2015); in the dimensions of a residual block it usually exceeds what is to be
measured. Hence a distance between samples is reported with the distance a law has from itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.transport.distance import cot_distance
from mfpde.transport.measure import ConditionalMeasure, as_measure
from mfpde.transport.methods import Method

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SampleDistance:
    """Squared distances between the laws that two samples come from.

    ``plain`` COT² of the samples, biased upwards. ``baseline`` COT² between independent samples of
    the same law, of the size compared. ``debiased`` = cross − baseline, centred at zero for equal
    laws and possibly negative. ``interval`` the bootstrap interval of COT² of the laws, or None.
    """

    plain: float
    baseline: float
    debiased: float
    interval: tuple[float, float] | None
    level: float

    def __repr__(self) -> str:
        span = ""
        if self.interval is not None:
            low, high = self.interval
            span = f", {100 * self.level:g} % bootstrap [{low:.4g}, {high:.4g}]"
        return (
            f"SampleDistance(COT² {self.plain:.4g} between samples{span}; a law from itself "
            f"{self.baseline:.4g}; debiased {self.debiased:.4g})"
        )


@checks.typed
def sample_distance(
    mu: Any,
    nu: Any,
    *,
    copies: tuple[Any, Any] | None = None,
    bootstrap: int = 0,
    level: float = 0.95,
    method: str | Method = "auto",
    workers: int | None = None,
    seed: int = 0,
) -> SampleDistance:
    """COT² between two samples, beside its sampling bias.

        debiased = cross − ½ (COT²(μ, μ′) + COT²(ν, ν′))

    With `copies` = (μ′, ν′), independent samples of the two laws and of the same sizes, cross is
    ½ (COT²(μ, ν′) + COT²(μ′, ν)). Without, each sample is cut into two random halves which serve as
    (μ, μ′), (ν, ν′): every term then has the bias of half the size, and no rate is assumed. Both
    cross terms pair independent draws, so that common random numbers in mu and nu do no harm. The
    bias of distant laws is smaller than that of equal ones: for these ``debiased`` is too low and
    the truth lies between it and ``plain``.

    Args:
        mu, nu: samples with equal weights, at least 2 atoms per slice. copies: see above.
        bootstrap: number of resamplings (atoms with replacement, the same indices at all depths and
            in both measures where sizes agree); 0 for none. The interval is the reflected
            ("basic") one: percentiles alone would repeat the upward bias. It is meant for laws that
            differ: at equal laws the limit is not normal. level: 0 < level < 1.
        method, workers: as in `cot_distance`. seed: of the halves and resamplings.

    Raises:
        ValueError, TypeError: as `cot_distance`; unequal weights; too few atoms; a bad level.
    """
    first, second = as_measure("mu", mu), as_measure("nu", nu)
    _check_samples(first, second)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie in (0, 1); given {level!r}")
    root = np.random.SeedSequence(seed)

    def squared(one: Any, two: Any) -> float:
        return cot_distance(one, two, method=method, workers=workers) ** 2

    if copies is None:
        (a, a_copy), (b, b_copy) = _halves(first, second, root)
    else:
        a, b = first, second
        a_copy, b_copy = as_measure("copies[0]", copies[0]), as_measure("copies[1]", copies[1])
    baseline = 0.5 * (squared(a, a_copy) + squared(b, b_copy))
    cross = 0.5 * (squared(a, b_copy) + squared(a_copy, b))
    plain = squared(first, second)
    interval = None
    if checks.count("bootstrap", bootstrap, least=0, most=10**6):
        draws = [
            squared(*_resampled(first, second, np.random.SeedSequence(seed, spawn_key=(k,))))
            for k in range(bootstrap)
        ]
        low, high = np.quantile(draws, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
        # reflected: resampling biases upwards once more, by about what sampling did
        interval = (max(2.0 * plain - float(high), 0.0), max(2.0 * plain - float(low), 0.0))
    return SampleDistance(plain, baseline, cross - baseline, interval, level)


def _check_samples(*measures: ConditionalMeasure) -> None:
    for name, rho in zip(("mu", "nu"), measures, strict=True):
        if any(len(a) < 2 or np.ptp(a) > 1e-12 for a in rho.weights):
            raise ValueError(f"{name} must be a sample: at least 2 atoms per slice, equal weights")


def _orders(
    first: ConditionalMeasure, second: ConditionalMeasure, draw: Any
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """One index array per slice; slices of one size share it, across depths and measures."""
    sizes = sorted({len(x) for rho in (first, second) for x in rho.atoms})
    table = {size: draw(size) for size in sizes}
    return [table[len(x)] for x in first.atoms], [table[len(x)] for x in second.atoms]


def _halves(
    first: ConditionalMeasure, second: ConditionalMeasure, root: np.random.SeedSequence
) -> tuple[list[ConditionalMeasure], list[ConditionalMeasure]]:
    orders = _orders(first, second, np.random.default_rng(root).permutation)
    cut = [
        [
            _subset(rho, [part[: len(part) // 2] for part in order]),
            _subset(rho, [part[len(part) // 2 : 2 * (len(part) // 2)] for part in order]),
        ]
        for rho, order in zip((first, second), orders, strict=True)
    ]
    return cut[0], cut[1]


def _subset(rho: ConditionalMeasure, chosen: list[NDArray[np.int64]]) -> ConditionalMeasure:
    atoms = tuple(x[index] for x, index in zip(rho.atoms, chosen, strict=True))
    weights = tuple(np.full(len(x), 1.0 / len(x)) for x in atoms)
    return ConditionalMeasure(rho.edges, rho.nodes, atoms, weights)


def _resampled(
    first: ConditionalMeasure, second: ConditionalMeasure, key: np.random.SeedSequence
) -> tuple[ConditionalMeasure, ConditionalMeasure]:
    """Atoms drawn with replacement: repeated draws become weights."""
    rng = np.random.default_rng(key)

    def draw(size: int) -> NDArray[np.int64]:
        return np.bincount(rng.integers(0, size, size), minlength=size)

    counts = _orders(first, second, draw)
    one, two = (
        ConditionalMeasure(
            rho.edges,
            rho.nodes,
            tuple(x[c > 0] for x, c in zip(rho.atoms, count, strict=True)),
            tuple(c[c > 0] / c.sum() for c in count),
        )
        for rho, count in zip((first, second), counts, strict=True)
    )
    return one, two
