"""The entropic optimum on a grid: Gibbs states of a mean-field ResNet, cold started.

Theorem. A minimiser of (1/N) Σ ½(X_i(1) − y_i)² + ε ∫ KL(ρ_t | ν) dt is a Gibbs fixed point,
ρ_t ∝ ν exp(−V(t, ·)/ε), V the first variation of the data's term (Daudin, Delarue 2025). A damped
Picard iteration ρ <- (1 − ω) ρ + ω Gibbs(ρ) contracts near it if and only if λ < 2/ω − 1, λ the
largest eigenvalue of −(derivative of the Gibbs map), which grows like 1/ε.

Here. One input column and one target, standardised; f(x, a) = a0 tanh(a1 x + a2) on [−2.5, 2.5]³,
ν ∝ exp(−.05|a|⁴ − .5|a|²), 10³ cells, 20 rk4 steps, total variation 1e−5 at every depth. Picard
with the published damping, Anderson acceleration and Newton–Krylov, all from ν.

Prediction: the guarded methods converge at every ε, with J never rising, to states at which
V + ε log(ρ/ν) is constant; Picard does where λ < 2/ω − 1. On R's Old Faithful data (--data
faithful.csv --inputs eruptions --targets waiting) at ε = .5: J = .0983 (KL summed over all 21 nodes
with weight 1/20), data's term .0976, least squares .0943. There, published code takes 22 iterations
and 35 s at ε = .05, and does not converge from ν at ε = .01.
Takes about 20 seconds on one core, --quick about 10. The default data is scikit-learn's diabetes
set, body-mass index to progression.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from reporting import Claim, parser, say, table, verdict, write_csv

import mfpde
from mfpde import data, entropic
from mfpde.entropic.free_energy import FreeEnergy
from mfpde.measures import Grid

DAMPING = 0.3
METHODS = {
    "picard": {"method": "picard", "damping": DAMPING},
    "anderson": {"method": "anderson"},
    "newton": {"method": "newton"},
    "newton, continued": {"method": "newton", "continuation": True},
}
OLD_FAITHFUL = (272, 0.8116)  # size and squared correlation, by which the published data is known


@dataclass(frozen=True)
class Settings:
    """Sizes of the study; ``quick`` is what the tests run."""

    cells: int = 10
    fine: int = 20
    steps: int = 20
    levels: tuple[float, ...] = (0.5, 0.05, 0.01, 0.002)
    tol: float = 1e-5

    @classmethod
    def quick(cls) -> Settings:
        return cls(cells=8, fine=12, steps=10, levels=(0.5, 0.05, 0.01))


def standardised(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean 0 and standard deviation 1, of one input column and the target."""
    columns = np.stack([x[:, 0], np.asarray(y, float).reshape(len(y))])
    columns -= columns.mean(axis=1, keepdims=True)
    x, y = columns / columns.std(axis=1, keepdims=True)
    return x, y


def problem_at(x: np.ndarray, y: np.ndarray, eps: float) -> mfpde.Problem:
    """τ = ε and r = ε (.5|a|² + .05|a|⁴)."""
    decay = {"weight_decay": eps, "quartic_decay": 0.2 * eps, "temperature": eps}
    return mfpde.Problem(x[:, None], y, block=mfpde.SHL(dim=1, activation="tanh"), **decay)


def cold(problem: mfpde.Problem, cells: int, steps: int) -> mfpde.GridMeasure:
    """ν at every depth."""
    grid = Grid.of_box([[-2.5, 2.5]] * 3, cells)
    return entropic.prior(problem, mfpde.Depth(steps, "rk4"), grid)


def solve_all(x: np.ndarray, y: np.ndarray, settings: Settings) -> dict[tuple, tuple]:
    """(ε, method) -> (result, processor seconds), cold start, after a run that compiles."""
    found = {}
    for eps in settings.levels:
        problem = problem_at(x, y, eps)
        nu = cold(problem, settings.cells, settings.steps)
        for name, how in METHODS.items():
            if not found:
                mfpde.stationary(problem, nu, tol=0.5, **how)
            begin = time.process_time()
            result = mfpde.stationary(problem, nu, tol=settings.tol, raise_on_failure=False, **how)
            found[eps, name] = result, time.process_time() - begin
    return found


def stiffness(problem: mfpde.Problem, rho: mfpde.GridMeasure, products: int = 40) -> float:
    """λ, the largest eigenvalue of −(derivative of the Gibbs map) at ρ, by power iteration."""
    point = FreeEnergy(problem, rho).at_measure(rho)
    d = point.centred(np.random.default_rng(0).standard_normal(point.logs.shape))
    for _ in range(products):
        d /= np.sqrt(point.inner(d, d))
        image = point.centred(point.curvature(d) - d)
        value, d = point.inner(d, image), image
    return value


def threshold(problem: mfpde.Problem, rho: mfpde.GridMeasure, largest: float) -> list[float]:
    """Residuals of Picard from near ρ, with .9 and 1.1 times the largest damping of the theory."""
    nu = entropic.prior(problem, rho.depth, rho.grid)
    near = mfpde.GridMeasure(0.999 * rho.masses + 0.001 * nu.masses, rho.depth, rho.grid)
    how = {"method": "picard", "max_steps": 300, "raise_on_failure": False}
    dampings = 0.9 * largest, 1.1 * largest
    return [mfpde.stationary(problem, near, damping=d, **how).residual for d in dampings]


def constancy(problem: mfpde.Problem, rho: mfpde.GridMeasure, tol: float = 1e-12) -> float:
    """The largest variation of V + r + ε log ρ_t over the cells of a depth, ρ solved to ``tol``."""
    exact = mfpde.stationary(problem, rho, tol=tol).final
    total = mfpde.first_variation(problem, exact) + problem.temperature * np.log(exact.density)
    return float(np.ptp(total.reshape(exact.levels, -1), axis=1).max())


def write(out, x, y, found, fine, settings) -> None:
    """Histories, fitted curves and the density of (a0, a1) at three depths, for the figure."""
    rows = [
        (eps, list(METHODS).index(name), row.forward + row.adjoint, row.J, row.residual)
        for (eps, name), (result, _) in found.items()
        for row in result.history
        if row.factor == 1.0
    ]
    write_csv(out / "histories.csv", ("eps", "method", "passes", "J", "residual"), rows)
    write_csv(out / "data.csv", ("x", "y"), zip(x.tolist(), y.tolist(), strict=True))
    points = np.linspace(x.min() - 0.2, x.max() + 0.2, 121)
    curves = []
    for eps in settings.levels:
        rho = found[eps, "newton"][0].final
        values = mfpde.predict(problem_at(x, y, eps), rho, points[:, None])[:, 0]
        curves += [(eps, *pair) for pair in zip(points.tolist(), values.tolist(), strict=True)]
    write_csv(out / "curves.csv", ("eps", "x", "value"), curves)
    part = fine.final.marginal((0, 1))
    densities = [
        (float(part.depth.nodes[k]), *a.tolist(), float(value))
        for k in (0, part.levels // 2, part.levels - 1)
        for a, value in zip(part.grid.points.reshape(-1, 2), part.density[k].ravel(), strict=True)
    ]
    write_csv(out / "densities.csv", ("t", "a0", "a1", "density"), densities)


def published(x, y, found, settings) -> list[Claim]:
    """The published numbers, where the data is Old Faithful on the published grid."""
    least = 0.5 * (1.0 - np.mean(x * y) ** 2)
    if len(x) != OLD_FAITHFUL[0] or abs(np.mean(x * y) ** 2 - OLD_FAITHFUL[1]) > 1e-3:
        return []
    best = found[0.5, "newton"][0]
    objective = best.fit + 0.5 * best.kl[::2].sum() / settings.steps
    claims = [
        Claim(
            "Published numbers at ε = .5: J = .0983, data's term .0976, least squares .0943.",
            f"{objective:.5f}, {best.fit:.5f}, {least:.5f}.",
            np.allclose([objective, best.fit, least], [0.0983, 0.0976, 0.0943], atol=5e-5, rtol=0),
        )
    ]
    if settings.cells == 10:
        picard, newton = (found[0.05, name] for name in ("picard", "newton"))
        fastest = min(found[0.05, name][1] for name in ("anderson", "newton"))
        claims.append(
            Claim(
                "ε = .05 takes less than 35 s / 20 (35 s were published, on another machine).",
                f"Picard {picard[1]:.2f} s in {picard[0].iterations} iterations, Newton "
                f"{newton[1]:.2f} s, the faster of Newton and Anderson {fastest:.2f} s.",
                newton[1] < 35 / 20,
            )
        )
    return claims


def main(argv: list[str] | None = None) -> int:
    options = parser(__doc__, "entropic_grid")
    options.add_argument("--data", default="diabetes", help="bundled set, .npz or .csv file")
    options.add_argument("--inputs", nargs="+", help="input column of a .csv")
    options.add_argument("--targets", nargs="+", help="target column of a .csv")
    chosen = options.parse_args(argv)
    settings = Settings.quick() if chosen.quick else Settings()
    x, y = data.load(chosen.data, inputs=chosen.inputs, targets=chosen.targets)
    x, y = standardised(x[:, [2]] if chosen.data == "diabetes" else x, y)
    say(f"{len(x)} data, least squares {0.5 * (1 - np.mean(x * y) ** 2):.5f}\n")

    found = solve_all(x, y, settings)
    last = problem_at(x, y, settings.levels[-1])
    fine = mfpde.stationary(last, cold(last, settings.fine, settings.steps), tol=settings.tol)
    write(chosen.out, x, y, found, fine, settings)
    header = ("eps", "method", "ending", "iterations", "passes", "cpu_s", "J", "fit", "residual")
    rows = []
    for (eps, name), (r, seconds) in found.items():
        passes = r.history[-1].forward + r.history[-1].adjoint
        numbers = (passes, seconds, f"{r.J:.7f}", f"{r.fit:.7f}", r.residual)
        rows.append((eps, name, r.status.name, r.iterations, *numbers))
    table(header, rows)

    problems = {eps: problem_at(x, y, eps) for eps in settings.levels}
    best = {eps: found[eps, "newton"][0] for eps in settings.levels}
    lambdas = {eps: stiffness(problems[eps], best[eps].final) for eps in settings.levels}
    flat = {eps: constancy(problems[eps], best[eps].final) for eps in settings.levels}
    print()
    largest = {eps: 2 / (1 + lambdas[eps]) for eps in settings.levels}
    rows = [(eps, lambdas[eps], largest[eps], flat[eps]) for eps in settings.levels]
    table(("eps", "lambda", "largest damping", "variation of V + eps log(rho/nu)"), rows)

    say(f"\n{settings.fine}³ cells at eps = {settings.levels[-1]:g}: {fine}")
    below, above = threshold(problems[0.01], best[0.01].final, largest[0.01])
    guarded = [r for (_, name), (r, _) in found.items() if name != "picard"]
    rises = max(
        float(np.diff([row.J for row in r.history if row.factor == c]).max(initial=-1.0))
        for r in guarded
        for c in {row.factor for row in r.history}
    )
    apart = max(
        abs(found[eps, name][0].J - best[eps].J) / best[eps].J
        for eps in settings.levels
        for name in ("anderson", "newton, continued")
    )
    stable = {eps: lambdas[eps] < 2 / DAMPING - 1 for eps in settings.levels}
    return verdict(
        [
            Claim(
                "Anderson and Newton converge from ν at every ε, and J never rises.",
                f"{sum(r.success for r in guarded)} of {len(guarded)}; largest rise {rises:.1e}.",
                all(r.success for r in guarded) and rises <= 1e-13,
            ),
            Claim(
                "They find the same J.",
                f"relative difference at most {apart:.1e}.",
                apart < 1e-6,
            ),
            Claim(
                "The states are stationary: V + ε log(ρ_t/ν) is constant at every depth.",
                f"largest variation {max(flat.values()):.1e}.",
                max(flat.values()) < 1e-8,
            ),
            Claim(
                f"Picard with ω = {DAMPING:g} converges where λ < 2/ω − 1 = {2 / DAMPING - 1:.2f}, "
                "and not at ε = .01.",
                ", ".join(
                    f"ε = {eps:g}: λ = {lambdas[eps]:.2f}, residual "
                    f"{found[eps, 'picard'][0].residual:.1e}"
                    for eps in settings.levels
                )
                + ".",
                all(found[eps, "picard"][0].success == stable[eps] for eps in settings.levels)
                and not stable[0.01],
            ),
            Claim(
                "Near the solution at ε = .01 it does with ω = 1.8/(1 + λ), not with 2.2/(1 + λ).",
                f"2/(1 + λ) = {largest[0.01]:.4f}: residuals {below:.1e} and {above:.1e}.",
                below <= 1e-5 < 0.01 < above,
            ),
            *published(x, y, found, settings),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
