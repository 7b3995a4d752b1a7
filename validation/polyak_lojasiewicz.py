"""The local Polyak-Lojasiewicz inequality along a run, against its two lower bounds.

Theorem (Barboni, Peyre, Vialard 2024). |grad E|^2 >= 2 m E with m at least lambda_min(K)/N, and at
least the paper's (sigma_min(B)^2/N) int lambda_min(K(t)) exp(-2 int_t^1 Lip); while m holds,
E(s) <= E(0) exp(-2 int m).

Here. N = 6 data in the plane, u = 0 and (w, b) Gaussian, lifted readout, Euler depth. Prediction:
the measured envelope *is* the loss, the others lie above it in the order kernel, paper; the final
decay is exponential with rate 2 lambda_min(K)/N. Takes 60 seconds, --quick 15.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import theory

NAMES = ("measured", "kernel", "paper")


def compute(quick: bool) -> tuple[theory.Envelope, theory.KernelEvolution, theory.Rate, float]:
    """Envelope and spectra along one run, its fitted rate, and 2 lambda_min(K)/N at its end."""
    n, steps, count = (3, 4, 64) if quick else (6, 8, 256)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((n, 2))
    problem = mfpde.Problem(x, np.sin(2 * x[:, 0]) + x[:, 1], block=mfpde.SHL(3), readout="last")
    law = mfpde.laws.Product(mfpde.laws.Dirac(0.0, dim=3), mfpde.laws.Gaussian(1.5, dim=4))
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(steps, "euler"), count=count)
    end = mfpde.solve(problem, rho, s_end=np.inf, loss_below=1e-9, method="rk45").s[-1]
    pieces = 160 if quick else 400
    # Close to each other at first, where the loss falls fastest, for the trapezoid rule.
    early, late = np.geomspace(1e-5, 1.0, pieces // 2), np.linspace(0.0, 1.0, pieces // 2 + 1)
    times = end * np.union1d(early, late)
    sol = mfpde.solve(problem, rho, s_end=end, method="rk45", rtol=1e-7, save=times[1:])
    study.say(f"{sol}")
    picked = np.unique(np.searchsorted(times, end * np.append(0.0, np.geomspace(1e-4, 1.0, 24))))
    evolution = theory.kernel_evolution(problem, sol, times[picked])
    env = theory.envelope(problem, sol, times)
    late = theory.polyak_lojasiewicz(problem, sol.final)
    return env, evolution, theory.fit_rate(env, tail=0.25), 2 * late.kernel


def measure(size: Sizes, out: Path) -> list[Claim]:
    env, evolution, rate, final = compute(size.quick)
    rows = zip(
        env.s, env.loss, *(env.m[n] for n in NAMES), *(env.bound[n] for n in NAMES), strict=True
    )
    header = ("s", "loss", *(f"m_{n}" for n in NAMES), *(f"bound_{n}" for n in NAMES))
    study.write_csv(out / "envelope.csv", header, rows)
    spectrum = np.column_stack([evolution.s, evolution.drift, evolution.eigenvalues])
    names = [f"eigenvalue_{j}" for j in range(evolution.eigenvalues.shape[1])]
    study.write_csv(out / "spectrum.csv", ("s", "drift", *names), spectrum.tolist())
    decades = np.log10(env.loss[0] / env.loss[-1])
    low, high = rate.interval
    identity = float(np.abs(np.log(env.bound["measured"] / env.loss)).max())
    order = min(
        float(np.min(env.m["measured"] / env.m["kernel"])),
        float(np.min(env.m["kernel"] / env.m["paper"])),
    )
    above = max(float(np.max(env.loss / env.bound[name])) for name in ("kernel", "paper"))
    gap = np.median(env.m["kernel"] / env.m["paper"])
    study.say(
        f"medians: kernel m = {gap:.3g} times the paper's, "
        f"measured = {np.median(env.m['measured'] / env.m['kernel']):.3g} times the kernel's"
    )
    return [
        Claim("measured m >= kernel m >= paper m", f"least ratio {order:.6f}", order > 1 - 1e-9),
        Claim(
            "E(0) exp(-2 int m) is the loss for the measured m.",
            f"largest |log ratio| {identity:.1e}, {decades:.0f} decades (trapezoid rule)",
            identity < 0.05,
        ),
        Claim("The loss lies below both envelopes.", f"largest {above:.4f}", above < 1.01),
        Claim(
            "The tail is exponential with rate 2 lambda_min(K)/N.",
            f"{rate.kind}, {rate.rate:.4g} in [{low:.4g}, {high:.4g}]; "
            f"2 lambda_min(K)/N = {final:.4g} at the end",
            rate.kind == "exponential" and low * 0.98 <= final <= high * 1.02,
        ),
    ]


main = study.script(__doc__, measure)

if __name__ == "__main__":
    sys.exit(main())
