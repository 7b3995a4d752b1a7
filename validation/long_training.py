"""Networks with shared initial weights, trained to the end, are still close to an ODE.

Theorem (Marion, Wu, Sander, Biau 2024, Thm 6). With enough width the loss goes to zero, jumps
between neighbouring layers stay O(1/L), and the limit is an ODE that interpolates the data.

Here, with the settings of depth_limit.py and M = 64, n = 50: L = 64, 4,000 steps of rate .005 L
(at .01 L the step leaves the stability interval, 2 over the largest eigenvalue, after some 6,000),
and the implicit scheme on the same flow until the loss is below 1e-7 (descent itself took 89,600
steps to get there), for L = 32..256: jumps after training to the end.

Prediction: the loss falls below 1e-7, descent follows the flow there; jumps at the end fall like
1/L. Takes 70 seconds on one core, --quick 5 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from study import Claim, Sizes

import mfpde
from mfpde.runs.progress import track

D = study.WIDE
STEP = 2 * 0.005 / D
FULL = {"count": 50, "width": 64, "layers": 64, "steps": 4_000, "ends": (32, 64, 128, 256)}
FULL |= {"goal": 1e-7}
QUICK = {"count": 8, "layers": 16, "steps": 1000, "ends": (16, 32, 64)}


def to_the_end(problem: mfpde.Problem, layers: int, size: Sizes) -> mfpde.Solution:
    """The flow until the mean square is below the goal."""
    rho0 = study.tied_start(mfpde.Depth(layers, "euler"), size.width)
    how = {"loss_below": size.goal * D / 2, "method": "implicit", "rtol": 1e-3, "max_steps": 500}
    how |= {"save": [size.steps * STEP], "raise_on_failure": False}  # the verdict says what came
    return mfpde.solve(problem, rho0, s_end=1e6, **how)


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem = study.tied_data(size.count, size.width)
    how = {"s_end": size.steps * STEP, "step": STEP, "record": max(size.steps // 500, 1)}
    run = study.tied_training(problem, size.layers, size.width, **how)
    descended = 2 / D * run.loss[0]
    ends = {n: to_the_end(problem, n, size) for n in track(size.ends, "ends")}
    same = ends[size.layers]
    loss = 2 / D * same.loss
    study.write_series(out / "descent.csv", iteration=run.s / STEP, loss=descended)
    study.write_series(out / "implicit.csv", iteration=same.s / STEP, loss=loss)
    last = [(n, *study.jumps(end.final.theta)) for n, end in ends.items()]
    study.report(out / "ends.csv", ("layers", "V", "W"), last)

    flow = float(loss[np.abs(same.s - run.s[-1]).argmin()])
    decades = np.log([descended[0] / descended[-1], loss[0] / flow])
    of_v, of_w = (study.slope(*np.array(last)[-2:, [0, i]].T) for i in (1, 2))
    return [
        Claim(
            f"The loss falls below {size.goal:g}, and descent follows the flow there.",
            f"mean square {loss[0]:.3f} to {loss[-1]:.1e} in {same.control.steps} implicit steps, "
            f"the equivalent of {same.s[-1] / STEP:.0f} of descent, which has "
            f"{descended[-1]:.3e} after {size.steps}, the flow {flow:.3e}.",
            loss[-1] <= size.goal and abs(decades[0] / decades[1] - 1) <= 0.03,
        ),
        Claim(
            "Jumps still fall like 1/L when training has gone to the end.",
            f"slopes {of_v:.3f} for V and {of_w:.3f} for W in the last doubling of L.",
            max(abs(of_v + 1), abs(of_w + 1)) <= 0.15,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
