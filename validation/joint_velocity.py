"""What moves blocks in depth, where the loss of a network depends on their order only.

Theorems. In the joint flow of Lu et al. 2020 blocks move by −∂_t V, but the loss of n blocks of
equal mass is piecewise constant in their depths. (a) The derivative averaged over a depth window
converges to ∂_t V as n -> inf, window -> 0; (b) the loss falls by ∫|∇_(θ,t) V|² dρ; (c) it does not
see a change of the depth axis, so that ∫ ∂_t V ρ(t, dθ) = 0: blocks change places, not density.

Here. Linear blocks in R² whose paths are matrix exponentials, dX/dt = c(t) G X with c the density
of the depths; i.i.d. and Sobol blocks, window n^(−1/3). Prediction: (a) order 2/3 or better
(Sobol), 1/3 (i.i.d.); (b) ratio -> 1; (c) the marginal moves less as n grows, while the blocks
move. Takes about 10 seconds on one core, --quick three.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from scipy.linalg import expm
from scipy.special import ndtri
from study import Claim, Sizes

import mfpde
from mfpde import laws
from mfpde.measures import quadrature

Array = np.ndarray
FULL = {"counts": (256, 512, 1024, 2048, 4096, 8192), "run_counts": (256, 1024, 4096)}
QUICK = {"counts": (256, 1024, 4096), "run_counts": (128, 512)}
G = np.array([[0.3, -2.0], [2.0, -0.1]])


def density(t: Array) -> tuple[Array, Array]:
    """c and its primitive C."""
    return 1.0 + 0.5 * np.cos(np.pi * t), t + 0.5 * np.sin(np.pi * t) / np.pi


def linear_problem() -> mfpde.Problem:
    x, y = np.random.default_rng(0).standard_normal((2, 8, 2))
    return mfpde.Problem(x, y, block=mfpde.Linear(2))


def sample(count: int, rule: str = "sobol", seed: int = 0) -> tuple[Array, Array]:
    """θ = (u, v) (n, 4) with u ~ N(0, 1), v = G u + noise, and depths (n,) of density c."""
    v, _ = quadrature.points(laws.Uniform(0, 1, dim=5), count, rule, np.random.SeedSequence(seed))
    t = v[:, 0].copy()
    for _ in range(30):  # Newton: the inverse of the distribution function
        t -= (density(t)[1] - v[:, 0]) / density(t)[0]
    u, noise = np.split(ndtri(v[:, 1:]), 2, axis=1)
    return np.concatenate([u, u @ G.T + 0.5 * noise], axis=1), np.clip(t, 0.0, 1.0)


def exact_gradient(problem: mfpde.Problem, theta: Array, t: Array) -> tuple[Array, Array]:
    """∇_θ V (n, 4) and ∂_t V (n,): X = e^{C(t) G} x and P = e^{(1 − C(t)) Gᵀ} P(1)."""
    terminal = (problem.x @ expm(G).T - problem.y) / problem.size
    c, primitive = (each[:, None, None] for each in density(t))
    x, p = problem.x @ expm(primitive * G).mT, terminal @ expm((1.0 - primitive) * G)
    u, v = theta[:, None, :2], theta[:, None, 2:]
    ux, udx = ((u * path).sum(axis=2) for path in (x, c * (x @ G.T)))
    vp, vdp = ((v * path).sum(axis=2) for path in (p, -c * (p @ G)))
    by_theta = [(vp[:, :, None] * x).sum(axis=1), (ux[:, :, None] * p).sum(axis=1)]
    return np.concatenate(by_theta, axis=1), (vdp * ux + vp * udx).sum(axis=1)


def velocity_error(count: int, rule: str = "sobol", window: float | None = None) -> float:
    """(a) Relative L²(ρ) error of the averaged ∂_t V; the mean square over two samples."""
    problem, squares = linear_problem(), []
    for seed in (0, 1):
        theta, t = sample(count, rule, seed)
        found = mfpde.gradient(problem, mfpde.JointMeasure(theta, t, window=window))[:, -1]
        _, exact = exact_gradient(problem, theta, t)
        squares.append(np.mean((found - exact) ** 2) / np.mean(exact**2))
    return float(np.sqrt(np.mean(squares)))


def short_run(count: int) -> tuple[float, float, float, float]:
    """(b, c) Fall of E over ∫|grad|² ds, its part in depth, how far blocks and marginal move."""
    rho = mfpde.JointMeasure(*sample(count))
    run = mfpde.solve(linear_problem(), rho, s_end=0.004, method="rk4", step=2e-4, progress=False)
    ratio = (run.loss[0] - run.loss[-1]) / np.trapezoid(run.gradient_norm2, run.s)
    part = np.mean(mfpde.gradient(linear_problem(), rho)[:, -1] ** 2) / run.gradient_norm2[0]
    marginal = np.abs(np.sort(run.final.t) - np.sort(rho.t)).mean()
    return float(ratio), float(part), float(np.abs(run.final.t - rho.t).mean()), float(marginal)


def measure(size: Sizes, out: Path) -> list[Claim]:
    rows = [(n, *(velocity_error(n, rule) for rule in ("sobol", "iid"))) for n in size.counts]
    study.report(out / "error.csv", ("n", "sobol", "iid"), rows)
    errors = np.array(rows)[:, 1:]
    sobol, iid = -np.polyfit(np.log(size.counts), np.log(errors), 1)[0]
    runs = [(n, *short_run(n)) for n in size.run_counts]
    header = ("n", "fall/dissipation", "part in depth", "blocks moved", "marginal moved")
    study.report(out / "runs.csv", header, runs)
    ratio, part, moved, marginal = np.array(runs)[:, 1:].T
    return [
        Claim(
            "The averaged derivative converges to ∂_t V.",
            f"order {sobol:.2f} to {errors[-1, 0]:.1e} (Sobol), {iid:.2f} to {errors[-1, 1]:.1e}.",
            bool(sobol > 2 / 3 and iid > 0.25),
        ),
        Claim(
            "dE/ds = −∫|∇_(θ,t) V|² dρ, though E is constant between exchanges.",
            f"fall over dissipation {ratio[0]:.3f} to {ratio[-1]:.4f}, {part[-1]:.0%} in depth.",
            bool(abs(ratio[-1] - 1) < min(0.02, abs(ratio[0] - 1))),
        ),
        Claim(
            "The depth marginal is conserved.",
            f"blocks move by {moved[-1]:.3f} in the mean, the marginal by {marginal[-1]:.1e} "
            f"(W₁; {marginal[0]:.1e} at n = {runs[0][0]}).",
            bool(marginal[-1] < min(0.2 * moved[-1], 0.5 * marginal[0])),
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
