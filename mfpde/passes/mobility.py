"""What a potential moves: −∇·(ρ_t ∇V) by central differences, in terms of layer coefficients.

Where the layer's parameter is all masses (R = 1, see ``mfpde.passes.cell_sums``) the mass of a face
is the mean of its two cells. Where it is the u-moments of f = u σ(w·x + b), V = u·g(w, b) and

    (R(−∇·(ρ∇V)))_a = η_a M_a g_a − Σ_b ∇·(S_ab ∇g_b),

with S_ab = Σ_u u_a u_b m and M_a the mass without half of the wall cells of u_a: a grid in (w, b).
Both are R P Rᵀ with P the operator on the full grid, exactly.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mfpde.kernels.pools import serial_blas
from mfpde.measures.axes import Axis
from mfpde.passes.cell_sums import GridSums, SeparableSums
from mfpde.passes.propagate import Forward, Layers, sensitivities

Array = NDArray[np.float64]
Index = NDArray[np.intp]
ALL = slice(None)


class Mobility(Protocol):
    """−∇·(ρ∇ ·) at one state, symmetric and positive semi-definite."""

    def apply(self, g: Array, nodes: slice | Index = ALL) -> Array:
        """Change of the coefficients (n, C) by potentials g (n, C) at the nodes given."""
        ...


def mobility(sums: GridSums, masses: Array, axes: tuple[Axis, ...]) -> Mobility:
    """The operator of a layer at masses (K, n1, ..., np), distances by ``axes``, as the flow's."""
    kind = Reduced if isinstance(sums, SeparableSums) else Full
    return kind(sums, masses, axes)


class Full:
    """Potentials on all cells."""

    def __init__(self, sums: GridSums, masses: Array, axes: tuple[Axis, ...]) -> None:
        self._axes, self._masses = axes, masses

    def apply(self, g: Array, nodes: slice | Index = ALL) -> Array:
        m = self._masses[nodes]
        return moved(self._axes, m, g.reshape(len(g), *m.shape[1:])).reshape(g.shape)


class Reduced:
    """Potentials g (d on the cells of (w, b)) of separable layers."""

    @serial_blas()
    def __init__(self, sums: GridSums, masses: Array, axes: tuple[Axis, ...]) -> None:
        d = sums.block.dim
        self._d, self._axes = d, axes[d:]
        shape = (len(masses), *sums.grid.shape[d:])
        u = np.stack(np.meshgrid(*(a.centres for a in sums.grid.axes[:d]), indexing="ij"))
        u, flat = u.reshape(d, -1), masses.reshape(len(masses), -1, int(np.prod(shape[1:])))
        rates = [_rate(own, axis) for own, axis in zip(sums.grid.axes[:d], axes, strict=False)]
        inner = np.stack([rate * inside(masses, a, d) for a, rate in enumerate(rates)], axis=1)
        self._inner = inner.reshape(len(masses), d, *shape[1:])
        pairs = np.einsum("aj,bj->abj", u, u).reshape(d * d, -1)
        self._second = np.matmul(pairs, flat).reshape(len(masses), d, d, *shape[1:])

    def apply(self, g: Array, nodes: slice | Index = ALL) -> Array:
        inner, second = self._inner[nodes], self._second[nodes]
        g_ = g.reshape(len(g), *inner.shape[1:])
        out = inner * g_
        for a in range(self._d):
            for b in range(self._d):
                out[:, a] += moved(self._axes, second[:, a, b], g_[:, b])
        return out.reshape(g.shape)


def _rate(own: Axis, measured: Axis) -> float:
    """η of a coordinate: the square of its lengths over those that the metric gives them."""
    return float(((own.high - own.low) / (measured.high - measured.low)) ** 2)


def inside(masses: Array, axis: int, d: int) -> Array:
    """Σ over u of the masses without half of the wall cells of u_axis, (K, ...)."""
    total = masses.sum(axis=tuple(range(1, d + 1)))
    walls = np.take(masses, [0, -1], axis=axis + 1).sum(axis=tuple(range(1, d + 1)))
    return np.asarray(total - 0.5 * walls)


def moved(axes: tuple[Axis, ...], masses: Array, v: Array) -> Array:
    """−∇·(m ∇V) for masses and V of shape (K, n1, ..., nq) on the axes given."""
    out = np.zeros_like(v)
    for i, axis in enumerate(axes, start=1):
        low = (slice(None),) * i + (slice(None, -1),)
        high = (slice(None),) * i + (slice(1, None),)
        column = (-1, *(1,) * (len(axes) - i))
        kappa = np.diff(axis.centres).reshape(column) ** -2.0
        flux = kappa * (v[high] - v[low]) * (0.5 * (masses[high] + masses[low]))
        out[high] += flux
        out[low] -= flux
    return out


@serial_blas()
def tangent_kernel(layers: Layers, passed: Forward, readout: Array, metric: Mobility) -> Array:
    """K = Σ_k (1/ω_k) J_k P_k J_kᵀ of the outputs, (N·k, N·k), P_k the mobility of depth node k."""
    size = passed.end.shape[0] * readout.shape[0]
    kernel = np.zeros((size, size))
    for k, factors in sensitivities(layers, passed, readout):
        rows = sum(factors[1:], start=factors[0])
        moves = metric.apply(rows, slice(k, k + 1))
        kernel += (rows @ moves.T) / float(layers.depth.weights[k])
    return 0.5 * (kernel + kernel.T)


@serial_blas()
def mixed_kernel(layers: Layers, passed: Forward, readout: Array, metric: Mobility) -> Array:
    """The sum over outputs of the diagonal blocks of K, (N, N), for a readout (q, d) or (N, q, d).

    Outputs stand beside each other in the rows of a datum.
    """
    data = len(passed.end)
    kernel = np.zeros((data, data))
    for k, factors in sensitivities(layers, passed, readout):
        rows = sum(factors[1:], start=factors[0])
        moves = metric.apply(rows, slice(k, k + 1)).reshape(data, -1)
        kernel += (rows.reshape(data, -1) @ moves.T) / float(layers.depth.weights[k])
    return 0.5 * (kernel + kernel.T)
