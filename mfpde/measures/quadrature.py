"""Quadrature rules of a law: i.i.d. samples, scrambled Sobol points, tensor Gauss nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.laws import DepthLaw, Law, Marginal, at_depth
from mfpde.paths import Path, mixing

Array = NDArray[np.float64]

RULES = ("iid", "sobol", "gauss", "spectral")
TENSOR_RULES = ("gauss", "spectral")


def over_depth(
    law: Law | DepthLaw,
    nodes: Array,
    count: int | Sequence[int],
    rule: str | Sequence[str],
    coupling: str,
    seed: np.random.SeedSequence,
) -> tuple[Array, Array]:
    """Particles (K, M, p) and weights (K, M) of a law at the depths ``nodes`` (K,).

    A coordinate counts as random at every node if it is random at one, so that all nodes have the
    same number of particles and "tied" points stay the same where the law shrinks to a point.
    ``rule`` and ``count`` as in ``points``; node k draws from ``seed``'s child (k,) where
    ``coupling`` is "independent", all nodes from (0,) where it is "tied".
    """
    found = [at_depth(law, float(t)) for t in nodes]
    dims = {one.dim for one in found}
    if len(dims) > 1:
        raise ValueError(f"law must have one dimension at every depth; it has {sorted(dims)}")
    free = np.any([random_coordinates(one) for one in found], axis=0)
    if rule != "iid" and rule != "sobol" and not isinstance(count, Sequence):
        _independent(found)
        count = equal_orders(free, count)
    sets = []
    for k, one in enumerate(found):
        key = (*seed.spawn_key, k if coupling == "independent" else 0)
        stream = np.random.SeedSequence(seed.entropy, spawn_key=key)
        sets.append(points(one, count, rule, stream, free))
    return np.stack([x for x, _ in sets]), np.stack([w for _, w in sets])


def random_coordinates(law: Law) -> NDArray[np.bool_]:
    """Which coordinates the law does not fix, (p,)."""
    return law.random


def points(
    law: Law,
    count: int | Sequence[int],
    rule: str | Sequence[str],
    seed: np.random.SeedSequence,
    free: NDArray[np.bool_] | None = None,
) -> tuple[Array, Array]:
    """Particles θ (M, p) and weights (M,), sum 1, that integrate against ``law``.

    "iid": M = count independent samples, error O(M^−½) (a finite network's own initialisation);
    "sobol": scrambled Sobol points, error near O(1/M) for smooth integrands; count is best a
    power of two; "gauss": tensor Gauss–Legendre/Hermite nodes, exact for polynomials; "spectral":
    the same for uniform coordinates, trapezoidal for Gaussian ones, which converges faster for
    integrands with poles, like tanh. A sequence of the last two names is a rule per coordinate.
    Tensor rules take the largest equal orders with M <= count, or the orders of a sequence
    ``count``, one per coordinate of the law's pieces. Coordinates outside ``free`` (p,), by
    default those that the law fixes, cost nothing in any rule.

    Raises ValueError for an unknown rule, or for a tensor rule with too small a count.
    """
    free = random_coordinates(law) if free is None else free
    if not isinstance(rule, str) or checks.choice("rule", rule, RULES) in TENSOR_RULES:
        if not isinstance(count, Sequence):
            _independent([law])
            count = equal_orders(free, count)
        return tensor(law, count, rule)
    count = checks.count("count", count)
    v = np.full((count, law.dim), 0.5)
    if free.any():
        v[:, free] = _uniform(int(free.sum()), count, rule, seed)
    return law.quantiles(v), np.full(count, 1.0 / count)


def _independent(laws: Sequence[Law]) -> None:
    """Raises TypeError for a law of coordinates that hang together."""
    for law in laws:
        law.marginals  # noqa: B018  which such a law refuses


def paths(
    law: Law | DepthLaw,
    nodes: Array,
    path: Path,
    count: int | Sequence[int],
    rule: str,
    seed: int,
) -> Array:
    """Particles θ (K, M, p) with the law at every node, correlated over nodes as ``path`` says.

    ``rule`` "iid" or "sobol", in as many dimensions as independent numbers make a path.
    """
    if rule not in ("iid", "sobol"):
        raise ValueError(f"rule must be 'iid' or 'sobol' for paths in depth; given {rule!r}")
    from scipy import special

    count, mix = checks.count("count", count), mixing(path, nodes)
    laws = [at_depth(law, float(t)) for t in nodes]
    free = [i for i in range(laws[0].dim) if any(one.random[i] for one in laws)]
    v = np.full((len(nodes), count, laws[0].dim), 0.5)
    if free:
        stream = np.random.SeedSequence(seed, spawn_key=(0,))
        normal = special.ndtri(_uniform(mix.shape[1] * len(free), count, rule, stream))
        xi = np.einsum("kr,mrp->kmp", mix, normal.reshape(count, mix.shape[1], len(free)))
        v[:, :, free] = np.clip(special.ndtr(xi), 2.0**-53, 1.0 - 2.0**-53)
    return np.stack([one.quantiles(each) for one, each in zip(laws, v, strict=True)])


def _uniform(dim: int, count: int, rule: str, seed: np.random.SeedSequence) -> Array:
    rng = np.random.default_rng(seed)
    if rule == "iid":
        v = rng.random((count, dim))
    else:
        from scipy.stats import qmc  # a second to import, and only this rule needs it

        sampler = qmc.Sobol(dim, scramble=True, rng=rng)
        # Draw the next power of two (the balanced set) and keep its first points.
        v = sampler.random_base2(int(np.ceil(np.log2(count))))[:count]
    # Quantiles of unbounded laws need the open interval.
    return np.clip(v, 2.0**-53, 1.0 - 2.0**-53)


def equal_orders(free: NDArray[np.bool_], count: int) -> tuple[int, ...]:
    """Nodes per coordinate of the largest equal-order tensor rule with at most ``count`` points."""
    dims = int(free.sum())
    checks.count("count", count)
    if dims == 0:
        return (1,) * free.size
    order = int(np.floor(count ** (1.0 / dims) + 1e-9))
    if order < 2:
        raise ValueError(
            f"count={count} gives fewer than 2 nodes in each of {dims} random coordinates; "
            f"use count >= {2**dims} or rule='sobol'"
        )
    return tuple(order if one else 1 for one in free)


def tensor(
    law: Law, orders: Sequence[int], rule: str | Sequence[str] = "gauss"
) -> tuple[Array, Array]:
    """Tensor rules with ``orders[i]`` nodes in coordinate i: θ (M, p), weights (M,).

    Coordinates are those of the law's pieces, one piece after the other.
    """
    pieces = law.pieces
    count = sum(len(piece.marginals) for piece in pieces)
    names = (rule,) * count if isinstance(rule, str) else tuple(rule)
    for what, given in (("count", orders), ("rule", names)):
        if len(given) != count:
            raise ValueError(f"{what} must have {count} entries; given {len(given)}")
    points, weights, at = [], [], 0
    for piece in pieces:
        own = slice(at, at + len(piece.marginals))
        z, w = _product(piece.marginals, orders[own], names[own])
        sheets = piece.place(z)
        points.append(sheets.reshape(-1, sheets.shape[2]))
        weights.append(np.multiply.outer(piece.shares, w).ravel())
        at = own.stop
    found = np.concatenate(weights)
    return np.concatenate(points), found / found.sum()


def _product(
    marginals: Sequence[Marginal], orders: Sequence[int], names: Sequence[str]
) -> tuple[Array, Array]:
    """The product of lines, nodes (m, r) and weights (m,); of none, one node of no coordinates."""
    rules = [_line(*one) for one in zip(marginals, orders, names, strict=True)]
    weights = np.ones(1)
    for _, w in rules:
        weights = np.multiply.outer(weights, w)
    if not rules:
        return np.empty((1, 0)), weights
    nodes = np.meshgrid(*(x for x, _ in rules), indexing="ij")
    return np.stack([x.ravel() for x in nodes], axis=1), weights.ravel()


def _line(marginal: Marginal, order: int, rule: str) -> tuple[Array, Array]:
    """One coordinate's rule; a fixed value is repeated, so that it keeps its number of nodes."""
    order = checks.count("order", order)
    if not marginal.random:
        return np.full(order, marginal.mean), np.full(order, 1.0 / order)
    nodes, weights = getattr(marginal, checks.choice("rule", rule, TENSOR_RULES))(order)
    return nodes, weights
