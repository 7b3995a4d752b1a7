"""Extrapolated linearly implicit Euler in the COT metric, solved in the dual.

With J the Jacobian of the outputs, K = JJ*, H the Hessian of ℓ, λ the weight decay and r = ∂ℓ,
one linearly implicit (Gauss–Newton) Euler step (I + h(λ + J*HJ/N)) δ = −h grad E is, by the
Woodbury identity with c = 1 + hλ, γ = h/(Nc) and ∇ϱ the gradient of the penalty (λθ without a
quartic part; both taken at the end of the step, where the decay vanishes in time),

    z = (I + γ H K)⁻¹ (r − (h/c) H J∇ϱ),      δ = −(h/c) (∇ϱ + J*z/N),

a linear system of size N·k instead of L·M·p. It is the linearised proximal (minimising movement)
step of COT². A row of the extrapolation table takes j such steps of length h/j, each with its own
kernel (one kernel for the whole table is unstable: it leaves directions outside the range of the
first Jacobian explicit), and column m removes the m-th power of h from the error (Aitken–Neville;
n_i steps in the i-th row):

    T_im = T_i,m−1 + (T_i,m−1 − T_i−1,m−1)/(n_i/n_i−m+1 − 1).

Rates η are in J* = η∘Jᵀ and in η∘∇ϱ, and c takes the largest of them for all coordinates.
Any approximation of the Hessian keeps the order (a W-method; the quartic penalty gives it nothing
here), so the last entry of a table of r rows has order r for any h, and the entry before it
estimates the error. Where hλ >> 1 a row of one step is far from its expansion in h and spoils what
it touches: tables of order 4 begin with two steps, 2, 3, 4, 5, which were measured to be 5 to 20
times as accurate there as 1, 2, 3, 4. All rows share the kernel at the start: 1, 2 needs 2 kernels,
2, 3, 4, 5 needs 11.
Source: Deuflhard 1985; Hairer, Wanner, Solving ODEs II, IV.9.
"""

from __future__ import annotations

import numpy as np

from mfpde import losses
from mfpde.flows import dual
from mfpde.flows.flow import DescentPoint, Flow
from mfpde.runs.step import Array, Step


def step(
    flow: Flow,
    point: DescentPoint,
    h: float,
    *,
    rows: tuple[int, ...] = (2, 3, 4, 5),
    rtol: float = 0.0,
    atol: float = 0.0,
) -> Step:
    """One step of order len(rows); the tolerances bound the error of iterative linear solves."""
    allowed = dual.allowed(flow, point, h, rtol, atol)
    solver = dual.Chosen(flow, point, allowed, **work(rows))
    try:
        return _extrapolated(flow, point, h, rows, solver)
    except dual.Unsolved:
        return Step(point, refused=True, solving=solver.seen)


def _extrapolated(
    flow: Flow, point: DescentPoint, h: float, rows: tuple[int, ...], solver: dual.Chosen
) -> Step:
    """The table, row by row."""
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
    end = flow.at(last[-1], point.s + h)
    return Step(end, last[-1] - last[-2], solving=solver.seen)


def work(rows: tuple[int, ...]) -> dict[str, int]:
    """Dual systems of a table, and points that they are taken at."""
    return {"solves": sum(rows), "kernels": 1 + sum(j - 1 for j in rows)}


def euler(flow: Flow, point: DescentPoint, h: float, solver: dual.Solver) -> Array:
    """The displacement δ of one linearly implicit Euler step of length h."""
    size, penalty = flow.problem.size, flow.penalty(point.s + h)
    c = 1.0 + h * flow.fastest * penalty.quadratic
    right = point.slope
    if penalty:
        slope = flow.operator.lifted(penalty.gradient(point.state))
        right = right - (h / c) * losses.apply(point.hessian, flow.push(point, slope))
    z = solver.solve(point, h / (size * c), right)
    delta = point.carried.velocity(flow.pull_outputs(point, z / size))
    return -float(h / c) * (delta + slope if penalty else delta)
