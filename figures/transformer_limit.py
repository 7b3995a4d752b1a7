"""Figure: a mean-field transformer that looks up a marked token, and finite ones beside it.

a: loss of the limit over training time with its error (two sizes of width and depth), and its loss
on fresh sequences. b: its answers to fresh sequences against the marked value. c: output error of
finite transformers against LM, with the fit a/L + b/sqrt(LM) (squares added, thin). d: output
distance of L layers from the limit of the same particles against L: RMS, range, and slope -1.
Data: validation/transformer_limit.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, by_shape, columns, guide, powers, script, sizes, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    limit, fresh = columns(data / "limit.csv"), columns(data / "fresh.csv")
    with style() as plt:
        figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.4))
        loss, answers, width, depth = axes.flat
        loss.set(xscale="log", yscale="log", xlabel="training time $s$", ylabel="loss $E$")
        how = {"color": "k", "ms": 3, "capsize": 2}
        loss.errorbar(limit["s"], limit["loss"], limit["error"], fmt="o-", label="limit", **how)
        loss.plot(limit["s"], limit["fresh"], "C1s--", mfc="none", label="fresh sequences")
        loss.legend(loc="lower left")
        answers.plot([-1, 1], [-1, 1], color="0.6", lw=0.7)
        answers.plot(fresh["marked"], fresh["output"], ".", ms=3, color="C1")
        answers.set(xlabel="marked value", ylabel="answer of the limit", aspect="equal")
        sizes(width, columns(data / "networks.csv"), "error", "output error")
        shapes, found = by_shape(columns(data / "depths.csv"), "error")
        rms = np.sqrt(np.mean(found**2, axis=1))
        ends = np.abs(np.stack([found.min(axis=1), found.max(axis=1)]) - rms)
        depth.errorbar(
            shapes[:, 0], rms, ends, fmt="o", mfc="none", label="shared particles", **how
        )
        guide(depth, shapes[:, 0], rms[0], -1.0, "slope $-1$")
        depth.set(xscale="log", yscale="log", xlabel="layers $L$", ylabel="output error")
        powers(depth.xaxis, shapes[:, 0], 2)
        depth.legend()
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
