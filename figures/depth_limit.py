"""Figure: networks with shared initial weights stay discretisations of a neural ODE.

Left: largest jump between neighbouring layers against L, early, late and after training to the end,
with slope -1. Middle: distance of the trained weights to the deep reference and to the limit.
Right: loss of gradient descent and of the implicit scheme on the same flow, in descent's
iterations. Data: validation/depth_limit.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, folder, guide, powers, save, style


def draw(data: Path):
    """The figure, from the files of the validation script."""
    jumps, depths, ends = (columns(data / f"{name}.csv") for name in ("jumps", "depths", "ends"))
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.3))
        _jumps(left, jumps, ends)
        _distances(middle, depths)
        for name, mark in (("descent", "-"), ("implicit", "o")):
            series = columns(data / f"{name}.csv")
            keep = series["iteration"] > 0
            how = {"color": "C0" if mark == "-" else "C1", "mfc": "none", "label": name}
            right.loglog(series["iteration"][keep], series["loss"][keep], mark, **how)
        right.set(xlabel="iteration of descent", ylabel="mean square")
        right.legend()
    return figure


def _jumps(axes, jumps, ends) -> None:
    last = int(jumps["step"].max())
    for number, step in enumerate((max(last // 5, 1), last)):
        keep = jumps["step"] == step
        for name, mark in (("V", "o"), ("W", "s")):
            fill = f"C{number}" if step == last else "none"
            label = f"${name}$, step {step}"
            axes.loglog(
                jumps["layers"][keep],
                jumps[name][keep],
                mark,
                color=f"C{number}",
                mfc=fill,
                label=label,
            )
    for name, mark in (("V", "^"), ("W", "v")):
        axes.loglog(ends["layers"], ends[name], mark, color="C2", label=f"${name}$, at the end")
    layers = np.unique(jumps["layers"])
    guide(axes, layers, 2 * ends["V"].max() * ends["layers"].min() / layers[0], -1.0, "slope $-1$")
    powers(axes.xaxis, layers)
    axes.set(xlabel="layers $L$", ylabel=r"$\max_k |Z_{k+1} - Z_k|$")
    axes.set_ylim(top=2e4 * ends["V"].max())
    axes.legend(fontsize=5.5, ncols=2, loc="upper right", columnspacing=0.6, handletextpad=0.2)


def _distances(axes, depths) -> None:
    layers = depths["layers"]
    for name, mark, colour in (("V", "o", "C0"), ("W", "s", "C1")):
        how = {"color": colour, "mfc": "none", "label": f"${name}$"}
        axes.loglog(layers, depths[f"deep_{name}"], mark, **how)
        axes.loglog(layers, depths[f"limit_{name}"], "-", color=colour, lw=0.8)
    axes.plot([], [], "ko", mfc="none", label="to deep network")
    axes.plot([], [], "k-", lw=0.8, label="to limit")
    guide(axes, layers, 2 * depths["limit_V"][0], -1.0, "slope $-1$")
    powers(axes.xaxis, layers)
    axes.set(xlabel="layers $L$", ylabel="distance of trained weights")
    axes.set_ylim(top=100 * depths["limit_V"][0])
    axes.legend(fontsize=6, ncols=2, loc="upper right", columnspacing=0.8)


def main(argv: list[str] | None = None) -> int:
    data = folder("depth_limit", __doc__, argv)
    save(draw(data), data, "depth_limit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
