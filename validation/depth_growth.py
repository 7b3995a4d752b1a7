"""How fast a law may come to vary with depth along the flow, and trained weights against depth.

Theorem (Barboni, Peyre, Vialard 2024, regularity in depth is preserved). The particle of one index
moves with depth at a rate D = d theta/dt that obeys dD/ds = −(D²V) D − d/dt grad V, so that
|D|' <= Lambda |D| + c, Lambda the largest eigenvalue of −D²V over the particles and c the size of
d/dt grad V: what is Lipschitz in depth stays so on bounded training times. Second figure of Marion,
Wu, Sander, Biau 2024: weights that start alike at all depths end smooth in depth, others do not.

Here. x + .3 sin(pi x), hidden states in R, rk4 in depth, starts of depth_regularity.py: "constant",
one law at all depths, and "turning", whose mean moves with depth. |D| along the flow, root mean
square over particles and largest over depth, against the solution of the inequality; it bounds the
quotient W2(rho_t, rho_t')/|t − t'|. Then w of eight particles against depth at the end, from one
draw for all depths and from fresh draws at each.

Prediction: |D| stays below the bound, and the quotient below |D|; neighbouring weights differ by a
small share of their spread, or by sqrt(2) of it. Takes 30 seconds on one core, --quick ten.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws, transport
from mfpde.passes import carry

FULL = {"particles": 128, "s_end": 20.0, "steps": 8}
QUICK = {"particles": 32, "s_end": 5.0, "steps": 4}
IMPLICIT = {"method": "implicit", "rtol": 1e-4}


def start(name: str, size: Sizes, coupling: str = "tied") -> mfpde.ParticleMeasure:
    depth = mfpde.Depth(size.steps, "rk4")
    how = {"count": size.particles, "coupling": coupling}
    rho = mfpde.ParticleMeasure.from_law(laws.Gaussian(std=[0.5, 1.5, 1.0]), depth, **how)
    turned = 0.5 * depth.nodes[:, None, None] if name == "turning" else 0.0
    return mfpde.ParticleMeasure(rho.theta + turned, depth)


def quotient(rho: mfpde.ParticleMeasure) -> float:
    """The largest W2 of neighbouring depths over their distance."""
    gap, change = transport.depth_regularity(rho)
    return float(np.max(change / gap))


def speeds(problem: mfpde.Problem, rho: mfpde.ParticleMeasure) -> tuple[float, float, float]:
    """The largest |D|, Lambda and c of a measure with tied indices."""
    field, gap, h = carry(problem, rho), np.diff(rho.depth.nodes), 1e-4
    theta, axes = rho.theta, h * np.eye(rho.theta.shape[2])
    turn = np.sqrt(np.square(np.diff(theta, axis=0)).sum(axis=2).mean(axis=1)) / gap
    bend, stiff = [], []
    for k in range(len(gap)):
        slopes = [field.potential_slope(k + i, theta[k]) for i in (0, 1)]
        bend.append(np.sqrt(np.square(slopes[1] - slopes[0]).sum(axis=1).mean()) / gap[k])
        sides = [[field.potential_slope(k, theta[k] + e) for e in (d, -d)] for d in axes]
        hessian = np.stack([(up - down) / (2 * h) for up, down in sides], axis=1)
        stiff.append(np.linalg.eigvalsh(-(hessian + hessian.transpose(0, 2, 1)) / 2).max())
    return float(turn.max()), max(0.0, *map(float, stiff)), float(max(bend))


def growth(name: str, size: Sizes) -> np.ndarray:
    """Rows (s, |D|, its bound, the quotient of exact transport) along the flow."""
    times = np.linspace(0.0, size.s_end, 21)
    problem, rho = study.learning(), start(name, size)
    sol = mfpde.solve(problem, rho, s_end=size.s_end, save=times[1:], **IMPLICIT)
    states = [sol.at(s) for s in times]
    turn, stiff, bend = np.array([speeds(problem, state) for state in states]).T
    exact = [quotient(state) for state in states]
    area = study.trapezoids(times, stiff)
    bound = np.exp(area) * (turn[0] + study.trapezoids(times, np.exp(-area) * bend))
    return np.stack([times, turn, bound, exact], axis=1)


def noise(size: Sizes, out: Path, coupling: str) -> float:
    """Trained w of all particles: RMS change between nodes over their spread."""
    rho = start("constant", size, coupling)
    end = mfpde.solve(study.learning(), rho, s_end=size.s_end, **IMPLICIT).final
    w = end.theta[:, :, 1]
    columns = {f"w{j}": w[:, j] for j in range(8)}
    study.write_series(out / f"weights_{coupling}.csv", t=end.depth.nodes, **columns)
    return float(np.sqrt(np.mean(np.diff(w, axis=0) ** 2)) / w.std())


def measure(size: Sizes, out: Path) -> list[Claim]:
    grown = {name: growth(name, size) for name in ("constant", "turning")}
    header = ("s", "measured", "bound", "transport")
    for name, series in grown.items():
        study.write_csv(out / f"{name}.csv", header, series.tolist())
    share = max(float(np.max(one[1:, 1] / one[1:, 2])) for one in grown.values())
    below = max(float(np.max(one[1:, 3] / one[1:, 1])) for one in grown.values())
    tied, fresh = (noise(size, out, coupling) for coupling in ("tied", "independent"))
    text = f"at the end {grown['turning'][-1, 1]:.4f}, {grown['turning'][0, 1]:.4f} at the start"
    return [
        Claim("|D| stays below its bound.", f"at most {share:.3f} of it; {text}", share <= 1.0),
        Claim("The quotient stays below |D|.", f"at most {below:.3f} of it", below <= 1.001),
        Claim(
            "Trained weights are smooth in depth from one draw, noise from fresh ones.",
            f"change between nodes over the spread: {tied:.5f}, {fresh:.2f}",
            tied < 0.02 and abs(fresh - np.sqrt(2)) < 0.3,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
