"""The elementwise half of a tangent kernel: Hadamard products of four Gram matrices."""

from __future__ import annotations

from numba import njit, prange

from mfpde.kernels import FASTMATH


@njit(cache=True, parallel=True, fastmath=FASTMATH, error_model="numpy")
def add_lower(out, g, x, q, s, same):
    """Lower triangle of out += G∘x + q∘s (+ its transpose, for two different evaluations).

    g and q are (N·C, N·C); x and s are (N, N) and shared by the C rows of a datum.
    """
    n = x.shape[0]
    c = g.shape[0] // n
    for r in prange(g.shape[0]):
        i = r // c
        for j in range(i + 1):
            xij, sij, xji, sji = x[i, j], s[i, j], x[j, i], s[j, i]
            for m in range(j * c, min((j + 1) * c, r + 1)):
                value = g[r, m] * xij + q[r, m] * sij
                if not same:
                    value += g[m, r] * xji + q[m, r] * sji
                out[r, m] += value
