"""Quadrature rules of a law: i.i.d. samples, scrambled Sobol points, tensor Gauss nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.laws import DepthLaw, Law, at_depth
from mfpde.paths import Path, mixing

Array = NDArray[np.float64]

RULES = ("iid", "sobol", "gauss", "spectral")
TENSOR_RULES = ("gauss", "spectral")


def points(
    law: Law, count: int | Sequence[int], rule: str, seed: np.random.SeedSequence
) -> tuple[Array, Array]:
    """Particles θ (M, p) and weights (M,), sum 1, that integrate against ``law``.

    "iid": M = count independent samples, error O(M^−½) (a finite network's own initialisation);
    "sobol": scrambled Sobol points, error near O(1/M) for smooth integrands; count is best a
    power of two; "gauss": tensor Gauss–Legendre/Hermite nodes, exact for polynomials; "spectral":
    the same for uniform coordinates, trapezoidal for Gaussian ones, which converges faster for
    integrands with poles, like tanh. Tensor rules take the largest equal orders with M <= count,
    or the orders of a sequence ``count``, one per coordinate. Coordinates that the law fixes cost
    nothing in any rule.

    Raises ValueError for an unknown rule, or for a tensor rule with too small a count.
    """
    checks.choice("rule", rule, RULES)
    if rule in TENSOR_RULES:
        orders = count if isinstance(count, Sequence) else equal_orders(law, count)
        return tensor(law, orders, rule)
    count = checks.count("count", count)
    v = np.full((count, law.dim), 0.5)
    free = [i for i, m in enumerate(law.marginals) if m.random]
    if free:
        v[:, free] = _uniform(len(free), count, rule, seed)
    return law.quantiles(v), np.full(count, 1.0 / count)


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
    free = [i for i in range(laws[0].dim) if any(one.marginals[i].random for one in laws)]
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


def equal_orders(law: Law, count: int) -> tuple[int, ...]:
    """Nodes per coordinate of the largest equal-order tensor rule with at most ``count`` points."""
    free = sum(m.random for m in law.marginals)
    checks.count("count", count)
    if free == 0:
        return (1,) * law.dim
    order = int(np.floor(count ** (1.0 / free) + 1e-9))
    if order < 2:
        raise ValueError(
            f"count={count} gives fewer than 2 nodes in each of {free} random coordinates; "
            f"use count >= {2**free} or rule='sobol'"
        )
    return tuple(order if m.random else 1 for m in law.marginals)


def tensor(law: Law, orders: Sequence[int], rule: str = "gauss") -> tuple[Array, Array]:
    """Tensor rule with ``orders[i]`` nodes in coordinate i: θ (M, p), weights (M,)."""
    if len(orders) != law.dim:
        raise ValueError(f"count must have {law.dim} orders; given {len(orders)}")
    rules = [
        getattr(marginal, rule)(checks.count("order", order))
        for marginal, order in zip(law.marginals, orders, strict=True)
    ]
    nodes = np.meshgrid(*(x for x, _ in rules), indexing="ij")
    weights = np.ones(1)
    for _, w in rules:
        weights = np.multiply.outer(weights, w)
    return np.stack([x.ravel() for x in nodes], axis=1), weights.ravel() / weights.sum()
