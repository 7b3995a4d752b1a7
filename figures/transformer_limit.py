"""Figure: a mean-field transformer that looks up a marked token, and finite ones beside it.

a: loss of the limit over training time with its error (two sizes of width and depth), and its loss
on fresh sequences. b: its answers to fresh sequences against the marked value. c: output error of
finite transformers against LM, with the fit a/L + b/sqrt(LM) (squares added, thin).
Data: validation/transformer_limit.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing import PAGE, columns, script, sizes, style
from matplotlib.figure import Figure


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    limit, fresh = columns(data / "limit.csv"), columns(data / "fresh.csv")
    with style() as plt:
        figure, (loss, answers, width) = plt.subplots(1, 3, figsize=(PAGE, 2.3))
        loss.set(xscale="log", yscale="log", xlabel="training time $s$", ylabel="loss $E$")
        how = {"color": "k", "ms": 3, "capsize": 2}
        loss.errorbar(limit["s"], limit["loss"], limit["error"], fmt="o-", label="limit", **how)
        loss.plot(limit["s"], limit["fresh"], "C1s--", mfc="none", label="fresh sequences")
        loss.legend(loc="lower left")
        answers.plot([-1, 1], [-1, 1], color="0.6", lw=0.7)
        answers.plot(fresh["marked"], fresh["output"], ".", ms=3, color="C1")
        answers.set(xlabel="marked value", ylabel="answer of the limit", aspect="equal")
        sizes(width, columns(data / "networks.csv"), "error", "output error")
    return figure


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
