"""The tangent kernel as a product over data and outputs, S K S ≈ A ⊗ B: outputs share the data.

A = Σ_a m_aᵀ S K S m_a, (N, N), of a few mixed outputs, and B, (k, k), the mean over some data of
the diagonal blocks S_i K_ii S_i: neither takes K. One or two mixtures of ten outputs were measured
to serve as well as the mean over all ten.
"""

from __future__ import annotations

import numpy as np

from mfpde.passes.interface import Array, Carried

# Mixed outputs, and data that the outputs' Gram matrix is the mean over.
MIXED, SAMPLE = 2, 8


def factors(carried: Carried, root: Array | None) -> tuple[Array, Array]:
    """A and B for S_i (N, k, k), the identity where None; together they have the trace of S K S.

    A is in the precision of the data as they are carried.
    """
    data, outputs = carried.outputs.shape
    rows = sample(data)
    if root is not None and len(heavy := np.flatnonzero(_large(root))):
        rows = heavy[sample(len(heavy))]
    over_data = carried.mixed_kernel(mixtures(outputs), root)
    part = carried.operator.carry(carried.state, carried.operator.start[rows])
    some, n = part.kernel.astype(np.float64), len(rows)
    roots = np.broadcast_to(np.eye(outputs), (n, outputs, outputs)) if root is None else root[rows]
    blocks = np.einsum("icid->icd", some.reshape(n, outputs, n, outputs))
    over_outputs = np.mean(roots @ blocks @ roots, axis=0)
    size = float(np.mean(np.diag(over_data)[rows]))
    return over_data / size if size > 0.0 else over_data, over_outputs


def _large(root: Array) -> Array:
    """Which S_i (N, k, k) count, beside their mean."""
    sizes = np.abs(root).sum(axis=(1, 2))
    return np.asarray(sizes > 1e-3 * sizes.mean())


def mixtures(outputs: int) -> Array:
    """Orthonormal mixtures of the outputs, (q, k), always the same."""
    count = min(MIXED, outputs)
    normal = np.random.default_rng(np.random.SeedSequence(0)).standard_normal((outputs, count))
    return np.ascontiguousarray(np.linalg.qr(normal)[0].T)


def sample(data: int) -> Array:
    """Rows spread over the data."""
    return np.unique(np.linspace(0, data - 1, min(SAMPLE, data)).astype(np.intp))
