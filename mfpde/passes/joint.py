"""Blocks of a ``JointMeasure``: what descending E in depth means (Lu et al. 2020).

    ∂_s ρ = div_(θ,t)(ρ ∇_(θ,t) V),   dθ_j/ds = −∇_θ V(t_j, θ_j),   dt_j/ds = −β⁻² ∂_t V(t_j, θ_j)
    ∂_t V(t, θ) = (1/N) Σ_i ⟨Ṗ_i(t), f(X_i, θ)⟩ + ⟨P_i(t), D_x f(X_i, θ) Ẋ_i(t)⟩

**What replaces the derivative in t.** n blocks of mass 1/n are passed in order of t_j, so that E
depends on their order only: its derivative in t_j is zero wherever it exists, and E jumps by
O(1/n²) where two neighbours change places. The descent in depth is made of these jumps. With the
increments Δ_j X = X^{j+1} − X^j and Δ_j P of block j along the two paths, the exchange of l with an
earlier neighbour j (l moves to the front) changes E, to leading order, by

    A_lj = Σ_i ⟨Δ_l P_i, Δ_j X_i⟩ − ⟨Δ_j P_i, Δ_l X_i⟩ = −A_jl    (P_i with the factor 1/N of E)

and averaging the exchanges over a symmetric kernel κ of width ``window`` is the formula above,

    ∂_t V(t_l, θ_l) = −n Σ_j κ(t_l, t_j) A_lj = n (⟨Ṗ(t_l), Δ_l X⟩ − ⟨Δ_l P, Ẋ(t_l)⟩),

with Ẋ = Σ_j κ(·, t_j) Δ_j X and Ṗ alike. Here κ is the kernel of the least-squares projection onto
continuous piecewise linear functions on cells of that width: symmetric, and of second order up to
the ends. The error is O(window²) plus that of the sums over the n·window blocks in a window:
1/√(n·window) for i.i.d. blocks, 1/(n·window) for evenly spread ones.

**The depth marginal is conserved.** E does not change when depth is reparametrised, so that
∫ ∂_t V ρ(t, dθ) = 0 at every t (Noether): blocks change places, their density in depth stays. The
particles inherit Σ_j dt_j/ds = 0 from the symmetry of κ, as long as no block rests at an end.

**The window is part of the model.** ∂_t V(t, ·) = Cρ(t, ·) is local in depth, C(θ, θ′) = −C(θ′, θ)
being the density of −A, so that the flow in t is a system of conservation laws whose speeds are
the eigenvalues of diag(Cρ) + ρC. Where Cρ = 0 but C ≠ 0, for instance at every law with ∫ f dρ = 0
(the usual initialisation), they are imaginary, ±iμ: a disturbance of wave number k in depth
grows like e^{k μ s/β²}, up to k ~ 1/window, since neighbours can be exchanged to advantage at every
scale. The velocity has a limit as window → 0, and so has a run while ρ is smooth at the scale
of the window; later, structure of that width decides which exchanges are made.

Source: Lu et al. 2020, Section 2; the formula for ∂_t V follows from the equations of X and P.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mfpde.kernels.depth_average import deposit, exchange
from mfpde.measures.joint import JointMeasure
from mfpde.passes.interface import Array
from mfpde.passes.placed import PlacedOperator
from mfpde.problem import Problem


class JointOperator(PlacedOperator):
    """A problem on the blocks of a ``JointMeasure``."""

    def __init__(self, problem: Problem, rho: JointMeasure) -> None:
        super().__init__(problem, rho)
        self.cells = max(1, round(1.0 / rho.window))

    @cached_property
    def _inverse(self) -> Array:
        """Inverse of the mass matrix ∫ φ_m φ_n dt of the hat functions."""
        h = 1.0 / self.cells
        mass = np.diag(np.full(self.cells + 1, 4.0)) + np.eye(self.cells + 1, k=1)
        mass += np.eye(self.cells + 1, k=-1)
        mass[0, 0] = mass[-1, -1] = 2.0
        out: Array = np.asarray(np.linalg.inv(mass * (h / 6.0)), dtype=np.float64)
        return out

    def _mesh(self, t: Array) -> tuple[NDArray[np.int64], Array]:
        """The cell of each depth, and the fraction of the cell."""
        scaled = np.nan_to_num(t) * self.cells
        cell = np.minimum(scaled.astype(np.int64), self.cells - 1)
        return cell, scaled - cell

    def slopes(self, t: Array, path: Array) -> Array:
        """The derivative of a path at the nodes of the mesh, (cells + 1, d, N)."""
        sums = deposit(*self._mesh(t), path, self.cells + 1)
        out: Array = np.tensordot(self._inverse, sums, axes=1)
        return out

    def depth_slopes(self, t: Array, path: Array, back: Array, value: Array) -> Array:
        slopes, back_slopes = self.slopes(t, path), self.slopes(t, back)
        return self.count * exchange(*self._mesh(t), path, back, slopes, back_slopes)
