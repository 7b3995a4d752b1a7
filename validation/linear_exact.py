"""Linear residual blocks against their exact flow, conserved spectra and convergence bounds.

Theorems (Zhang, Peyre 2026). The flow of f(x, (u, v)) = v<u, x> closes on second moments;
tr((J Sigma_t)^k) is conserved at each depth; the excess loss stays below D0 exp(-2 k g e^{-2B} s)
in infinite depth, with e^{-2B} replaced by (1 - B/L)^{2(L-1)} at depth L.

Here. (a) d = 1, target 2, alpha = 0.7: Euler networks of L layers against the scalar solution;
prediction: output error of order 1/L. (b) d = 2, white start: particles solved by the package
against the closure (prediction: agreement to the tolerance), the drift of the spectra (none), and
the loss below both bounds. Takes 20 seconds, --quick 10.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import theory

ALPHA, TARGET, S_SCALAR = 0.7, 2.0, 0.3


def white(dim: int, sigma: float, depth: mfpde.Depth) -> mfpde.ParticleMeasure:
    """Corners of a cube: second moment sigma^2 Id exactly."""
    corners = sigma * np.array(np.meshgrid(*[[-1.0, 1.0]] * (2 * dim))).reshape(2 * dim, -1).T
    return mfpde.ParticleMeasure(np.repeat(corners[None], len(depth.nodes), axis=0), depth)


def scalar_errors(layers: list[int]) -> list[tuple[int, float, float]]:
    """(L, error of the exact network of L layers, of the solved particles of L layers)."""
    problem = mfpde.Problem([[1.0]], [[TARGET]], block=mfpde.Linear(1))
    limit = np.exp(theory.linear_scalar(ALPHA, lambda z: z - TARGET, [S_SCALAR]))[0]
    rows = []
    for steps in layers:
        exponent = theory.linear_scalar(ALPHA, lambda z: z - TARGET, [S_SCALAR], steps=steps)
        network = theory.linear_multiplier(exponent, steps)[0]
        rho = white(1, np.sqrt(ALPHA), mfpde.Depth(steps, "euler"))
        sol = mfpde.solve(problem, rho, s_end=S_SCALAR, method="rk45", rtol=1e-10, atol=1e-12)
        solved = mfpde.predict(problem, sol.final)[0, 0]
        rows.append((steps, float(network - limit), float(solved - network)))
    return rows


def matrix_flow(steps: int, pieces: int) -> dict[str, np.ndarray]:
    """Series of (b): s, loss of particles and closure, both bounds, drift of the spectra."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 2))
    y = x @ np.array([[0.3, -0.4], [0.5, 1.2]]) + 0.1 * rng.standard_normal((8, 2))
    problem = mfpde.Problem(x, y, block=mfpde.Linear(2))
    depth, s = mfpde.Depth(steps, "euler"), np.linspace(0.0, 3.0, pieces + 1)
    rho = white(2, 1.0, depth)
    flow = theory.linear_closure(problem, rho.second_moment(), depth, s)
    sol = mfpde.solve(problem, rho, s_end=s[-1], method="rk45", rtol=1e-8, save=pieces)
    states = [sol.at(time) for time in s]
    spectra = theory.conserved_spectra(np.array([state.second_moment() for state in states]))
    least = theory.gradient_domination(problem)[1]
    return {
        "s": s,
        "particles": np.array([mfpde.loss(problem, state) for state in states]) - least,
        "closure": flow.loss - least,
        "bound_infinite": theory.linear_bound(problem, flow) - least,
        "bound_layers": theory.linear_bound(problem, flow, steps=steps) - least,
        "drift": np.abs(spectra - spectra[0]).max(axis=(1, 2)) / np.abs(spectra[0]).max(),
    }


def measure(size: Sizes, out: Path) -> list[Claim]:
    scalar = scalar_errors([4, 8, 16, 32] if size.quick else [4, 8, 16, 32, 64, 128, 256])
    series = matrix_flow(8 if size.quick else 16, 15 if size.quick else 60)
    study.write_csv(out / "scalar.csv", ("layers", "error", "solver"), scalar)
    study.write_csv(out / "matrix.csv", list(series), zip(*series.values(), strict=True))
    study.table(("L", "network - limit", "particles - exact network"), scalar)
    layers, error = np.array(scalar)[-4:, 0], np.abs(np.array(scalar)[-4:, 1])
    order = -np.polyfit(np.log(layers), np.log(error), 1)[0]
    solver = max(abs(row[2]) for row in scalar)
    gap = np.abs(series["particles"] - series["closure"]).max()
    above = max(
        np.max(series["closure"] / series[name]) for name in ("bound_infinite", "bound_layers")
    )
    return [
        Claim("Networks approach the limit like 1/L.", f"order {order:.3f}", abs(order - 1) < 0.1),
        Claim("Solved particles follow the exact network.", f"{solver:.1e}", solver < 1e-7),
        Claim("Particles follow the closure of second moments.", f"{gap:.1e}", gap < 1e-6),
        Claim(
            "The spectra of J Sigma are conserved.",
            f"relative drift {series['drift'].max():.1e}",
            bool(series["drift"].max() < 1e-5),
        ),
        Claim(
            "The excess loss stays below both bounds.",
            f"largest loss/bound {above:.6f}",
            above <= 1 + 1e-9,
        ),
    ]


main = study.script(__doc__, measure)

if __name__ == "__main__":
    sys.exit(main())
