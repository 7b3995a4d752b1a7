"""What moves blocks in depth, where the loss of a network depends on their order only.

Theorems. In the joint flow of Lu et al. 2020 blocks move by −∂_t V, but the loss of n blocks of
equal mass is piecewise constant in their depths. (a) The derivative averaged over a depth window
converges to ∂_t V as n -> inf, window -> 0; (b) the loss falls by ∫|∇_(θ,t) V|² dρ, as for a
smooth loss; (c) the loss does not see a change of the depth axis, so that ∫ ∂_t V ρ(t, dθ) = 0:
blocks change places, their density in depth stays (Noether); (d) where ∂_t V vanishes although
blocks do not commute, as at every law with ∫ f dρ = 0, a disturbance of the depths of wave number
k grows like e^{kμs/β²}, μ the spectral radius of the commutator kernel, up to k ~ 1/window.

Here. (a)-(c) a law of linear blocks in R² whose paths are matrix exponentials, with non-uniform
depth marginal; i.i.d. and Sobol blocks, window n^(−1/3). (d) four types of u tanh(w x) with mean
zero at every depth.

Prediction: (a) order 2/3 or better (Sobol), 1/3 (i.i.d.); (b) ratio -> 1; (c) the marginal moves
less and less as n grows, while the blocks move; (d) the rates, to 10 %, for waves of 4 windows and
more, and none at 2 windows. Takes about 20 seconds on one core, --quick five.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from reporting import Claim, parser, say, table, verdict, write_csv
from scipy.linalg import expm
from scipy.special import ndtri

import mfpde
from mfpde import laws
from mfpde.measures import quadrature

Array = NDArray[np.float64]

# dX/dt = c(t) G X with c the density of the depths.
G = np.array([[0.3, -2.0], [2.0, -0.1]])


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    counts: tuple[int, ...] = (256, 512, 1024, 2048, 4096, 8192)
    run_counts: tuple[int, ...] = (256, 1024, 4096)
    layers: int = 256

    @classmethod
    def quick(cls) -> Settings:
        return cls(counts=(256, 1024, 4096), run_counts=(128, 512), layers=128)


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
    z = ndtri(v[:, 1:])
    u = z[:, :2]
    return np.concatenate([u, u @ G.T + 0.5 * z[:, 2:]], axis=1), np.clip(t, 0.0, 1.0)


def exact_gradient(problem: mfpde.Problem, theta: Array, t: Array) -> tuple[Array, Array]:
    """∇_θ V (n, 4) and ∂_t V (n,): X = e^{C(t) G} x and P = e^{(1 − C(t)) Gᵀ} P(1)."""
    terminal = (problem.x @ expm(G).T - problem.y) / problem.size
    c = density(t)[:, None, None]
    x = np.einsum("nab,ib->nia", exponentials(primitive(t)), problem.x)
    p = np.einsum("nba,ib->nia", exponentials(1.0 - primitive(t)), terminal)
    dx, dp = c * (x @ G.T), -c * (p @ G)
    u, v = theta[:, None, :2], theta[:, None, 2:]
    ux, vp = (u * x).sum(axis=2), (v * p).sum(axis=2)
    udx, vdp = (u * dx).sum(axis=2), (v * dp).sum(axis=2)
    by_theta = [(vp[:, :, None] * x).sum(axis=1), (ux[:, :, None] * p).sum(axis=1)]
    return np.concatenate(by_theta, axis=1), (vdp * ux + vp * udx).sum(axis=1)


def exponentials(scale: Array) -> Array:
    """e^{s G} for each s, (n, 2, 2)."""
    values, vectors = np.linalg.eig(G)
    factors = np.exp(scale[:, None] * values)
    out: Array = np.real(np.einsum("ab,nb,bc->nac", vectors, factors, np.linalg.inv(vectors)))
    return out


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


TYPES = np.array([[1.0, 0.5], [-1.0, 0.5], [1.0, 3.0], [-1.0, 3.0]])  # (u, w), of mean zero
BETA = 0.02  # depth moves fast, θ stands still


def scalar_problem() -> mfpde.Problem:
    x = np.linspace(-1.0, 1.0, 16)[:, None]
    return mfpde.Problem(x, x + 0.5 * np.sin(np.pi * x), block=mfpde.SHL(1, bias=False))


def commutators(problem: mfpde.Problem) -> Array:
    """C_ab/4 = (1/4N) Σ_i P_i (f_a′ f_b − f_b′ f_a)(x_i): X and P are constant in depth."""
    x, residual = problem.x, problem.x - problem.y
    value = problem.block.value(x, TYPES)[:, :, 0]
    slope = problem.block.pull_state(x, TYPES, np.ones_like(x))[:, :, 0]
    half = np.einsum("i,ia,ib->ab", residual[:, 0], slope, value) / problem.size
    out: Array = (half - half.T) / len(TYPES)
    return out


def growth(mode: int, window: float, layers: int) -> tuple[float, float]:
    """(d) Predicted and measured rate of a disturbance sin(π mode t) of the depths.

    A standing wave grows like cosh(rate s), whatever its direction in the plane of the two
    eigenvectors. It is followed over one and a half e-foldings: later, shorter waves that the ends
    and the finite number of blocks set off catch up. Layers of alternating order keep the
    undisturbed blocks nearly at rest.
    """
    problem, kinds = scalar_problem(), len(TYPES)
    values, vectors = np.linalg.eig(commutators(problem))
    vector = vectors[:, values.imag.argmax()]
    vector *= abs(vector[0]) / vector[0]  # LAPACK leaves the phase open
    rate, s_end = np.pi * mode * values.imag.max() / BETA**2, 1.5
    kind = np.tile(np.r_[0:kinds, kinds - 1 : -1 : -1], layers // 2)
    t = (np.arange(layers * kinds) + 0.5) / (layers * kinds)
    direction = vector[kind].real
    moved = np.clip(t + 1e-4 * np.sin(np.pi * mode * t) * direction, 0.0, 1.0)
    ends = [
        mfpde.solve(
            problem,
            mfpde.JointMeasure(TYPES[kind], depths, beta=BETA, window=window),
            s_end=s_end / rate,
            method="rk4",
            step=0.05 / rate,
            progress=False,
        ).final.t
        for depths in (t, moved)
    ]
    first, last = (
        (np.cos(np.pi * mode * other) - np.cos(np.pi * mode * still)) @ direction
        for still, other in ((t, moved), ends)
    )
    return rate, rate * float(np.arccosh(max(last / first, 1.0))) / s_end


def main(argv: list[str] | None = None) -> int:
    chosen = parser(__doc__, "joint_velocity").parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()

    counts = np.array(settings.counts)
    errors = {
        rule: np.array([velocity_error(n, rule) for n in settings.counts])
        for rule in ("sobol", "iid")
    }
    rows = list(zip(settings.counts, errors["sobol"], errors["iid"], strict=True))
    table(("n", "sobol", "iid"), rows)
    write_csv(chosen.out / "error.csv", ("n", "sobol", "iid"), rows)
    orders = {rule: -np.polyfit(np.log(counts), np.log(e), 1)[0] for rule, e in errors.items()}

    say("")
    runs = [(n, *short_run(n)) for n in settings.run_counts]
    header = ("n", "fall/dissipation", "part in depth", "blocks moved", "marginal moved")
    table(header, runs)
    write_csv(chosen.out / "runs.csv", header, runs)
    ratio, part, moved, marginal = np.array(runs)[:, 1:].T

    say("")
    grid = [(1 / cells, m) for cells in (8, 16, 32) for m in (cells // 4, cells // 2, cells)]
    rates = [(w, m, *growth(m, w, settings.layers)) for w, m in grid]
    table(("window", "mode", "predicted", "measured"), rates)
    write_csv(chosen.out / "growth.csv", ("window", "mode", "predicted", "measured"), rates)
    long = np.array([m * w < 0.6 for w, m in grid])
    share = np.array([measured / predicted for _, _, predicted, measured in rates])
    return verdict(
        [
            Claim(
                "The averaged derivative converges to ∂_t V.",
                f"order {orders['sobol']:.2f} to an error of {errors['sobol'][-1]:.1e} (Sobol), "
                f"{orders['iid']:.2f} to {errors['iid'][-1]:.1e} (i.i.d.).",
                bool(orders["sobol"] > 2 / 3 and orders["iid"] > 0.25),
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
            Claim(
                "Disturbances longer than the window grow at the rate kμ/β².",
                f"measured over predicted {share[long].min():.2f} to {share[long].max():.2f}; "
                f"at half a wave per window {np.abs(share[~long]).max():.2f}.",
                bool(np.all(np.abs(share[long] - 1) < 0.1) and np.all(np.abs(share[~long]) < 0.1)),
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
