"""Second-order sums of f(x, (u, w, b)) = u σ(w·x + b): how its passes move with everything.

Along (dx, du, dw, db, dq, da), with the change κ = w·dx + dw·x + db of the argument and
t = ⟨q, u⟩ σ′,

    dF  = Σ_j (a_j du_j + da_j u_j) σ_j + a_j u_j σ′_j κ_j,
    dt  = ⟨q, u⟩ σ″ κ + (⟨dq, u⟩ + ⟨q, du⟩) σ′,
    d(D_xFᵀq) = Σ_j dt_j a_j w_j + t_j (a_j dw_j + da_j w_j),
    d(D_θfᵀq) = (σ′κ q + σ dq,  dt x + t dx,  dt),

and at fixed θ, where κ = w·dx alone, d⟨q, f⟩ = σ ⟨dq, u⟩ + t w·dx. σ, σ′, σ″ and ⟨q, u⟩ are
formed once for all directions; each then costs products with few columns and one compiled sweep.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfpde.kernels.second_order import sweep

Array = NDArray[Any]


def tangents(
    block: Any,
    x: Array,
    theta: Array,
    a: Array,
    s: Array,
    ds: Array,
    dx: Array,
    dtheta: Array,
    da: Array | None,
) -> Array:
    """dF along each direction, (C, N, d)."""
    u, w, _ = block.split(theta)
    out, mass, au = np.empty_like(dx), a[:, None], a[:, None] * u
    for c in range(len(dx)):
        du, dw, db = block.split(dtheta[c])
        kappa = _argument(x, dx[c], w, dw, db)
        kappa *= ds
        heads = mass * du if da is None else mass * du + da[c][:, None] * u
        out[c] = s @ heads + kappa @ au
    return out


def backward_tangents(
    block: Any,
    x: Array,
    theta: Array,
    a: Array,
    q: Array,
    sigma: list[Array],
    dx: Array,
    dtheta: Array,
    dq: Array,
    da: Array | None,
) -> tuple[Array, Array, Array]:
    """d(D_xFᵀq) (C, N, d), d(Σ_i D_θfᵀq) (C, M, p) and d⟨q, f⟩ at fixed θ (C, M)."""
    (s, ds, dds), (u, w, _), d = sigma, block.split(theta), block.dim
    t = q @ u.T
    dds *= t
    t *= ds
    mass, aw = a[:, None], a[:, None] * w
    pulls, changes = np.empty_like(dq), np.empty((len(dx), *theta.shape))
    potentials, heads = np.empty((len(dx), len(theta))), np.concatenate([u, u], axis=1)
    for c in range(len(dx)):
        du, dw, db = block.split(dtheta[c])
        kappa = _argument(x, dx[c], w, dw, db)
        heads[:, d:] = du
        dt = np.concatenate([dq[c], q], axis=1) @ heads.T
        sweep(kappa.ravel(), ds.ravel(), dds.ravel(), dt.ravel())
        tails = mass * dw if da is None else mass * dw + da[c][:, None] * w
        pulls[c] = dt @ aw + t @ tails
        by_u, by_w = s.T @ dq[c], t.T @ dx[c]
        potentials[c] = (by_u * u).sum(axis=1) + (by_w * w).sum(axis=1)
        changes[c, :, :d] = by_u + kappa.T @ q
        changes[c, :, d : 2 * d] = by_w + dt.T @ x
        if block.bias:
            changes[c, :, 2 * d] = dt.sum(axis=0)
    return pulls, changes, potentials


def _argument(x: Array, dx: Array, w: Array, dw: Array, db: Array) -> Array:
    """κ = w·dx + dw·x + db, (N, M)."""
    found: Array = np.concatenate([dx, x], axis=1) @ np.concatenate([w, dw], axis=1).T
    found += db
    return found
