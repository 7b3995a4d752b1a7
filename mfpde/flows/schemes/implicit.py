"""Extrapolated linearly implicit Euler in the COT metric, solved in the dual.

With J the Jacobian of the outputs, K = JJ*, H the Hessian of ℓ, λ the weight decay and r = ∂ℓ,
one linearly implicit (Gauss–Newton) Euler step (I + h(λ + J*HJ/N)) δ = −h grad E is, by the
Woodbury identity with c = 1 + hλ, γ = h/(Nc) and ∇ϱ the gradient of the penalty (λθ without a
quartic part; both taken at the end of the step, where the decay vanishes in time),

    z = (I + γ H K)⁻¹ (r − (h/c) H J∇ϱ),      δ = −(h/c) (∇ϱ + J*z/N),

a linear system of size N·k instead of L·M·p. It is the linearised proximal (minimising movement)
step of COT². Row j of the extrapolation table takes j such steps of length h/j, each with its own
kernel (one kernel for the whole table is unstable: it leaves directions outside the range of the
first Jacobian explicit), and column m removes the m-th power of h from the error (Aitken–Neville):

    T_jm = T_j,m−1 + (T_j,m−1 − T_j−1,m−1)/(j/(j − m + 1) − 1).

Any approximation of the Hessian keeps the order (a W-method; the quartic penalty gives it nothing
here), so the last entry of the table of ``columns`` rows has order ``columns`` for any h, and the
entry before it estimates the error. All rows share the kernel at the start: 2, 3, 4 columns need
2, 4, 7 kernels.
Source: Deuflhard 1985; Hairer, Wanner, Solving ODEs II, IV.9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfpde import losses
from mfpde.flows import dual
from mfpde.runs.step import Array, Step


def rows_for(rtol: float) -> tuple[int, ...]:
    """The rows of the table that reach this tolerance with the least work."""
    return (1, 2) if rtol >= 3e-3 else (1, 2, 3) if rtol >= 3e-4 else (2, 3, 4, 5)


def reach(rows: tuple[int, ...]) -> float:
    """How steps of this table compare with explicit ones: see ``switching``."""
    return {2: 0.5, 3: 1.2, 4: 3.5}[len(rows)]


def step(
    flow: Any,
    point: Any,
    h: float,
    *,
    rows: tuple[int, ...] = (2, 3),
    rtol: float = 0.0,
    atol: float = 0.0,
) -> Step:
    """One step of order len(rows); the tolerances bound the error of iterative linear solves."""
    solver = dual.solver(flow, atol + rtol * flow.norm(point.state))
    last: list[Array] = []
    for i, j in enumerate(rows):
        here = point
        for _ in range(j - 1):
            here = flow.at(here.state + euler(flow, here, h / j, solver), here.s + h / j)
            if not here.finite:
                return Step(here, np.full_like(point.state, np.nan))
        row = [here.state + euler(flow, here, h / j, solver)]
        for m, before in enumerate(last, start=1):
            row.append(row[-1] + (row[-1] - before) / (j / rows[i - m] - 1.0))
        last = row
    return Step(flow.at(last[-1], point.s + h), last[-1] - last[-2])


def euler(flow: Any, point: Any, h: float, solver: dual.Solver) -> Array:
    """The displacement δ of one linearly implicit Euler step of length h."""
    size, penalty = flow.problem.size, flow.penalty(point.s + h)
    c = 1.0 + h * penalty.quadratic
    right = point.slope
    if penalty:
        slope = penalty.gradient(point.state)
        right = right - (h / c) * losses.apply(point.hessian, flow.push(point, slope))
    z = solver.solve(point, h / (size * c), right)
    delta = flow.pull_outputs(point, z / size)
    return -float(h / c) * (delta + slope if penalty else delta)
