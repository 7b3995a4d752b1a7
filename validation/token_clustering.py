"""Tokens under fixed attention gather in one cluster, on the published course and rate.

Theorems (Geshkovski, Letrouit, Polyanskiy, Rigollet 2023, arXiv 2312.10794, Section 6). On the unit
sphere, under x_t' = P_t sum_s softmax_s(beta <x_t, x_s>) x_s: for d >= 3 and any beta almost every
start ends in one cluster; for d >= n at an exponential rate; uniform starts in high dimension have
all inner products near one function, gamma' = 2 e^{beta gamma} (1 - gamma) ((n - 1) gamma + 1) /
(e^beta + (n - 1) e^{beta gamma}) from 0, which orthogonal tokens follow exactly.

Here. mfpde.ScalarAttention with the point law (tau, beta): its depth is the time up to tau.
 (a) orthogonal tokens against the equation: order 4 in the depth steps;
 (b) uniform starts, n = 16, beta = 4: deviation from gamma over d, and that at large beta;
 (c) late in d = n: 1 - <x_t, x_s> falls like e^{-2 t} (the equation's linearisation at 1);
 (d) d = 3, beta from 0 to 4: one cluster at the end; the wait for it grows with beta.

Prediction: order 4; slope -1/2 in d; rate 2; one cluster. Takes half a minute, --quick 10 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from scipy.integrate import solve_ivp
from study import Claim, Sizes

import mfpde

FULL = {"steps": (8, 16, 32, 64), "dims": (16, 64, 256, 1024), "starts": 8, "wait": 400.0}
QUICK = {"steps": (8, 16, 32), "dims": (16, 64, 256), "starts": 4, "wait": 200.0}
TOKENS, BETA, BETAS = 16, 4.0, (0.0, 1.0, 2.0, 3.0, 4.0)


def angles(x: np.ndarray, time: float, beta: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,), and inner products of all pairs along them (n, N, pairs); x (N, T, d)."""
    flat, none = x.reshape(len(x), -1), np.zeros((len(x), 1))
    problem = mfpde.Problem(flat, none, block=mfpde.ScalarAttention(*x.shape[1:]), readout="first")
    depth, law = mfpde.Depth(steps, "rk4"), mfpde.laws.Dirac([time, beta], dim=2)
    found = mfpde.trajectories(problem, mfpde.ParticleMeasure.from_law(law, depth, count=1))
    z = found.hidden.reshape(-1, *x.shape)
    z = z / np.linalg.norm(z, axis=3, keepdims=True)  # rk4 leaves the sphere by its own error
    return time * found.t, (z @ np.swapaxes(z, 2, 3))[:, :, *np.triu_indices(x.shape[1], 1)]


def course(times: np.ndarray) -> np.ndarray:
    """The function gamma at times from 0."""

    def slope(_: float, g: np.ndarray) -> np.ndarray:
        few, others = np.exp(BETA * (g - 1.0)), TOKENS - 1
        return 2 * few * (1 - g) * (others * g + 1) / (1 + others * few)

    return solve_ivp(slope, times[[0, -1]], [0.0], "DOP853", times, rtol=1e-12, atol=1e-14).y[0]


def uniform(count: int, dim: int) -> np.ndarray:
    """Starts (count, TOKENS, dim) uniform on the sphere."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(dim,)))
    z = rng.standard_normal((count, TOKENS, dim))
    return z / np.linalg.norm(z, axis=2, keepdims=True)


def gathered(size: Sizes, beta: float) -> tuple[float, float]:
    """Share of starts in R^3 whose tokens are one cluster at the end; median time when they are."""
    times, found = angles(uniform(size.starts, 3), size.wait, beta, int(8 * size.wait))
    one = found.min(axis=2) > 1.0 - 1e-3
    first = np.where(one.any(axis=0), times[one.argmax(axis=0)], np.inf)
    return float(one[-1].mean()), float(np.median(first))


def measure(size: Sizes, out: Path) -> list[Claim]:
    errors = []
    for steps in size.steps:
        times, found = angles(np.eye(TOKENS)[None], 6.0, BETA, steps)
        errors.append(float(np.abs(found[:, 0] - course(times)[:, None]).max()))
    study.report(out / "order.csv", ["steps", "error"], zip(size.steps, errors, strict=True))
    order = study.slope(np.array(size.steps[-3:]), np.array(errors[-3:]))
    rows, columns = [], {}
    for dim in size.dims:
        times, found = angles(uniform(size.starts, dim), 6.0, BETA, 64)
        columns |= {"t": times, "gamma": course(times), f"d{dim}": found.mean(axis=(1, 2))}
        off = np.sqrt(np.mean((found - columns["gamma"][:, None, None]) ** 2, axis=(1, 2)))
        rows.append((dim, float(off.max())))
    study.report(out / "dimension.csv", ["d", "deviation"], rows)
    study.write_series(out / "course.csv", **columns)
    slope = study.slope(*np.array(rows, dtype=float).T)
    times, found = angles(uniform(size.starts, TOKENS), 100.0, BETA, 1600)
    late = [(1 - g, (1 - g < 1e-3) & (1 - g > 1e-9)) for g in found.mean(axis=2).T]
    fit = np.array([study.slope(np.exp(times[keep]), apart[keep]) for apart, keep in late])
    waits = [(beta, *gathered(size, beta)) for beta in BETAS]
    study.report(out / "waits.csv", ["beta", "share", "time"], waits)
    return [
        Claim(
            "Orthogonal tokens follow gamma, to order 4 in depth.",
            f"order {-order:.2f}; {errors[-1]:.1e} with {size.steps[-1]} steps.",
            abs(order + 4.0) <= 0.3 and errors[-1] <= 1e-4,
        ),
        Claim(
            "Uniform tokens stay within O(1/sqrt(d)) of gamma.",
            f"slope {slope:.2f} in d; {rows[-1][1]:.3f} at d = {rows[-1][0]}.",
            abs(slope + 0.5) <= 0.1,
        ),
        Claim(
            "With d = n they gather at the rate e^{-2t}.",
            f"rates {-fit.max():.3f} to {-fit.min():.3f} over the starts.",
            float(np.abs(fit + 2.0).max()) <= 0.02,
        ),
        Claim(
            "In R^3 starts end in one cluster; the larger beta, the later.",
            "; ".join(f"beta {b:g}: {s:.0%}, median {w:.3g}" for b, s, w in waits),
            waits[0][1] == waits[1][1] == waits[2][1] == 1.0
            and sorted(waits, key=lambda one: one[2]) == waits,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
