"""The verb: products of E's Hessian with directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfpde import checks
from mfpde.measures.particles import ParticleMeasure
from mfpde.passes import operator_of
from mfpde.passes.second_order import Directions
from mfpde.problem import Problem
from mfpde.response.linearised import Linearised

Array = NDArray[np.float64]


@checks.typed
def hessian_product(
    problem: Problem,
    rho: ParticleMeasure,
    direction: ArrayLike,
    *,
    weights: ArrayLike | None = None,
) -> Array:
    """d/dε ``mfpde.gradient`` at θ + ε·direction: the Hessian of E in the COT metric, (K, M, p).

    ``direction`` (K, M, p), or (C, K, M, p) for C products that share their σ; ``weights``
    (K, M), or (C, K, M), adds a change of the weights (sums of rows need not vanish).
    ∂²E_h/∂θ_kj∂θ_li · direction_li, summed over (l, i), is ω_k a_kj times the result. Exact for
    ``SHL`` and ``Linear``; another block's second derivatives are central differences of order 4
    of its own derivatives, of a relative error about 1e−11. Computed in float64; relu's second
    derivative is taken as 0.

    Raises ValueError for wrong shapes or a temperature; TypeError for what is no ParticleMeasure.
    """
    if not isinstance(rho, ParticleMeasure):
        raise TypeError(f"rho must be a ParticleMeasure; given {type(rho).__name__}")
    problem.refuse_entropy()
    given = np.asarray(direction)
    single = given.ndim == 3
    shape = rho.theta.shape
    change = checks.array("direction", given[None] if single else given, ("C", *shape))
    mass = None if weights is None else np.asarray(weights)
    if mass is not None:
        mass = mass[None] if mass.ndim == 2 else mass
        mass = checks.array("weights", mass, (len(change), *shape[:2]))
    stack = operator_of(problem, rho).layers(rho.theta)
    stack = stack._replace(
        theta=stack.theta.astype(np.float64), weights=stack.weights.astype(np.float64)
    )
    here = Linearised(problem, stack, problem.start(), problem.penalty)
    found = here.along(Directions(change, mass)).gradient
    return found[0] if single else found
