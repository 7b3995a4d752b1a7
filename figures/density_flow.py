"""Animation: rho_t(u, w) flowing under training, at three depths, beside its loss.

The grid flow of f = u tanh(wx) towards 1.5 tanh 2x from a Gaussian law, as a GIF whose frames are
equally spaced in log(1 + s). Half a minute; --quick two seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, ROOT, style

import mfpde
from mfpde import laws

S_END = 40.0


def solve(cells: int, frames: int) -> mfpde.Solution:
    """The run, saved at the times of the frames."""
    x = np.linspace(-1, 1, 16)[:, None]
    problem = mfpde.Problem(x, 1.5 * np.tanh(2 * x), block=mfpde.SHL(1, bias=False))
    box, law = ((-4.5, 4.5),) * 2, laws.Gaussian(1.0, dim=2)
    rho0 = mfpde.GridMeasure.from_law(law, mfpde.Depth(4), cells=cells, box=box)
    times = np.expm1(np.linspace(0.0, np.log1p(S_END), frames))[1:]
    times[-1] = S_END
    return mfpde.solve(problem, rho0, s_end=S_END, method="muscl", save=times)


def animate(run: mfpde.Solution, path: Path) -> None:
    """Write the GIF."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    rho = run.initial
    depths = [0, rho.levels // 2, rho.levels - 1]
    shown = [run.at(s).density[depths] for s in run.saved_s]
    u, w = (axis.edges for axis in rho.axes)
    with style() as plt:
        figure, axes = plt.subplots(1, 4, figsize=(PAGE, 1.9), width_ratios=(1, 1, 1, 1.1))
        how = {"vmin": 0, "vmax": float(np.quantile(shown, 0.9999)), "cmap": "magma_r"}
        meshes = [axis.pcolormesh(u, w, shown[0][0].T, **how) for axis in axes[:3]]
        for axis, k in zip(axes[:3], depths, strict=True):
            axis.set(xlim=(-4, 4), ylim=(-4, 4), xticks=(-3, 0, 3), yticks=(-3, 0, 3), xlabel="$u$")
            axis.set_title(f"depth $t={rho.depth.nodes[k]:g}$")
        axes[0].set_ylabel("$w$")
        axes[3].semilogy(np.log1p(run.s), run.loss, color="0.6")
        (dot,) = axes[3].plot([], [], "o", color="k")
        ticks = np.array([0, 1, 4, 15, 40])
        axes[3].set_xticks(np.log1p(ticks), [f"{tick:g}" for tick in ticks])
        axes[3].set(xlabel="training time $s$", title="loss $E$")

        def show(frame: int) -> None:
            for mesh, values in zip(meshes, shown[frame], strict=True):
                mesh.set_array(values.T)
            s = run.saved_s[frame]
            dot.set_data([np.log1p(s)], [np.interp(s, run.s, run.loss)])

        path.parent.mkdir(parents=True, exist_ok=True)
        film = FuncAnimation(figure, show, frames=len(shown), blit=False)
        film.save(path, writer=PillowWriter(fps=12), dpi=120)
        plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few cells and frames")
    parser.add_argument("--data", type=Path, default=ROOT / "out" / "density_flow", help="folder")
    chosen = parser.parse_args(argv)
    run = solve(*((32, 6) if chosen.quick else (128, 72)))
    animate(run, chosen.data / "density_flow.gif")
    return 0


if __name__ == "__main__":
    sys.exit(main())
