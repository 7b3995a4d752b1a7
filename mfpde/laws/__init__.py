"""Laws of block parameters on R^p, before training: named by what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.laws.coupled import CorrelatedLaw, Coupled, EmpiricalLaw, GroupsLaw, MixtureLaw
from mfpde.laws.law import DepthLaw, Law, Piece, at_depth
from mfpde.laws.marginals import Marginal, NormalMarginal, PointMarginal, UniformMarginal

__all__ = [
    "Correlated",
    "Coupled",
    "DepthLaw",
    "Dirac",
    "Empirical",
    "Gaussian",
    "Law",
    "Marginal",
    "Mixture",
    "Piece",
    "Product",
    "Uniform",
    "at_depth",
]

Array = NDArray[np.float64]


@checks.typed
def Uniform(low: ArrayLike, high: ArrayLike, *, dim: int | None = None) -> Law:
    """Uniform law on the box Π_i [low_i, high_i]; scalars are repeated ``dim`` times.

    Raises ValueError where low >= high.
    """
    lows, highs = _coordinates(("low", low), ("high", high), dim=dim)
    if np.any(lows >= highs):
        raise ValueError(f"Uniform low must be below high; given low={low!r}, high={high!r}")
    marginals = [UniformMarginal(float(a), float(b)) for a, b in zip(lows, highs, strict=True)]
    return Law(marginals, f"Uniform({_show(lows)}, {_show(highs)})")


@checks.typed
def Gaussian(std: ArrayLike, mean: ArrayLike = 0.0, *, dim: int | None = None) -> Law:
    """Gaussian law with independent coordinates N(mean_i, std_i²); std_i = 0 fixes coordinate i.

    Raises ValueError for a negative std.
    """
    stds, means = _coordinates(("std", std), ("mean", mean), dim=dim)
    if np.any(stds < 0):
        raise ValueError(f"Gaussian std must be >= 0; given {std!r}")
    marginals: list[Marginal] = [
        NormalMarginal(float(m), float(s)) if s > 0 else PointMarginal(float(m))
        for m, s in zip(means, stds, strict=True)
    ]
    return Law(marginals, f"Gaussian(std={_show(stds)}, mean={_show(means)})")


@checks.typed
def Dirac(value: ArrayLike, *, dim: int | None = None) -> Law:
    """Unit mass at one point: u = 0 exactly is ``Dirac(0.0, dim=d)``."""
    (values,) = _coordinates(("value", value), dim=dim)
    return Law([PointMarginal(float(v)) for v in values], f"Dirac({_show(values)})")


@checks.typed
def Product(*laws: Law) -> Law:
    """The product law of consecutive groups of coordinates.

    ``Product(Dirac(0.0, dim=d), Gaussian(1.0, dim=d + 1))`` is the initialisation of Barboni et
    al. 2024 (§4): u = 0, (w, b) Gaussian.

    Raises TypeError for an argument that is not a law.
    """
    for law in laws:
        if not isinstance(law, Law):
            raise TypeError(f"Product takes laws; given {type(law).__name__}")
    text = f"Product({', '.join(map(repr, laws))})"
    if any(isinstance(law, Coupled) for law in laws):
        return GroupsLaw(laws, text)
    return Law([m for law in laws for m in law.marginals], text)


@checks.typed
def Correlated(covariance: ArrayLike, mean: ArrayLike = 0.0) -> Law:
    """Gaussian law N(mean, covariance) on R^p, covariance (p, p) symmetric and >= 0.

    For the rules "iid" and "sobol", and for ``mfpde.limit``; see ``Gaussian`` for independent
    coordinates.

    Raises ValueError for another shape, or a matrix that is not symmetric or has a negative
    eigenvalue.
    """
    found = checks.array("covariance", covariance, ("p", "p"))
    largest = max(float(np.abs(found).max(initial=0.0)), np.finfo(float).tiny)
    if found.shape[0] != found.shape[1] or np.abs(found - found.T).max() > 1e-12 * largest:
        raise ValueError(f"covariance must be square and symmetric; given shape {found.shape}")
    least = float(np.linalg.eigvalsh(found)[0])
    if least < -1e-12 * largest:
        raise ValueError(f"covariance must have no negative eigenvalue; the least is {least:.3g}")
    means = np.broadcast_to(checks.array("mean", mean), (len(found),)).copy()
    text = f"Correlated({len(found)} coordinates, std={_show(np.sqrt(np.diag(found)))})"
    return CorrelatedLaw(means, found, np.ones(len(found), bool), text)


@checks.typed
def Empirical(points: ArrayLike, weights: ArrayLike | None = None) -> Law:
    """The law Σ_j a_j δ_(θ_j) of points (n, p) and weights (n,) >= 0 of sum 1, equal by default.

    For the rules "iid" and "sobol", and for ``mfpde.limit``, which takes up to 4,096 points as
    they are. ``Empirical(rho.theta[k], rho.weights[k])`` is the law of a measure's particles at
    one depth.

    Raises ValueError for other shapes or weights.
    """
    found = checks.nonempty("points", checks.array("points", points, ("n", "p"))).copy()
    share = _shares("weights", weights, len(found))
    return EmpiricalLaw(found, share, f"Empirical({len(found)} points in R^{found.shape[1]})")


@checks.typed
def Mixture(parts: Sequence[Law], weights: ArrayLike | None = None) -> Law:
    """The mixture Σ_l a_l ρ_l of laws on one R^p; weights > 0 of sum 1, equal by default.

    For the rules "iid" and "sobol", which share their points among the components exactly, and
    for ``mfpde.limit``.

    Raises ValueError for no law, laws of different p or other weights.
    """
    laws = [checks.instance(f"parts[{k}]", law, Law) for k, law in enumerate(parts)]
    dims = {law.dim for law in laws}
    if len(dims) != 1:
        raise ValueError(f"parts must be one or more laws on one R^p; given p = {sorted(dims)}")
    share = _shares("weights", weights, len(laws))
    if share.min() <= 0.0:
        raise ValueError("weights must be > 0: leave the other laws out")
    return MixtureLaw(laws, share, f"Mixture({', '.join(map(repr, laws))})")


def _shares(name: str, value: ArrayLike | None, count: int) -> Array:
    if value is None:
        return np.full(count, 1.0 / count)
    found: Array = checks.array(name, value, (count,))
    if found.min() < 0.0 or abs(found.sum() - 1.0) > 1e-8:
        raise ValueError(f"{name} must be >= 0 and sum to 1; given {found}")
    return found / found.sum()


def _coordinates(*named: tuple[str, Any], dim: int | None) -> list[Array]:
    arrays = [np.atleast_1d(checks.array(f"law {name}", value)) for name, value in named]
    for (name, _), a in zip(named, arrays, strict=True):
        checks.nonempty(f"law {name}", a)
    length = max(a.size for a in arrays) if dim is None else checks.count("law dim", dim)
    checks.memory(f"law dim = {length}", 200.0 * length, "use fewer coordinates")
    for (name, value), a in zip(named, arrays, strict=True):
        if a.ndim != 1 or a.size not in (1, length):
            raise ValueError(
                f"law {name} must be a number or have {length} entries; given {value!r}"
            )
    return [np.broadcast_to(a, (length,)).copy() for a in arrays]


def _show(values: Array) -> str:
    if np.all(values == values[0]) and values.size > 1:
        return f"[{values[0]:g}] * {values.size}"
    return "[" + ", ".join(f"{v:g}" for v in values) + "]"
