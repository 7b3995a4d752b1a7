"""Figure: error of finite ResNets to their limit over depth and width.

a: RMS error over (L, M), with contours of the fit sqrt(a^2 D/(LM) + b^2/L^2). b: the two regimes,
networks of width 1 with slope -1/2 and wide ones with slope -1; lines are the published
.22 sqrt(D)/sqrt(LM) and .15/L. Data: validation/depth_width_error.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from drawing import PAGE, by_shape, columns, outside, rms, script, style, surface
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from mfpde.theory import fit_finite_size

D, A, B = 10, 0.22, 0.15
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2)


def draw(data: Path) -> Figure:
    """The figure, from the files of the validation script."""
    names = ("surface", "narrow", "wide")
    every, narrow, wide = (by_shape(columns(data / f"{n}.csv"), "error") for n in names)
    with style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6), width_ratios=(1.25, 1))
        figure.colorbar(_surface(left, *every), ax=left, label="RMS error", pad=0.02)
        one = every[0][:, 1] == 1
        narrow = [np.concatenate([a[one], b]) for a, b in zip(every, narrow, strict=True)]
        for (shapes, errors), law, look, mark in (
            (narrow, A * np.sqrt(D / narrow[0][:, 0]), "C0-", "o"),
            (wide, B / wide[0][:, 0], "C1--", "s"),
        ):
            label = f"$M={shapes[0, 1]:.0f}$"
            right.loglog(shapes[:, 0], rms(errors), mark, color=look[:2], label=label)
            right.loglog(shapes[:, 0], law, look, lw=0.8, label="published")
        right.set(xlabel="layers $L$", ylabel="RMS error")
        outside(right)
    return figure


def _surface(axes, shapes, errors):
    """The errors and contours of their fit."""
    image = surface(axes, shapes, rms(errors), norm=LogNorm())
    fit = fit_finite_size(*shapes.T, errors, form="quadrature", resamples=2)
    n, m = np.geomspace(shapes.min(axis=0), shapes.max(axis=0), 60).T
    lines = axes.contour(m, n, fit(n[:, None], m), LEVELS, colors="w", linewidths=0.8)
    axes.clabel(lines, fmt="%g", fontsize=6)
    return image


main = script(__doc__, draw)

if __name__ == "__main__":
    sys.exit(main())
