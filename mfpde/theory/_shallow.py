"""The two-layer surrogate: what changes when the adjoint is replaced by the final residual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde import checks
from mfpde.measures import Measure
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import carry
from mfpde.problem import Problem
from mfpde.theory._lipschitz import adjoint_bounds, layer_bounds
from mfpde.theory._measures import particles

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ShallowComparison:
    """Per depth node (K,): gradient norms of ResNet and surrogate, their ratio and its bounds.

    ``gradient`` and ``shallow`` are ‖√η∘∇_θV(t_k, ·)‖ in L²(ρ_t), η the problem's rates, ``cosine``
    the cosine of their angle there. ``adjoint_least`` and ``adjoint_most`` are the extremes over
    the data of |P_i(t)|/|P_i(1)|, which lie within ``adjoint_bounds`` = exp(∓∫_t^1 Lip);
    ``ratio`` = gradient/shallow lies within ``bounds``, those widened by the root of K(t)'s
    condition.
    """

    depths: Array
    gradient: Array
    shallow: Array
    cosine: Array
    adjoint_least: Array
    adjoint_most: Array
    adjoint_bounds: tuple[Array, Array]
    bounds: tuple[Array, Array]

    @property
    def ratio(self) -> Array:
        """‖∇V‖/‖∇V_shallow‖ per depth, NaN where both vanish."""
        out = np.full_like(self.gradient, np.nan)
        return np.divide(self.gradient, self.shallow, out=out, where=self.shallow > 0.0)


@checks.typed
def shallow_comparison(problem: Problem, rho: Measure) -> ShallowComparison:
    """The surrogate's gradient, P_i(t) replaced by P_i(1), against the ResNet's, depth by depth.

    With P(t) = T P(1), e^{−∫Lip} ≤ |T_i P_i(1)|/|P_i(1)| ≤ e^{∫Lip}, and the norms are those of
    K(t)^½P(t) and K(t)^½P(1): their ratio lies within (λ_min/λ_max)^½ e^{−∫Lip} and its
    reciprocal. Euler depth uses Π(1 ∓ h Lip), exact for the ResNet; other integrators the
    exponentials of the continuous depth. Where K(t) is singular the bounds are 0 and inf.
    Raises TypeError unless ``rho`` consists of particles at fixed depths.
    Source: Lu et al. 2020 (comparison with the two-layer surrogate).
    """
    carried = carry(problem, rho := particles(rho, "shallow_comparison"))
    terminal = carried.terminal(carried.slope / problem.size)
    full, states = carried.variation, carried.node_states
    flat = np.array(
        [problem.block.gradient(x, rho.theta[k], terminal) for k, x in enumerate(states)]
    )
    flat = flat.reshape(full.shape)
    pairs = (full, full), (flat, flat), (full, flat)
    squares = [_inner(rho, left, carried.velocity(right)) for left, right in pairs]
    norms = np.sqrt(squares[0]), np.sqrt(squares[1])
    size = norms[0] * norms[1]
    ends = np.linalg.norm(terminal, axis=1)
    moving = ends > 0.0
    stretch = np.linalg.norm(carried.node_adjoints, axis=2)[:, moving] / ends[moving]
    bounds = adjoint_bounds(rho.depth, layer_bounds(carried))
    spread = np.sqrt([_condition(carried.hidden_kernel(k)) for k in range(rho.levels)])
    return ShallowComparison(
        depths=rho.depth.nodes,
        gradient=norms[0],
        shallow=norms[1],
        cosine=np.divide(squares[2], size, out=np.full_like(size, np.nan), where=size > 0.0),
        adjoint_least=stretch.min(axis=1, initial=np.inf),
        adjoint_most=stretch.max(axis=1, initial=0.0),
        adjoint_bounds=bounds,
        bounds=(bounds[0] / spread, bounds[1] * spread),
    )


def _inner(rho: ParticleMeasure, left: Array, right: Array) -> Array:
    return np.asarray((rho.weights * (left * right).sum(axis=2)).sum(axis=1))


def _condition(kernel: Array) -> float:
    values = np.linalg.eigvalsh(kernel)
    floor = len(values) * np.finfo(np.float64).eps * values[-1]
    return float(values[-1] / values[0]) if values[0] > floor else float("inf")
