"""Figure: the Polyak-Lojasiewicz constant along a run, and the envelopes it guarantees.

Left: loss and the envelopes E(0) exp(-2 int m). Middle: m measured, from the kernel and from the
paper's bound. Right: spectrum of K/N over training time. Data: validation/polyak_lojasiewicz.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, columns, script, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    series, spectrum = columns(data / "envelope.csv"), columns(data / "spectrum.csv")
    eigenvalues = np.array([v for name, v in spectrum.items() if name.startswith("eigenvalue")])
    with style() as plt:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.3))
        s = series["s"]
        left.plot(s, series["loss"], color="k", label="loss $E$")
        for name, dash in (("measured", "--"), ("kernel", "-."), ("paper", ":")):
            left.plot(s, series[f"bound_{name}"], dash, label=name)
            middle.plot(s[1:], series[f"m_{name}"][1:], dash, label=name)
        left.set(yscale="log", xlabel="training time $s$", ylabel="loss and envelopes")
        left.set_ylim(0.3 * series["loss"].min(), 1e4 * series["loss"].max())
        middle.set(xscale="log", yscale="log", xlabel="training time $s$", ylabel="$m$")
        keep = spectrum["s"] > 0
        right.loglog(spectrum["s"][keep], eigenvalues[:, keep].T, color="k", lw=0.8)
        right.set(xlabel="training time $s$", ylabel="eigenvalues of $K/N$")
        left.legend(ncols=2)
        middle.legend()
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
