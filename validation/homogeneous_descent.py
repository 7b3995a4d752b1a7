"""Homogeneous blocks: a start that separates goes to zero loss, one that does not may stop.

Theorems (Ding, Chen, Li, Wright 2022, 6.1 and 6.2). If the flow converges, E = 0 in the limit for
2-homogeneous blocks when supp rho_0 separates two spheres at some depth, and for blocks u f^(x, v)
when it separates u = -r from u = r. For relu, |u|² − |(w, b)|² is conserved per particle.

Here. Hidden states in R, data on both sides of 0, x + .2 sin(pi x), Euler depths. relu: (a)
Gaussian, which separates; (b) u > |(w, b)|, whose sign never changes: no state can fall. "ramp",
relu rounded off in C^{1,1}: (c) u = 0, (w, b) Gaussian, which separates; (d) the part of the
cylinder without units that see the data at x < 0. softplus: (e) u > 0 but all (w, b), which
separates although the sign is fixed at the start. Prediction: (a), (c), (e) fall below E(0)/200;
(b), (d) stay above what is out of reach, (d) ends on it, at every depth; the invariant drifts less
at smaller steps. 40 seconds, --quick ten.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import activations, laws, theory

ETA = 0.25
RAMP = activations.Activation(
    "ramp",
    forms=(
        lambda z: np.where(z > ETA, z, np.square(np.maximum(z + ETA, 0.0)) / (4 * ETA)),
        lambda z: np.clip((z + ETA) / (2 * ETA), 0.0, 1.0),
        lambda z: (np.abs(z) < ETA) / (2 * ETA),
    ),
    slope=1.0,
    curvature=1 / (2 * ETA),
)
IMPLICIT = {"method": "implicit", "rtol": 0.03, "s_end": 1e4}
FULL = {"layers": (1, 4, 16), "steps": (0.4, 0.2, 0.1, 0.05), "s_end": 1500.0}
QUICK = {"layers": (1, 4), "steps": (0.4, 0.1), "s_end": 800.0}


def task(activation: str) -> mfpde.Problem:
    """The data on both sides of 0."""
    x = np.delete(np.linspace(-1.0, 1.0, 13), slice(4, 9))[:, None]
    return mfpde.Problem(x, x + 0.2 * np.sin(np.pi * x), block=mfpde.SHL(1, activation))


def starts() -> dict[str, tuple[str, laws.Law, bool]]:
    """Activation, law and whether it is to reach zero loss."""
    of, box, normal = laws.Product, laws.Uniform, laws.Gaussian(1.0, dim=2)
    return {
        "a": ("relu", laws.Gaussian(1.0, dim=3), True),
        "b": ("relu", box([1.0, -0.7, -0.7], [1.5, 0.7, 0.7]), False),
        "c": ("ramp", of(laws.Dirac(0.0, dim=1), normal), True),
        "d": ("ramp", of(laws.Gaussian(1.0, dim=1), box([0.8, -0.4], [1.2, -0.2])), False),
        "e": ("softplus", of(box(0.5, 1.0, dim=1), normal), True),
    }


def invariant(rho: mfpde.ParticleMeasure) -> np.ndarray:
    """|u|² − |(w, b)|² of every particle."""
    return rho.theta[..., 0] ** 2 - np.square(rho.theta[..., 1:]).sum(axis=-1)


def run(name: str, layers: int, size: Sizes) -> mfpde.Solution:
    """Training of one start to its end: relu by small steps, where its kinks let it."""
    activation, law, _ = starts()[name]
    fixed = {"a": {"step": 0.4, "s_end": size.s_end}, "b": {"step": 0.05, "s_end": 60.0}}
    chosen = {"method": "rk4", **fixed[name]} if name in fixed else IMPLICIT
    options = {"raise_on_failure": False, "max_steps": 6000, "loss_below": 1e-7}
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(layers, "euler"), count=128)
    return mfpde.solve(task(activation), rho, **chosen, **options)


def drift(step: float) -> float:
    """How far the invariant of relu moves up to s = 40, relative to its size."""
    rho = mfpde.ParticleMeasure.from_law(starts()["a"][1], mfpde.Depth(4, "euler"), count=128)
    end = mfpde.solve(task("relu"), rho, s_end=40.0, method="rk4", step=step).final
    return float(np.abs(invariant(end) - invariant(rho)).max() / np.abs(invariant(rho)).max())


def measure(size: Sizes, out: Path) -> list[Claim]:
    if "ramp" not in activations.ACTIVATIONS:
        activations.register(RAMP)
    x, y = task("relu").x, task("relu").y
    left, claims, rows = {"b": np.minimum(y - x, 0.0), "d": (y - x) * (x < 0)}, [], []
    floors = {name: float(0.5 * np.mean(gap**2)) for name, gap in left.items()}
    for name, (activation, law, separates) in starts().items():
        said = theory.separation(law, task(activation))
        ends = []
        for layers in size.layers:
            sol = run(name, layers, size)
            study.write_series(out / f"{name}_{layers}.csv", s=sol.s, loss=sol.loss)
            ends.append((sol.loss[0], sol.loss[-1], sol.loss.min(), sol.final.theta[..., 0].min()))
            rows.append((name, layers, *map(float, ends[-1])))
        first, last, lowest, signs = np.array(ends).T
        text = f"E at the end {np.array2string(last, precision=5)}, floor {floors.get(name, 0):.5g}"
        right = bool(said.sphere or said.cylinder) == separates
        if separates:
            holds, kind = np.all(last < first / 200), "separates: E goes to zero"
        else:
            holds, kind = np.all(lowest > 0.999 * floors[name]), "does not: E stops above its floor"
            holds &= np.all(signs > 0) if name == "b" else np.all(last < 1.001 * floors[name])
        claims.append(Claim(f"({name}) {activation} {kind}.", text, bool(right and holds)))
    study.report(out / "ends.csv", ("start", "L", "E(0)", "E", "least E", "least u"), rows)
    study.write_series(out / "floor.csv", **{name: [value] for name, value in floors.items()})
    drifts = [drift(step) for step in size.steps]
    study.write_series(out / "drift.csv", step=size.steps, drift=drifts)
    shown = f"drift {drifts[0]:.1e} to {drifts[-1]:.1e} for steps {size.steps}"
    small = drifts[-1] < 0.5 * drifts[0] < 0.005
    return [*claims, Claim("relu keeps |u|² − |(w, b)|².", shown, small)]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
