"""What is Lipschitz in depth at the start stays so along the flow; what jumps goes on jumping.

Theorem (Barboni, Peyre, Vialard 2024; Lu et al. 2020 assume it). The flow acts at every depth by
the velocity of a field that is Lipschitz in t, so that t -> rho_t stays Lipschitz in W2 on bounded
training times where it was at s = 0; depths do not exchange mass, so that a jump is not healed.

Here. x + .3 sin(pi x), hidden states in R, rk4 in depth of 4, 8, 16 steps. Starts: "constant", one
law at all depths; "turning", its mean moves linearly with depth; "jumping", its mean jumps at
t = 1/2. Measured by exact transport: W2(rho_t, rho_t')/|t − t'| of neighbouring nodes at s = 20.

Prediction: for the first two the largest quotient converges as the depth is refined; for the third
it grows like the number of steps, the jump itself staying. Takes 20 seconds, --quick five.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde import laws, transport

LAW, SHIFT = laws.Gaussian(std=[0.5, 1.5, 1.0]), np.array([0.5, 0.5, 0.5])
STARTS = {
    "constant": lambda t: 0.0 * t,
    "turning": lambda t: t,
    "jumping": lambda t: np.where(t < 0.5, 0.0, 1.0),
}
FULL, QUICK = {"particles": 128, "s_end": 20.0}, {"particles": 32, "s_end": 5.0}
STEPS = (4, 8, 16)


def start(name: str, steps: int, count: int) -> mfpde.ParticleMeasure:
    depth = mfpde.Depth(steps, "rk4")
    rho = mfpde.ParticleMeasure.from_law(LAW, depth, count=count, coupling="tied")
    moved = STARTS[name](depth.nodes)[:, None, None] * SHIFT
    return mfpde.ParticleMeasure(rho.theta + moved, depth)


def quotients(rho: mfpde.ParticleMeasure) -> tuple[float, float]:
    """Largest W2(rho_t, rho_t')/|t − t'| and largest W2 of neighbouring depths."""
    gap, change = transport.depth_regularity(rho)
    return float(np.max(change / gap)), float(np.max(change))


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem, rows = study.learning(), []
    for name in STARTS:
        for steps in STEPS:
            rho = start(name, steps, size.particles)
            how = {"method": "implicit", "rtol": 1e-4}
            end = mfpde.solve(problem, rho, s_end=size.s_end, **how).final
            rows.append((name, steps, *quotients(rho), *quotients(end)))
    header = ("start", "steps", "lipschitz_0", "jump_0", "lipschitz", "jump")
    study.report(out / "regularity.csv", header, rows)
    of = {name: np.array([row[2:] for row in rows if row[0] == name]) for name in STARTS}
    smooth = {name: of[name][:, 2] for name in ("constant", "turning")}
    growth = study.orders(STEPS, of["jumping"][:, 2])
    return [
        *(
            Claim(
                f"From a {name} start the flow stays Lipschitz in depth.",
                f"largest quotient {values[-1]:.4f} at {STEPS[-1]} steps ({values[-2]:.4f} at "
                f"{STEPS[-2]}), {of[name][-1, 0]:.4f} at the start.",
                bool(abs(values[-1] / values[-2] - 1) <= 0.15),
            )
            for name, values in smooth.items()
        ),
        Claim(
            "A jump in depth is not healed.",
            f"the quotient grows like steps^{growth[-1]:.2f}; the jump is "
            f"{of['jumping'][-1, 3]:.4f}, {of['jumping'][-1, 1]:.4f} at the start.",
            bool(abs(growth[-1] - 1) <= 0.15 and of["jumping"][-1, 3] > 0.5 * of["jumping"][-1, 1]),
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
