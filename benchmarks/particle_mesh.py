"""Particle–mesh sums against direct ones: one gradient, and the error over the spacing.

Claim: direct sums cost N·M kernel values, the mesh a fixed price for each particle and N·W values
for its W lattice points: it pays from about a hundred data on, for more particles than lattice
points, and the more the larger both are. Errors are relative: of E, and of the gradient in the COT
norm. d = 1, θ ∈ R³ Gaussian, Euler L = 8. A minute on one thread.
"""

from __future__ import annotations

import harness
import numpy as np

import mfpde
from mfpde import laws

CASES = ((16, 4096), (128, 4096), (128, 32768), (1024, 4096), (1024, 32768))
SPACINGS = (0.1, 0.2, 0.3)
BLOCK = mfpde.SHL(1)


def problem(data: int, block: mfpde.Block) -> mfpde.Problem:
    x = np.linspace(-1, 1, data)[:, None]
    return mfpde.Problem(x, np.sin(np.pi * x), block=block)


def measure(data: int, count: int, rounds: int, threads: int) -> list[dict[str, object]]:
    """One row for each spacing; direct sums and all meshes alternate."""
    law = laws.Gaussian(1.0, dim=BLOCK.size)
    rho = mfpde.ParticleMeasure.from_law(law, mfpde.Depth(8, "euler"), count=count)
    direct = problem(data, BLOCK)
    meshed = {h: problem(data, mfpde.Meshed(BLOCK, h)) for h in SPACINGS}
    contenders = {"direct": lambda: mfpde.gradient(direct, rho)}
    contenders |= {str(h): lambda task=t: mfpde.gradient(task, rho) for h, t in meshed.items()}
    seconds = harness.alternate(contenders, rounds, threads)
    exact, energy = mfpde.gradient(direct, rho), mfpde.loss(direct, rho)
    rows = []
    for h, task in meshed.items():
        gap = np.sqrt(np.mean((mfpde.gradient(task, rho) - exact) ** 2) / np.mean(exact**2))
        rows.append(
            {
                "case": f"N {data}, M {count}, spacing {h:g}",
                "direct_over_mesh": harness.ratios(seconds["direct"], seconds[str(h)]),
                "gradient_error": float(gap),
                "energy_error": abs(mfpde.loss(task, rho) / energy - 1.0),
            }
        )
    return rows


def main() -> None:
    args = harness.options(__doc__, 7)
    with harness.set_threads(args.threads):
        rows = [row for case in CASES for row in measure(*case, args.rounds, args.threads)]
    for row in rows:
        low, middle, high = row["direct_over_mesh"]
        print(
            f"{row['case']:30s} direct/mesh {middle:5.2f} ({low:.2f} to {high:.2f})   "
            f"error of E {row['energy_error']:.1e}, of the gradient {row['gradient_error']:.1e}"
        )
    harness.record("particle_mesh", rows, "direct_over_mesh", "time of direct sums over mesh")


if __name__ == "__main__":
    main()
