"""Animation: rho_t(u, w) flowing under training, at three depths, beside its loss.

The grid flow of f = u tanh(wx) towards 1.5 tanh 2x from a Gaussian law, as a GIF. Half a minute;
--quick two seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from drawing import ROOT

import mfpde
from mfpde import laws

S_END = 40.0


def solve(cells: int, frames: int) -> mfpde.Solution:
    """The run, saved as often as there are frames."""
    x = np.linspace(-1, 1, 16)[:, None]
    problem = mfpde.Problem(x, 1.5 * np.tanh(2 * x), block=mfpde.SHL(1, bias=False))
    box, law = ((-4.0, 4.0),) * 2, laws.Gaussian(1.0, dim=2)
    rho0 = mfpde.GridMeasure.from_law(law, mfpde.Depth(4), cells=cells, box=box)
    times = np.expm1(np.linspace(0.0, np.log1p(S_END), frames))[1:-1]
    return mfpde.solve(problem, rho0, s_end=S_END, method="muscl", save=times)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few cells and frames")
    parser.add_argument("--data", type=Path, default=ROOT / "out" / "density_flow", help="folder")
    chosen = parser.parse_args(argv)
    cells, frames = (32, 6) if chosen.quick else (128, 72)
    chosen.data.mkdir(parents=True, exist_ok=True)
    run = solve(cells, frames)
    run.animate(chosen.data / "density_flow.gif", t=(0.0, 0.5, 1.0), frames=frames)
    return 0


if __name__ == "__main__":
    sys.exit(main())
