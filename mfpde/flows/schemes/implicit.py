"""Extrapolated linearly implicit Euler in the COT metric, solved in the dual.

With J the Jacobian of the outputs, K = JJ*, H the Hessian of ℓ, λ the weight decay and r = ∂ℓ,
one linearly implicit (Gauss–Newton) Euler step (I + h(λ + J*HJ/N)) δ = −h grad E is, by the
Woodbury identity with c = 1 + hλ and γ = h/(Nc),

    z = (I + γ H K)⁻¹ (r − (hλ/c) H Jθ),      δ = −(h/c) (λθ + J*z/N),

a linear system of size N·k instead of L·M·p. It is the linearised proximal (minimising movement)
step of COT². Row j of the extrapolation table takes j such steps of length h/j, each with its own
kernel (one kernel for the whole table is unstable: it leaves directions outside the range of the
first Jacobian explicit), and column m removes the m-th power of h from the error (Aitken–Neville):

    T_jm = T_j,m−1 + (T_j,m−1 − T_j−1,m−1)/(j/(j − m + 1) − 1).

Any approximation of the Hessian keeps the order (a W-method), so the last entry of the table of
``columns`` rows has order ``columns`` for any h, and the entry before it estimates the error. All
rows share the kernel at the start: 2, 3, 4 columns need 2, 4, 7 kernels.
Source: Deuflhard 1985; Hairer, Wanner, Solving ODEs II, IV.9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfpde import losses
from mfpde.flows import dual
from mfpde.flows.schemes.step import Array, Step


def columns_for(rtol: float) -> int:
    """Columns that need the fewest kernels at this tolerance.

    Choosing columns step by step, by the work per unit step, was measured beside this rule on
    stiff runs to s = 100 and to zero loss: as many kernels at best, up to twice as many at worst.
    """
    return 2 if rtol >= 3e-3 else 3 if rtol >= 3e-4 else 4


def step(
    flow: Any, point: Any, h: float, *, columns: int = 2, rtol: float = 0.0, atol: float = 0.0
) -> Step:
    """One step of order ``columns``; the tolerances bound the error of iterative linear solves."""
    solver = dual.solver(flow, atol + rtol * flow.norm(point.theta))
    last: list[Array] = []
    for j in range(1, columns + 1):
        here = point
        for _ in range(j - 1):
            here = flow.at(here.theta + euler(flow, here, h / j, solver))
            if not here.finite:
                return Step(here, np.full_like(point.theta, np.nan))
        row = [here.theta + euler(flow, here, h / j, solver)]
        for m, before in enumerate(last, start=1):
            row.append(row[-1] + (j - m) / m * (row[-1] - before))
        last = row
    return Step(flow.at(last[-1]), last[-1] - last[-2])


def euler(flow: Any, point: Any, h: float, solver: dual.Solver) -> Array:
    """The displacement δ of one linearly implicit Euler step of length h."""
    problem, decay = flow.problem, flow.problem.weight_decay
    c = 1.0 + h * decay
    right = point.slope
    if decay:
        change = flow.push(point, point.theta)
        right = right - (h * decay / c) * losses.apply(point.hessian, change)
    z = solver.solve(point, h / (problem.size * c), right)
    delta = flow.pull_outputs(point, z / problem.size)
    return -float(h / c) * (delta + decay * point.theta if decay else delta)
