"""The heat flow on a tensor grid, exact in time: dm/ds = τ Σ_axes A m.

Along one axis with widths h and distances d of centres, (A m)_c sums (q_{c±1} − q_c)/d over the
faces inside, q = m/h: detailed balance with the Lebesgue measure, no flux through walls. e^{τsA} is
a tensor product of one matrix for each axis, formed from the eigenvectors of the symmetric
h^{−1/2}(hA)h^{−1/2}, non-negative with columns of sum 1: positive and conservative for any step,
which a rational (implicit) method of second order cannot be (Bolley, Crouzeix 1978).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde.measures.axes import Axis, Grid

Array = NDArray[np.float64]


class Diffusion:
    """Heat semigroup, and the dissipation that entropy adds, on one grid."""

    def __init__(self, grid: Grid) -> None:
        self._axes = grid.axes
        self._modes = [_modes(axis) for axis in grid.axes]

    def apply(self, masses: Array, time: float) -> Array:
        """Masses (K, n1, ..., np) after ``time`` = τ·s of heat flow."""
        for i, modes in enumerate(self._modes):
            masses = np.moveaxis(masses, i + 1, 0)
            shape = masses.shape
            moved = _semigroup(*modes, time) @ masses.reshape(shape[0], -1)
            masses = np.moveaxis(moved.reshape(shape), 0, i + 1)
        return np.ascontiguousarray(masses)

    def dissipation(self, temperature: float, v: Array, masses: Array) -> Array:
        """∫ |∇(V + τ log ρ)|² ρ = Σ_faces Λ (ΔV + τ Δlog q)²/d at every node, (K,).

        Λ = Δq/Δlog q, the logarithmic mean, makes Λ Δlog q the diffusive flux itself. Beside an
        empty cell, where log q is infinite, the square is Λ = mean, 2τ ΔV Δq and 4τ² (Δ√q)².
        """
        out = np.zeros(len(masses))
        for i, axis in enumerate(self._axes):
            column = (-1, *(1,) * (len(self._axes) - i - 1))
            q = masses / axis.widths.reshape(column)
            terms = _face_terms(temperature, np.moveaxis(v, i + 1, 0), np.moveaxis(q, i + 1, 0))
            terms = np.moveaxis(terms, 0, i + 1) / np.diff(axis.centres).reshape(column)
            out += terms.reshape(len(out), -1).sum(axis=1)
        return out


def _face_terms(tau: float, v: Array, q: Array) -> Array:
    """Λ (ΔV + τ Δlog q)² between neighbours along the first axis."""
    left, right = np.maximum(q[:-1], 0.0), np.maximum(q[1:], 0.0)
    dv, dq, mean = np.diff(v, axis=0), right - left, 0.5 * (left + right)
    holds = (left > 0.0) & (right > 0.0)
    logs = np.log(np.where(holds, right, 1.0)) - np.log(np.where(holds, left, 1.0))
    far = holds & (np.abs(logs) > 1e-4)  # nearer neighbours have Λ = mean to 1e-9
    mean = np.where(far, dq / np.where(far, logs, 1.0), mean)
    beside = (
        mean * dv**2 + 2.0 * tau * dv * dq + (2.0 * tau * (np.sqrt(right) - np.sqrt(left))) ** 2
    )
    return np.where(holds, mean * (dv + tau * logs) ** 2, beside)


def _modes(axis: Axis) -> tuple[Array, Array, Array]:
    """Eigenvalues (n,) <= 0 and vectors of the symmetrised A, and √h."""
    from scipy import linalg

    root, inverse = np.sqrt(axis.widths), 1.0 / np.diff(axis.centres)
    diagonal = np.append(inverse, 0.0) + np.append(0.0, inverse)
    values, vectors = linalg.eigh_tridiagonal(
        -diagonal / axis.widths, inverse / (root[1:] * root[:-1])
    )
    return np.minimum(values, 0.0), vectors, root


def _semigroup(values: Array, vectors: Array, root: Array, time: float) -> Array:
    """e^{time·A}, >= 0 with columns of sum 1."""
    out = root[:, None] * ((vectors * np.exp(time * values)) @ vectors.T) / root
    out = np.maximum(out, 0.0)
    return out / out.sum(axis=0)
