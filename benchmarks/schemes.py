"""Schemes for late training beside each other: largest error of E along a run, against work.

Contenders, all under the same controller (local error in θ against rtol |θ|, "auto" and diffrax
under their own): extrapolated linearly implicit Euler by rows; a Rosenbrock–W method of order 3
with the Gauss–Newton matrix of the step's start, ROS34PW2 (Rang, Angermann 2005); SDIRK of order 3
(Alexander 1977; the embedded weights are those of order 2 of its first stages) and 4 (Hairer,
Wanner II, IV.6), Newton iterations on the true residual, the Gauss–Newton matrix in their linear
solves; RKC of order 2 (Sommeijer, Shampine, Verwer 1998); rk45 and "auto"; Tsit5 of diffrax.

Work is 5.2 kernels + gradients + tangents, counts that no machine changes; diffrax's is six
gradients for each step tried. Prints the tables of the README. Two minutes, ``--full`` ten.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import harness
import numpy as np
from late_problems import Case, sine_iid, two_classes, two_outputs
from scipy import linalg
from scipy.interpolate import CubicHermiteSpline

import mfpde
from mfpde.flows import control as steps
from mfpde.flows import stability
from mfpde.flows.particle_flow import ParticleFlow
from mfpde.flows.schemes import implicit, rosenbrock
from mfpde.runs.control import Control
from mfpde.runs.step import Scheme, Step

KERNEL = 5.2  # gradients that a kernel with its factorisation is worth on these problems
TOLERANCES = (1e-3, 1e-4, 1e-5)
MOST = 60_000  # gradients after which a contender has lost


@dataclass(frozen=True)
class Stretch:
    """A part [start, end] of a problem's run."""

    name: str
    problem: mfpde.Problem
    rho0: mfpde.ParticleMeasure
    start: float
    end: float


def stretch(name: str, make: Callable[[], Case], start: float, end: float) -> Stretch:
    case = make()
    return Stretch(name, case.problem, case.rho0, start, end)


def stretches() -> list[Stretch]:
    return [
        stretch("a plateau and its exit: sin 2πx, s = 0 to 130", sine_iid, 0.0, 130.0),
        stretch("stiff: sin 2πx, s = 150 to 600", sine_iid, 150.0, 600.0),
        stretch("mildly stiff: two outputs, s = 0 to 600", two_outputs, 0.0, 600.0),
        stretch("cross-entropy: sin 3πx, s = 0 to 400", two_classes, 0.0, 400.0),
    ]


# -- the Gauss–Newton solve in θ ----------------------------------------------------------------


def newton_matrix(flow, point, scale):
    """r ↦ (I + scale A)⁻¹ r, A = J*HJ/N at the point, by Woodbury: one kernel, factorised once."""
    size, shape = flow.problem.size, point.outputs.shape
    hessian = point.hessian
    blocks = np.eye(shape[1])[None].repeat(size, 0) if hessian is None else hessian
    left = linalg.block_diag(*blocks) * (scale / size)
    factor = linalg.lu_factor(np.eye(len(left)) + left @ point.kernel)

    def solve(r):
        z = linalg.lu_solve(factor, left @ flow.push(point, r).ravel())
        return r - flow.pull_outputs(point, z.reshape(shape))

    return solve


def total(weights, slopes):
    return sum((w * k for w, k in zip(weights, slopes, strict=True)), 0.0)


# -- SDIRK: γ, A below the diagonal (its last row are the weights), embedded b -------------------

G = 0.43586652150845967
SDIRK3 = (
    G,
    [[], [(1 - G) / 2], [-1.5 * G**2 + 4 * G - 0.25, 1.5 * G**2 - 5 * G + 1.25]],
    [1 - (1 - 2 * G) / (1 - G), (1 - 2 * G) / (1 - G), 0.0],
)
SDIRK4 = (
    0.25,
    [
        [],
        [1 / 2],
        [17 / 50, -1 / 25],
        [371 / 1360, -137 / 2720, 15 / 544],
        [25 / 24, -49 / 48, 125 / 16, -85 / 12],
    ],
    [59 / 48, -17 / 96, 225 / 32, -85 / 12, 0.0],
)


def dirk(flow, point, h, *, method, enough):
    """Simplified Newton: a kernel at the step's start, and where it contracts by less than half."""
    gamma, a, embedded = method
    solve, k, guess = newton_matrix(flow, point, h * gamma), [], -point.gradient
    for row in a:
        base, here, last = point.state + h * total(row, k), point, np.inf
        slope = k[-1] if k else guess
        for _ in range(12):
            here = flow.at(base + h * gamma * slope, point.s)
            if not here.finite:
                return Step(here, np.full_like(point.state, np.nan))
            change = solve(-here.gradient - slope)
            slope, size = slope + change, h * flow.norm(change)
            if size <= enough:
                break
            if size > 0.5 * last:
                solve = newton_matrix(flow, here, h * gamma)
            last = size
        else:
            return Step(here, np.full_like(point.state, np.nan))
        k.append(slope)
    weights = [*a[-1], gamma]
    end = flow.at(point.state + h * total(weights, k), point.s + h)
    return Step(end, solve(h * total(np.subtract(weights, embedded), k)))


# -- RKC ------------------------------------------------------------------------------------------


class Chebyshev:
    """Order 2, as many stages as λ_max asks for, which a power iteration before each step finds."""

    def __init__(self, flow):
        self.vector = stability.start_vector(flow)

    def step(self, flow, point, h):
        rate, self.vector = stability.largest_eigenvalue(flow, point, self.vector, 1)
        count = max(2, int(np.ceil(np.sqrt(1.0 + 1.54 * 1.15 * h * rate))))
        return chebyshev(flow, point, h, count)


def chebyshev(flow, point, h, count):
    w0 = 1.0 + 2.0 / 13.0 / count**2
    t = np.polynomial.chebyshev.Chebyshev.basis
    value, first, second = (
        np.array([t(j).deriv(m)(w0) if m else t(j)(w0) for j in range(count + 1)]) for m in range(3)
    )
    b = np.empty(count + 1)
    b[2:] = second[2:] / first[2:] ** 2
    b[:2] = b[2]
    w1, a = first[count] / second[count], 1.0 - b * value
    slope = -point.gradient
    before, here = point.state, point.state + b[1] * w1 * h * slope
    for j in range(2, count + 1):
        mu, nu = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2]
        fast = 2 * b[j] * w1 / b[j - 1]
        inner = flow.at(here, point.s)
        if not inner.finite:
            return Step(inner, np.full_like(point.state, np.nan))
        moved = h * fast * (-inner.gradient - a[j - 1] * slope)
        before, here = here, (1 - mu - nu) * point.state + mu * here + nu * before + moved
    end = flow.at(here, point.s + h)
    error = 0.8 * (point.state - end.state) + 0.4 * h * (slope - end.gradient)
    return Step(end, error)


# -- runs -----------------------------------------------------------------------------------------


def contenders(flow, rtol):
    rows = ((1, 2, 3), (1, 2, 3, 4), (2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 6))
    found = {
        f"rows {','.join(map(str, one))}": (partial(implicit.step, rows=one, rtol=rtol), len(one))
        for one in rows
    }
    found["ROS34PW2"] = (partial(rosenbrock.step, rtol=rtol), 3)
    enough = 0.02 * rtol * flow.norm(flow.rho.state)
    found["SDIRK3"] = (partial(dirk, method=SDIRK3, enough=enough), 3)
    found["SDIRK4"] = (partial(dirk, method=SDIRK4, enough=enough), 4)
    found["RKC"] = (Chebyshev(flow).step, 3)
    return {name: Scheme(name, p, step, error_order=p) for name, (step, p) in found.items()}


def walk(flow, scheme, case, state, rtol):
    """s and E along a run of a contender, or None once it has cost too much."""
    point, span = flow.at(state), case.end - case.start
    control = Control(0.0, state, 0.05 / max(flow.norm(point.gradient), 1e-3))
    seen = [(0.0, point.loss)]
    while control.s < span:
        if flow.clock.counts["gradients"] > MOST or control.h < 1e-9:
            return None
        wanted = control.h
        h = min(wanted, span - control.s)
        step = scheme.step(flow, point, h)
        error = (
            flow.norm(step.error) / (rtol * flow.norm(point.state)) if step.point.finite else 1e9
        )
        error = error if np.isfinite(error) else 1e9
        rose = error <= 1.0 and step.point.energy > point.energy * (1 + 1e-12)
        accepted, control = steps.judged(control, scheme, h, error, rose, wanted)
        flow.solving = step.solving or flow.solving
        if accepted:
            point = step.point
            control = replace(control, s=control.s + h)
            seen.append((control.s, point.loss))
    return np.array(seen).T


def worth(counts):
    return KERNEL * counts["kernels"] + counts["gradients"] + counts["tangents"]


def measured(case, full):
    """Rows (name, one cell "error (work)" for each tolerance)."""
    how = {
        "method": "rk45",
        "rtol": 1e-9,
        "atol": 1e-13,
        "save": [case.start] if case.start else None,
    }
    exact = mfpde.solve(case.problem, case.rho0, s_end=case.end, **how)
    slope = -exact.gradient_norm2 / exact.loss
    curve = CubicHermiteSpline(exact.s, np.log(exact.loss), slope)
    state = exact.at(case.start).state
    names = list(contenders(ParticleFlow(case.problem, case.rho0), 1.0))
    table = {name: [] for name in (*names, "rk45", "auto")}
    for rtol in TOLERANCES if full else TOLERANCES[:2]:
        for name in table:
            flow = ParticleFlow(case.problem, case.rho0.with_state(state))
            if name in names:
                seen = walk(flow, contenders(flow, rtol)[name], case, state, rtol)
                work = worth(flow.clock.counts)
            else:
                how = {"s_end": case.end - case.start, "method": name, "rtol": rtol}
                run = mfpde.solve(case.problem, case.rho0.with_state(state), **how)
                seen, work = (run.s, run.loss), worth({"kernels": 0, "tangents": 0} | run.stats)
            table[name].append(cell(seen, work, curve, case.start))
            print(f"{case.name}; {name}, rtol {rtol:g}: {table[name][-1]}", file=sys.stderr)
    return table


def cell(seen, work, curve, start):
    if seen is None:
        return "–"
    error = np.abs(seen[1] / np.exp(curve(seen[0] + start)) - 1).max()
    return f"{error:.1e} ({work:.0f})"


def diffrax_cells(case, full):
    """Tsit5 under the PI controller that diffrax advises for mildly stiff problems."""
    import diffrax
    import implicit as peers
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    scale = case.rho0.levels * case.rho0.count
    slope = jax.grad(partial(peers.network_loss, jnp, case.problem))
    term = diffrax.ODETerm(lambda t, theta, args: -scale * slope(theta))
    exact = mfpde.solve(case.problem, case.rho0, s_end=case.end, method="rk45", rtol=1e-9)
    curve = CubicHermiteSpline(exact.s, np.log(exact.loss), -exact.gradient_norm2 / exact.loss)
    found = []
    for rtol in TOLERANCES if full else TOLERANCES[:2]:
        control = diffrax.PIDController(rtol=rtol, atol=1e-8, pcoeff=0.4, icoeff=0.3)
        end = diffrax.diffeqsolve(
            term, diffrax.Tsit5(), 0.0, case.end, None, jnp.asarray(case.rho0.theta),
            stepsize_controller=control, saveat=diffrax.SaveAt(steps=True), max_steps=4096,
        )  # fmt: skip
        s = np.asarray(end.ts)[: int(end.stats["num_accepted_steps"])]
        loss = jax.vmap(partial(peers.network_loss, jnp, case.problem))(end.ys[: len(s)])
        seen = s, np.asarray(loss)
        found.append(cell(seen, 6 * int(end.stats["num_steps"]), curve, 0.0))
    return found


def main() -> None:
    given = harness.options(__doc__, 1)
    heads = [f"{rtol:g}" for rtol in (TOLERANCES if given.full else TOLERANCES[:2])]
    with harness.set_threads(given.threads):
        for k, case in enumerate(stretches()):
            table = measured(case, given.full)
            if k == 0:
                try:
                    table["diffrax Tsit5"] = diffrax_cells(case, given.full)
                except ImportError:
                    print("diffrax is not installed: its solver is left out", file=sys.stderr)
            print(f"\n| {case.name} | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
            for name, cells in table.items():
                print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
