"""What moves blocks in depth, where the loss of a network depends on their order only.

Theorems. In the joint flow of Lu et al. 2020 blocks move by −∂_t V, but the loss of n blocks of
equal mass is piecewise constant in their depths. (a) The derivative averaged over a depth window
converges to ∂_t V as n -> inf, window -> 0; (b) the loss falls by ∫|∇_(θ,t) V|² dρ; (c) it does not
see a change of the depth axis, so that ∫ ∂_t V ρ(t, dθ) = 0: blocks change places, their density in
depth stays (Noether).

Here. Linear blocks in R² whose paths are matrix exponentials, dX/dt = c(t) G X with c the density
of the depths; i.i.d. and Sobol blocks, window n^(−1/3). Prediction: (a) order 2/3 or better
(Sobol), 1/3 (i.i.d.); (b) ratio -> 1; (c) the marginal moves less and less as n grows, while the
blocks move. Takes about 10 seconds on one core, --quick three.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.special import ndtri
from study import Claim, Sizes

import mfpde
from mfpde import laws
from mfpde.measures import quadrature

Array = NDArray[np.float64]
FULL = {"counts": (256, 512, 1024, 2048, 4096, 8192), "run_counts": (256, 1024, 4096)}
QUICK = {"counts": (256, 1024, 4096), "run_counts": (128, 512)}
G = np.array([[0.3, -2.0], [2.0, -0.1]])


def primitive(t: Array) -> Array:
    return t + 0.5 * np.sin(np.pi * t) / np.pi


def density(t: Array) -> Array:
    return 1.0 + 0.5 * np.cos(np.pi * t)


def linear_problem() -> mfpde.Problem:
    x, y = np.random.default_rng(0).standard_normal((2, 8, 2))
    return mfpde.Problem(x, y, block=mfpde.Linear(2))


def sample(count: int, rule: str = "sobol", seed: int = 0) -> tuple[Array, Array]:
    """θ = (u, v) (n, 4) with u ~ N(0, 1), v = G u + noise, and depths (n,) of density c."""
    cube = laws.Uniform(0.0, 1.0, dim=5)
    v, _ = quadrature.points(cube, count, rule, np.random.SeedSequence(seed))
    t = v[:, 0].copy()
    for _ in range(30):  # Newton: the inverse of the distribution function
        t -= (primitive(t) - v[:, 0]) / density(t)
    u, noise = np.split(ndtri(v[:, 1:]), 2, axis=1)
    return np.concatenate([u, u @ G.T + 0.5 * noise], axis=1), np.clip(t, 0.0, 1.0)


def exact_gradient(problem: mfpde.Problem, theta: Array, t: Array) -> tuple[Array, Array]:
    """∇_θ V (n, 4) and ∂_t V (n,): X = e^{C(t) G} x and P = e^{(1 − C(t)) Gᵀ} P(1)."""
    terminal = (problem.x @ expm(G).T - problem.y) / problem.size
    x = problem.x @ expm(primitive(t)[:, None, None] * G).mT
    p = terminal @ expm((1.0 - primitive(t))[:, None, None] * G)
    c, u, v = density(t)[:, None, None], theta[:, None, :2], theta[:, None, 2:]
    (ux, udx), (vp, vdp) = (
        [(part * path).sum(axis=2) for path in paths]
        for part, paths in ((u, (x, c * (x @ G.T))), (v, (p, -c * (p @ G))))
    )
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
    final = run.final.t
    marginal = np.abs(np.sort(final) - np.sort(rho.t)).mean()
    return float(ratio), float(part), float(np.abs(final - rho.t).mean()), float(marginal)


def measure(size: Sizes, out: Path) -> list[Claim]:
    errors = [[velocity_error(n, rule) for rule in ("sobol", "iid")] for n in size.counts]
    rows = [(n, *pair) for n, pair in zip(size.counts, errors, strict=True)]
    study.report(out / "error.csv", ("n", "sobol", "iid"), rows)
    sobol, iid = -np.polyfit(np.log(size.counts), np.log(errors), 1)[0]
    runs = [(n, *short_run(n)) for n in size.run_counts]
    header = ("n", "fall/dissipation", "part in depth", "blocks moved", "marginal moved")
    study.report(out / "runs.csv", header, runs)
    ratio, part, moved, marginal = np.array(runs)[:, 1:].T
    return [
        Claim(
            "The averaged derivative converges to ∂_t V.",
            f"order {sobol:.2f} to an error of {errors[-1][0]:.1e} (Sobol), {iid:.2f} to "
            f"{errors[-1][1]:.1e} (i.i.d.).",
            bool(sobol > 2 / 3 and iid > 0.25),
        ),
        Claim(
            "dE/ds = −∫|∇_(θ,t) V|² dρ, though E is constant between exchanges.",
            f"fall over dissipation {ratio[-1]:.4f} at n = {runs[-1][0]} ({ratio[0]:.3f} at "
            f"{runs[0][0]}), {100 * part[-1]:.0f} % of it in depth.",
            bool(abs(ratio[-1] - 1) < 0.02 and abs(ratio[-1] - 1) < abs(ratio[0] - 1)),
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
