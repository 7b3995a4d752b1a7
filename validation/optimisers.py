"""Momentum and Adam as flows: the limit of networks trained by them, and its rates.

Statements. With memories tau = -h/log(beta) held, heavy ball tends to tau theta'' + theta' = -grad
V, Adam to tau_1 m' = g - m, tau_2 v' = g^2 - v, theta' = -m^/(sqrt(v^) + eps), at order 1 in h
(Polyak 1964; Barakat, Bianchi 2021); the law of (theta, m, v) has a limit in width and depth like
that of gradient descent, which networks approach like a/L + b/sqrt(LM) (Chizat 2025). Along the
heavy ball E + (tau/2) int |m|^2 falls, E itself need not.

Here. sin(pi x) at 8 points, d = 2, tanh, Gaussian starts; heavy ball with tau = 4, Adam with
tau_1 = 0.2, tau_2 = 2, eps = 0.01, gradient flow beside them. Limits with bars by mfpde.limit,
networks by mfpde.resnet.train with h = 0.01, to s = 8, Adam to 2. Prediction: slope -1/2 in LM at
L = M, order 1 in h from one start, and the energies above. Takes 4 minutes, --quick 30 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws
from mfpde.optimizers import AdamFlow, HeavyBall

FLOWS: dict[str, Any] = {
    "gradient": None,
    "heavy_ball": HeavyBall(4.0),
    "adam": AdamFlow(0.2, 2.0, epsilon=0.01),
}
SHARES = {"gradient": 1.0, "heavy_ball": 1.0, "adam": 0.25}  # of s_end: Adam is at zero loss soon
LAW = laws.Gaussian(1.0, dim=5)
FULL = {"s_end": 8.0, "rtol": 0.006, "layers": [8, 16, 32, 64], "seeds": 10,
        "steps": [0.08, 0.04, 0.02, 0.01], "h": 0.01}  # fmt: skip
QUICK = {"s_end": 2.0, "rtol": 0.08, "layers": [4, 8, 16], "seeds": 12, "steps": [0.08, 0.04],
         "h": 0.04}  # fmt: skip


def trained(name: str, h: float, **how: Any) -> mfpde.resnet.Training:
    """Networks by the optimiser's own steps."""
    how |= {"optimizer": FLOWS[name] or "gd", "record": max(round(0.2 / h), 1)}
    return mfpde.resnet.train(study.sine(8), step=h, **how)


def by_size(name: str, found: mfpde.Limit, size: Sizes) -> list[tuple[float, ...]]:
    """Rows (L, M, seed, RMS distance of the outputs to the limit), L = M."""
    rows, end = [], float(found.s[-1])
    for layers in size.layers:
        run = trained(name, size.h, law=LAW, layers=layers, width=layers, seeds=size.seeds,
                      s_end=end)  # fmt: skip
        errors = study.rms(run.outputs - found.outputs[-1])
        rows += [
            (layers, layers, seed, float(e)) for seed, e in zip(run.seeds, errors, strict=True)
        ]
    return rows


def by_step(name: str, end: float, size: Sizes) -> list[tuple[float, float]]:
    """Rows (h, distance of one network's outputs to its own flow), L = M = 8."""
    depth = mfpde.Depth(8, "euler")
    rho0 = mfpde.ParticleMeasure.from_law(LAW, depth, count=8, rule="iid", seed=0)
    flow = mfpde.solve(study.sine(8), rho0, s_end=end, optimizer=FLOWS[name], rtol=1e-9,
                       method="rk45")  # fmt: skip
    exact = mfpde.predict(flow.problem, flow.final)
    runs = [trained(name, h, start=rho0.theta[None], s_end=end) for h in size.steps]
    return [(h, float(study.rms(run.outputs[0] - exact)))
            for h, run in zip(size.steps, runs, strict=True)]  # fmt: skip


def energies(size: Sizes, out: Path) -> Claim:
    """E and the whole energy along a heavy ball of long memory."""
    rho0 = mfpde.ParticleMeasure.from_law(LAW, mfpde.Depth(4), count=128, coupling="independent")
    run = mfpde.solve(study.sine(8), rho0, s_end=200.0, optimizer=HeavyBall(40.0), rtol=1e-5)
    study.write_series(out / "energies.csv", s=run.s, loss=run.loss, energy=run.energy)
    up, worst = float(np.diff(run.loss).max()), float(np.diff(run.energy).max())
    return Claim("E + (tau/2) int |m|^2 falls along a heavy ball, while E swings.",
                 f"largest rise of E in a step {up:.2g}, of the sum {worst:.1g}",
                 worst < 0 < up)  # fmt: skip


def measure(size: Sizes, out: Path) -> list[Claim]:
    claims = [energies(size, out)]
    for name, optimizer in FLOWS.items():
        end = SHARES[name] * size.s_end
        found = mfpde.limit(study.sine(8), LAW, s_end=end, rtol=size.rtol, times=20,
                            optimizer=optimizer, progress=False)  # fmt: skip
        study.say(f"{name}: {found}")
        some = trained(name, size.h, law=LAW, layers=size.layers[-1], width=size.layers[-1],
                       seeds=3, s_end=end)  # fmt: skip
        study.write_series(out / f"limit_{name}.csv", s=found.s, loss=found.loss,
                           error=found.loss_error)  # fmt: skip
        study.write_series(out / f"networks_{name}.csv", s=some.s,
                           **{f"loss_{k}": loss for k, loss in enumerate(some.loss)})  # fmt: skip
        rows = by_size(name, found, size)
        study.write_csv(out / f"sizes_{name}.csv", ("layers", "width", "seed", "error"), rows)
        means = [np.sqrt(np.mean([row[3] ** 2 for row in rows if row[0] == n]))
                 for n in size.layers]  # fmt: skip
        slope = np.polyfit(2 * np.log(size.layers), np.log(means), 1)[0]
        bar = float(found.outputs_error[-1])
        holds = abs(slope + 0.5) < 0.12 if bar < 0.4 * means[-1] else None
        claims.append(Claim(f"{name}: networks approach the limit like 1/sqrt(LM).",
                            f"slope {slope:.3f} in LM, {means[-1]:.2g} at the largest, bar of the "
                            f"limit {bar:.1g}", holds))  # fmt: skip
        errors = by_step(name, end, size)
        order = study.orders(*np.array(errors).T)[-1]
        claims.append(Claim(f"{name}: networks approach their flow at order 1 in the step.",
                            f"order {order:.3f}, {errors[-1][1]:.2g} at h = {errors[-1][0]:g}",
                            abs(order - 1) < 0.15))  # fmt: skip
        study.write_csv(out / f"steps_{name}.csv", ("h", "error"), errors)
    return claims


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
